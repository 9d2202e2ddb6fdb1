"""Order of samples and position in an epoch, as functions of what a checkpoint stores."""

import atexit
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, SequentialSampler

from datamodules.killable import FOR_OTHERS

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


class ShardedShuffle(Sampler[Visit]):
    """Visit each rank's share of the data in an order fixed by ``(seed, epoch)``; every rank gets equally many.

    What does not divide by the number of ranks is left out, other samples in every epoch.

    Args:
        length: Number of samples of the data set.
        seed: Seed of the run.
        rank: Index of this process.
        world_size: Number of processes.

    Attributes:
        epoch: Lightning sets it before every epoch.
        position: Samples of the epoch's order, of all ranks together, that the next iteration leaves out because they
            were visited before a restart.
    """

    def __init__(self, length: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.length, self.seed, self.rank, self.world_size = length, seed, rank, world_size
        self.epoch = 0
        self.position = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        return self.length // self.world_size

    def __iter__(self) -> Iterator[Visit]:
        order = torch.randperm(self.length, generator=seeded(self.seed, self.epoch))[: len(self) * self.world_size]
        mine = order[self.position + self.rank :: self.world_size].tolist()
        return iter([(self.epoch, index) for index in mine])


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


def leave_signals_to_the_main_process(worker: int) -> None:
    """Let a loader worker go on after a signal that reaches all processes of a job: the main one decides."""
    for number in FOR_OTHERS:
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def end_forgotten_workers() -> None:
    """Kill the loader workers that are still there when the program ends, because something holds their loader.

    Python ends such processes by a signal that these ignore, and would wait for them for ever.
    """
    forgotten = [process for process in multiprocessing.active_children() if process.daemon]
    if forgotten and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would complain of workers that are killed
    for process in forgotten:
        process.kill()


def start_of_workers() -> str | None:
    """How loader workers are started: None for the usual way.

    In a process of joblib, which runs a job of a sweep, the usual way is joblib's own, and that starts nothing else.
    """
    possible = multiprocessing.get_all_start_methods()
    return None if multiprocessing.get_start_method() in possible else possible[0]


class ResumableLoader(DataLoader):
    """A loader whose position is saved with the checkpoint; Lightning calls the two state methods.

    Counts the batches that were delivered, not those that workers have made ahead. The position is kept in samples
    over all ranks, so that a run may continue with another batch size or number of processes. An own generator seeds
    the workers, so that making an iterator does not draw from the global stream.

    Args:
        kwargs: Arguments of ``torch.utils.data.DataLoader``, with a ``ShardedShuffle`` as ``sampler``. With another
            sampler (Lightning's ``overfit_batches`` puts in its own) it is a plain loader that starts anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"generator": torch.Generator().manual_seed(0)} | kwargs)
        self._visited = {"epoch": 0, "position": 0}
        self._resume: dict[str, int] = dict(self._visited)

    def __iter__(self) -> Iterator[Any]:
        # This is a generator, so that nothing happens before the first batch is asked for: Lightning makes the
        # iterator before it sets the epoch.
        if not isinstance(self.sampler, ShardedShuffle):
            yield from super().__iter__()
            return
        epoch, resume = self.sampler.epoch, self._resume
        self.sampler.position = resume["position"] if resume["epoch"] == epoch else 0
        if self.sampler.position:
            self._require_same_order(resume)
        self._resume = {"epoch": epoch, "position": 0}
        self._visited = {"epoch": epoch, "position": self.sampler.position}
        for batch in super().__iter__():
            self._visited["position"] += self.batch_size * self.sampler.world_size
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, how many samples of its order all ranks together have visited, and what the order depends on."""
        return self._visited | self._order()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue at a stored position, if the next iteration is one of the same epoch.

        Raises:
            ValueError: When all ranks together take another number of samples per batch than at that time.
        """
        order = self._order()
        if order and state.get("batch", order["batch"]) != order["batch"]:
            raise ValueError(
                f"datamodule.batch_size={self.batch_size} x {self.sampler.world_size} processes: batches of "
                f"{order['batch']} samples, and the run that is continued has batches of {state['batch']}, by which "
                f"its steps and schedule are counted; choose batch size and devices whose product is {state['batch']}, "
                "or begin a new run from its weights (model.pretrained)"
            )
        self._visited = {name: state[name] for name in ("epoch", "position")}
        self._resume = dict(state)

    def _order(self) -> dict[str, int]:
        """What decides which samples a position leaves out; nothing with a sampler of Lightning's."""
        if not isinstance(self.sampler, ShardedShuffle):
            return {}
        sampler = self.sampler
        return {"batch": self.batch_size * sampler.world_size, "length": sampler.length, "seed": sampler.seed}

    def _require_same_order(self, stored: dict[str, int]) -> None:
        order = self._order()
        for name, what in (("length", "samples in an epoch"), ("seed", "as seed of their order")):
            if stored.get(name, order[name]) != order[name]:
                raise ValueError(
                    f"the run that is continued was cut within an epoch, with {stored[name]} {what}, and this one has "
                    f"{order[name]}: what is left of the epoch is unknown; continue with the data and seed it had"
                )
