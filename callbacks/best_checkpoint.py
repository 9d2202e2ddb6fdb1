"""The checkpoints with the best values of the monitored metric."""

from typing import Annotated, Any, Literal

from lightning.pytorch.callbacks import ModelCheckpoint

_NAME, _NAMES = "best", "best-{epoch:03d}-{step:06d}"


class BestCheckpoint(ModelCheckpoint):
    """Keep ``best.ckpt``, or the ``save_top_k`` best as ``best-<epoch>-<step>.ckpt``.

    Lightning's own class gives several files one name where the name says nothing that differs, so that the one that
    remains is any of them.

    Args:
        dirpath: Where the files go.
        monitor: Name of the logged metric; None keeps the newest.
        mode: Whether less or more is better.
        save_top_k: How many are kept; -1 for all, 0 for none.
        filename: Another name, without the suffix.
        **options: Of ModelCheckpoint.

    Raises:
        ValueError: When several files would have the same name.
    """

    def __init__(
        self,
        dirpath: str,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        save_top_k: Annotated[int, "save_top_k >= -1"] = 1,
        filename: str | None = None,
        **options: Any,
    ) -> None:
        if filename is None:
            filename = _NAME if save_top_k in (0, 1) else _NAMES
        if save_top_k not in (0, 1) and "{" not in filename:
            raise ValueError(f"filename: {save_top_k} files need names that differ, as {_NAMES}; found {filename!r}")
        super().__init__(
            dirpath=dirpath,
            filename=filename,
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            **options,
        )
