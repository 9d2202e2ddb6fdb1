"""Order of samples and position in an epoch, as functions of what a checkpoint stores."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, SequentialSampler

# A visit of a sample: (epoch, index). The epoch travels with the index, so that it reaches the data set in whatever
# process the sample is made, also in workers that live for many epochs.
Visit = tuple[int, int]


def seeded(*numbers: int) -> torch.Generator:
    """Make a CPU generator whose stream is a function of ``numbers``, unrelated for other ones.

    Args:
        numbers: Integers >= 0, for example seed, epoch and index of a sample.
    """
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class Order(Sampler):
    """An order of an epoch that a `ResumableLoader` can continue: a function of ``decided_by`` and the epoch.

    Attributes:
        epoch: Lightning sets it before every epoch.
        position: Units of the epoch's order, of all ranks together, that the next iteration leaves out because they
            were visited before a restart.
        counted: What the size of a batch counts.
    """

    epoch = 0
    position = 0
    counted = "samples"

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @abstractmethod
    def units(self, batch_size: int | None) -> int:
        """Units of the order that all ranks together visit with a batch each."""

    @abstractmethod
    def batch(self, batch_size: int | None) -> tuple[int, str]:
        """What all ranks together take for a batch each, in ``counted``, and the settings that make it so, in words."""

    @abstractmethod
    def decided_by(self) -> dict[str, int]:
        """What the order of an epoch is a function of, by its names in ``WORDS``."""


# What stands after the number in the message about an order that is another one.
WORDS = {
    "length": "samples in an epoch",
    "seed": "as seed of their order",
    "budget": "frames as budget of a batch",
    "parted": "as checksum of the lengths of its samples and of how they are parted",
}


class ShardedShuffle(Order):
    """Visit each rank's share of the data in an order fixed by ``(seed, epoch)``; every rank gets equally many.

    What does not divide by the number of ranks is left out, other samples in every epoch. Its unit is a sample.

    Args:
        length: Number of samples of the data set.
        seed: Seed of the run.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(self, length: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.length, self.seed, self.rank, self.world_size = length, seed, rank, world_size

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        return self.length // self.world_size

    def __iter__(self) -> Iterator[Visit]:
        order = torch.randperm(self.length, generator=seeded(self.seed, self.epoch))[: len(self) * self.world_size]
        mine = order[self.position + self.rank :: self.world_size].tolist()
        return iter([(self.epoch, index) for index in mine])

    def units(self, batch_size: int | None) -> int:
        return batch_size * self.world_size

    def batch(self, batch_size: int | None) -> tuple[int, str]:
        return self.units(batch_size), f"datamodule.batch_size={batch_size} x {self.world_size} processes"

    def decided_by(self) -> dict[str, int]:
        return {"length": self.length, "seed": self.seed}


class Shard(SequentialSampler):
    """Visit each rank's share of the data in order, every sample exactly once over all ranks, none twice.

    Unlike torch's distributed sampler it does not fill up: with 7 samples, two ranks get 4 and 3. It is a sequential
    one, which Lightning leaves in its place when ``overfit_batches`` takes all order out of the samples.

    Args:
        length: Number of samples of the data set.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        super().__init__(range(length))
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Visit]:
        return iter([(0, index) for index in self.indices])


class WholeBatches(Sampler[Visit]):
    """Visit samples in order; whole batches are dealt to the ranks, and left out when nothing in them is wanted.

    Which samples share a batch is a function of their order alone. So what is computed from a batch does not depend,
    down to its last bits, on the number of ranks, nor on what was computed before an interruption.

    Args:
        wanted: For each sample whether it is to be visited; the others are as well where they share a batch with one.
        batch_size: Samples of a batch; the last one may be smaller.
        rank: Index of this process.
        world_size: Number of processes; some may have nothing to do.
    """

    def __init__(self, wanted: Sequence[bool], batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        places = range(len(wanted))
        batches = [places[start : start + batch_size] for start in places[::batch_size]]
        left = [batch for batch in batches if any(wanted[place] for place in batch)]
        self.indices = [index for batch in left[rank::world_size] for index in batch]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Visit]:
        return iter([(0, index) for index in self.indices])


class ResumableLoader(DataLoader):
    """A loader whose position is saved with the checkpoint; Lightning calls the two state methods.

    Counts the batches that were delivered, not those that workers have made ahead. The position is kept in units of the
    order over all ranks, so that a run may continue with another batch size or number of processes. An own generator
    seeds the workers, so that making an iterator does not draw from the global stream.

    Args:
        kwargs: Arguments of ``torch.utils.data.DataLoader``, with an ``Order`` as ``sampler`` or ``batch_sampler``.
            With another sampler (Lightning puts in its own for ``overfit_batches``) it is a plain one that starts anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"generator": torch.Generator().manual_seed(0)} | kwargs)
        self._visited = {"epoch": 0, "position": 0}
        self._resume: dict[str, int] = dict(self._visited)

    @property
    def order(self) -> Order | None:
        """What decides the order of an epoch; None with a sampler of Lightning's."""
        return next((found for found in (self.batch_sampler, self.sampler) if isinstance(found, Order)), None)

    def __iter__(self) -> Iterator[Any]:
        # This is a generator, so that nothing happens before the first batch is asked for: Lightning makes the
        # iterator before it sets the epoch.
        order = self.order
        if order is None:
            yield from super().__iter__()
            return
        epoch, resume = order.epoch, self._resume
        order.position = resume["position"] if resume["epoch"] == epoch else 0
        if order.position:
            require_same_order(resume, order.decided_by())
        self._resume = {"epoch": epoch, "position": 0}
        self._visited = {"epoch": epoch, "position": order.position}
        for batch in super().__iter__():
            self._visited["position"] += order.units(self.batch_size)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, how much of its order all ranks together have visited, and what the order depends on."""
        order = self.order
        if order is None:
            return dict(self._visited)
        return self._visited | {"batch": order.batch(self.batch_size)[0]} | order.decided_by()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue at a stored position, if the next iteration is one of the same epoch.

        Raises:
            ValueError: When all ranks together take another number of samples, or of frames, per batch than then.
        """
        if self.order is not None:
            batch, setting = self.order.batch(self.batch_size)
            before = state.get("batch", batch)
            if before != batch:
                raise ValueError(
                    f"{setting}: batches of {batch} {self.order.counted}, and the run that is continued has batches of "
                    f"{before}, by which its steps and schedule are counted; choose a batch and devices whose product "
                    f"is {before}, or begin a new run from its weights (model.pretrained)"
                )
        self._visited = {name: state[name] for name in ("epoch", "position")}
        self._resume = dict(state)


def require_same_order(stored: dict[str, int], now: dict[str, int]) -> None:
    """Refuse to continue within an epoch whose order is not what it was.

    Raises:
        ValueError: With what has changed.
    """
    for name, value in now.items():
        if stored.get(name, value) != value:
            raise ValueError(
                f"the run that is continued was cut within an epoch, with {stored[name]} {WORDS[name]}, and this one "
                f"has {value}: what is left of the epoch is unknown; continue with the data and settings it had"
            )
