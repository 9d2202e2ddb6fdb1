"""What a low precision must not round."""

from collections.abc import Collection
from typing import Any

from lightning import Trainer


def keep_exact(trainer: Trainer, keys: Collection[str]) -> None:
    """Keep parts of a batch as the loader made them, whatever ``trainer.precision`` is.

    ``bf16-true`` and its like turn every floating-point tensor of a batch into their type before any hook of a
    datamodule or a task is asked. Coordinates do not survive that: from 128 on bfloat16 knows whole numbers only,
    from 256 on every second one.

    Args:
        trainer: Its precision plugin, of whatever strategy, gets another ``convert_input``.
        keys: Keys of the batch, a dict; those that are not there are not missed.
    """
    convert = trainer.precision_plugin.convert_input

    def convert_the_others(batch: dict[str, Any]) -> dict[str, Any]:
        return convert(batch) | {key: batch[key] for key in keys if key in batch}

    if keys:
        trainer.precision_plugin.convert_input = convert_the_others
