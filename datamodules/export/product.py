"""What ``mode=prepare`` makes, one thing after the other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.atomic import write_file

VIDEOS = "videos"  # as a product: those that cannot be read
FRAMES = "frames"
VIDEO_LIST = "video list"
LABEL_LISTS = "label lists"
FEATURES = "features"


@dataclass(frozen=True)
class Product:
    """One thing that was to be made.

    Attributes:
        kind: What it is, such as ``frames``.
        path: The file or folder.
        state: ``made`` now, ``kept`` because it was there already, or ``failed``.
        detail: Why it failed.
    """

    kind: str
    path: str
    state: Literal["made", "kept", "failed"]
    detail: str = ""


def failed(kind: str, path: Path, reason: object) -> Product:
    """What could not be made."""
    return Product(kind, str(path), "failed", str(reason))


def product_file(kind: str, path: Path, content: bytes) -> Product:
    """Make a file unless it is there; one that holds something else is never replaced.

    Args:
        kind: What it is.
        path: The file; its folder is made.
        content: What it is to hold.
    """
    try:
        if path.exists():
            other = "is there already and holds something else; move it away, or name another place"
            return Product(kind, str(path), "kept") if path.read_bytes() == content else failed(kind, path, other)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    except OSError as error:
        return failed(kind, path, f"cannot be written ({error.strerror or error})")
    return Product(kind, str(path), "made")


def product_text(kind: str, path: Path, lines: list[str]) -> Product:
    """Make a file of lines unless it is there."""
    return product_file(kind, path, "".join(f"{line}\n" for line in lines).encode())
