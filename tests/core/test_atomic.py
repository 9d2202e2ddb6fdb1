"""A file is replaced in one step and for good, or nothing happens."""

import errno
import os
from pathlib import Path

import pytest

from core.atomic import PARTIALS, replace_file, write_file


def test_the_file_and_then_its_name_are_on_the_disk_when_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sync, seen = tmp_path / "metrics.csv", os.fsync, []

    def watched(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").resolve()
        seen.append((target.is_dir(), path.exists(), [one.read_bytes() for one in tmp_path.glob(PARTIALS)]))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_file(path, b"whole")
    assert seen == [(False, False, [b"whole"]), (True, True, [])]
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["disk full", "interrupted"]
)
def test_a_write_that_ends_early_leaves_the_earlier_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("earlier")

    def write(file) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        replace_file(path, write)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path, b"x")
    assert not list(tmp_path.parent.glob(PARTIALS))
