"""What ranks tell each other without waiting: notes in the store of the process group."""

import json
from time import sleep
from typing import Any

import torch.distributed as dist
from lightning import Trainer

_LOOK_S = 0.05


class Notes:
    """Sums that all ranks add to, and notes that the first rank collects.

    No collective operation is used: those end in an error when one rank is at work for longer than the others are
    ready to wait, which in a prediction is normal.

    Args:
        trainer: With its processes connected.
        topic: Tells the notes of one use from those of another in the same job.
    """

    def __init__(self, trainer: Trainer, topic: str) -> None:
        self._rank, self._ranks, self._topic = trainer.global_rank, trainer.world_size, f"vidzoo/{topic}"
        self._store = dist.distributed_c10d._get_default_store() if self._ranks > 1 else None
        self._sums: dict[str, int] = {}

    def add(self, name: str, count: int) -> int:
        """Add to a sum; return the sum over all ranks."""
        if self._store is not None:
            return self._store.add(f"{self._topic}/{name}", count)
        self._sums[name] = self._sums.get(name, 0) + count
        return self._sums[name]

    def collect(self, note: Any) -> list[Any]:
        """Hand in the note of this rank, JSON; on the first rank wait for those of all and return them in order.

        The other ranks get back an empty list at once.
        """
        return self._notes(note, wait=not self._rank)

    def exchange(self, note: Any) -> list[Any]:
        """Hand in the note of this rank, JSON; wait for those of all and return them in order, on every rank."""
        return self._notes(note, wait=True)

    def _notes(self, note: Any, wait: bool) -> list[Any]:
        if self._store is None:
            return [note]
        keys = [f"{self._topic}/note/{rank}" for rank in range(self._ranks)]
        self._store.set(keys[self._rank], json.dumps(note))
        if not wait:
            return []
        while not self._store.check(keys):
            sleep(_LOOK_S)
        return [json.loads(self._store.get(key)) for key in keys]
