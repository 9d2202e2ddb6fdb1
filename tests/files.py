"""What a folder holds, for tests of what was written."""

from pathlib import Path


def names_in(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def contents_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their paths, in the order of these."""
    return {name: (folder / name).read_bytes() for name in names_in(folder)}
