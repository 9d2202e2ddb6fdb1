"""Files with a sum beside them: how they are written, replaced, checked and removed."""

import errno
import os
import subprocess
from collections import Counter, OrderedDict, defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoint.sums import CheckpointError, digest_of, open_safely, recorded_sums, sum_file, verify
from core.checkpoint.writing import SaveError, probe_folder, remove_checkpoint, write_checkpoint

CONTENT = {"state_dict": {"w": torch.arange(5000.0)}, "epoch": 3, "lr": [0.1, None], "name": "é"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_checkpoint(CONTENT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_a_sum_that_sha256sum_accepts_are_written_and_nothing_else(written: Path) -> None:
    assert names(written.parent) == ["last.ckpt", "last.ckpt.sha256"]
    subprocess.run(["sha256sum", "--strict", "-c", "last.ckpt.sha256"], cwd=written.parent, check=True)
    loaded = torch.load(written, weights_only=True)
    assert torch.equal(loaded.pop("state_dict")["w"], CONTENT["state_dict"]["w"])
    assert loaded == {name: value for name, value in CONTENT.items() if name != "state_dict"}
    verify(written)


@pytest.mark.parametrize("name", ["a b.ckpt", "ümlaut'\".ckpt", "back\\slash.ckpt", "two\nlines.ckpt"])
def test_unusual_names_have_sums_too(tmp_path: Path, name: str) -> None:
    write_checkpoint(CONTENT, tmp_path / name)
    verify(tmp_path / name)
    assert recorded_sums(tmp_path / name) == (digest_of(tmp_path / name),)
    subprocess.run(["sha256sum", "--strict", "-c", f"{name}.sha256"], cwd=tmp_path, check=True)


def test_a_replaced_file_has_the_new_sum_alone(written: Path) -> None:
    write_checkpoint(CONTENT | {"epoch": 4}, written)
    assert open_safely(written)["epoch"] == 4
    assert recorded_sums(written) == (digest_of(written),)


@pytest.mark.parametrize("failing", range(1, 5))
def test_at_every_step_of_replacing_the_file_fits_one_of_its_sums(
    written: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Stop before each of the three renames."""
    moves, replace = [], Path.replace

    def replace_until(source: Path, target: Path) -> None:
        if len(moves) == failing - 1:
            raise KeyboardInterrupt
        moves.append(target)
        replace(source, target)

    monkeypatch.setattr(Path, "replace", replace_until)
    if failing <= 3:
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(CONTENT | {"epoch": 4}, written)
    else:
        write_checkpoint(CONTENT | {"epoch": 4}, written)
    verify(written)
    assert open_safely(written)["epoch"] == (3 if failing <= 2 else 4)
    monkeypatch.undo()
    probe_folder(written.parent)
    assert recorded_sums(written) == (digest_of(written),)
    assert names(written.parent) == ["last.ckpt", "last.ckpt.sha256"]


def test_a_file_of_an_earlier_version_gets_its_sum_before_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(CONTENT, path)
    before = digest_of(path)
    recorded, replace = [], Path.replace

    def watch(source: Path, target: Path) -> None:
        if target == path:
            recorded.extend(recorded_sums(path))
        replace(source, target)

    monkeypatch.setattr(Path, "replace", watch)
    write_checkpoint(CONTENT, path)
    assert before in recorded and len(recorded) == 2


@pytest.mark.parametrize("place", [0, 100, 0.5, -30])
def test_one_altered_byte_is_found(written: Path, place: float) -> None:
    data = bytearray(written.read_bytes())
    data[int(place * len(data)) if isinstance(place, float) else place] ^= 1
    written.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"last\.ckpt: truncated or altered.*last\.ckpt\.sha256"):
        verify(written)


@pytest.mark.parametrize("size", [0, 1, 1000, -1])
def test_a_truncated_file_is_found_with_and_without_its_sum(written: Path, size: int) -> None:
    written.write_bytes(written.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="truncated or altered"):
        verify(written)
    sum_file(written).unlink()
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        verify(written)


def test_a_text_is_refused_with_a_reason(tmp_path: Path) -> None:
    text = tmp_path / "README.md"
    text.write_text("# vidzoo\n\nA model zoo.\n")
    with pytest.raises(CheckpointError, match=r"cannot be read as a checkpoint \([\d,]+ bytes; \w"):
        open_safely(text)


def test_a_file_without_a_sum_is_accepted_with_one_warning(written: Path, caplog: pytest.LogCaptureFixture) -> None:
    sum_file(written).unlink()
    for _ in range(3):
        verify(written)
    assert [record.message for record in caplog.records] == [
        f"warning: {written} has no sum beside it; it opens, but cannot be checked further"
    ]


def test_a_tensor_altered_in_a_file_without_a_sum_is_found(written: Path) -> None:
    sum_file(written).unlink()
    data = bytearray(written.read_bytes())
    data[data.index(torch.tensor([4000.0, 4001.0]).numpy().tobytes())] ^= 1
    written.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"its part .*data/0 is damaged"):
        verify(written)


@pytest.mark.parametrize("text", ["", "no sum\n", "\xff"])
def test_a_damaged_list_of_sums_is_an_error_and_does_not_hinder_the_next_saving(written: Path, text: str) -> None:
    sum_file(written).write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"last\.ckpt\.sha256: is no list of sums"):
        verify(written)
    write_checkpoint(CONTENT, written)
    verify(written)


def test_the_sum_of_a_batch_job_does_not_hide_its_file_from_lightning(tmp_path: Path) -> None:
    from lightning import Trainer

    for number in (1, 2):
        write_checkpoint(CONTENT, tmp_path / f"hpc_ckpt_{number}.ckpt")
    verify(tmp_path / "hpc_ckpt_2.ckpt")
    connector = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)._checkpoint_connector
    assert connector._hpc_resume_path == str(tmp_path / "hpc_ckpt_2.ckpt")
    assert connector.hpc_save_path(str(tmp_path)) == str(tmp_path / "hpc_ckpt_3.ckpt")


def test_a_file_and_its_sum_are_removed_together(written: Path) -> None:
    remove_checkpoint(written)
    remove_checkpoint(written)
    assert names(written.parent) == []


class Later(int):
    """A plain value but for its class."""


@pytest.mark.parametrize(
    "value",
    [np.float64(1), np.zeros(2), Path("x"), Fraction(1), Later(1), defaultdict(int), print, torch.nn.ReLU()],
    ids=repr,
)
def test_what_could_not_be_loaded_safely_is_not_saved(tmp_path: Path, value: object) -> None:
    with pytest.raises(CheckpointError, match=r"callbacks\.mine\.0 is a .*must turn it into tensors and plain values"):
        write_checkpoint({"state_dict": {}, "callbacks": {"mine": [value]}}, tmp_path / "last.ckpt")
    assert names(tmp_path) == []
    torch.save([value], tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="holds objects"):
        open_safely(tmp_path / "x.pt")


def test_all_that_is_saved_can_be_loaded_safely(tmp_path: Path) -> None:
    values = [None, True, 2**80, 1.5, 1j, "x", b"x", (1, [2]), {3}, OrderedDict(a=1), Counter("aa"), torch.Size([2])]
    tensors = [torch.float16, torch.device("cpu"), torch.tensor(1), torch.nn.Parameter(torch.zeros(2))]
    write_checkpoint({"all": values, "tensors": tensors, 5: "a number as key"}, tmp_path / "x.ckpt")
    loaded = open_safely(tmp_path / "x.ckpt")
    assert loaded["all"] == values and loaded[5] == "a number as key"
    assert loaded["tensors"][:2] == tensors[:2] and isinstance(loaded["tensors"][3], torch.nn.Parameter)


def disk_full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failure_says_what_where_and_how_much_and_leaves_the_earlier_file(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, size = written.read_bytes(), written.stat().st_size
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(SaveError) as caught:
        write_checkpoint(CONTENT, written)
    message = str(caught.value)
    assert message.startswith(f"{written}: cannot be saved: No space left on device; it needs {size:,} bytes")
    assert f"are free in {written.parent}" in message and "ckpt_path=last" in message
    assert caught.value.errno == errno.ENOSPC
    assert names(written.parent) == ["last.ckpt", "last.ckpt.sha256"]
    assert written.read_bytes() == before
    verify(written)


def test_a_folder_that_cannot_sync_its_names_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def files_only(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_checkpoint(CONTENT, tmp_path / "last.ckpt")
    verify(tmp_path / "last.ckpt")


def test_a_probed_folder_is_made_and_left_as_it_was(tmp_path: Path) -> None:
    probe_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "a" / "b" / ".saving-1.ckpt.part").touch()
    (tmp_path / "a" / "b" / "notes.part").touch()
    probe_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == ["notes.part"]
