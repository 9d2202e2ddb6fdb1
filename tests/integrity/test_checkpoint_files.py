"""Checkpoints under real faults: processes that are killed, disks that are full, folders that cannot be written to."""

import errno
import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from core.checkpoint import read_checkpoint
from core.checkpoint.sums import CheckpointError, verify
from core.checkpoint.writing import SaveError, write_checkpoint
from core.run import run
from tests.conftest import REPOSITORY
from tests.toy_project import add_toys, make_project, run_python, run_script, toy_config

add_toys()
KILLS = 40
NOBODY = 65534
LARGE = "model.hidden=20000"  # checkpoints of 45 MB, larger than the megabyte with which a folder is probed
SMALL_DISK = 16 << 20  # bytes


def test_a_kill_at_any_moment_of_saving_leaves_a_whole_checkpoint() -> None:
    done = run_python(REPOSITORY, "benchmarks/kill_loop.py", "--kills", str(KILLS), "--json", timeout=120)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout.splitlines()[-1])
    assert counted["writing"] + counted["between"] + counted["elsewhere"] == KILLS
    assert counted["writing"] and counted["between"], f"the moments that matter were not hit: {counted}"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved(path: Path, step: int) -> Path:
    write_checkpoint({"state_dict": {"w": torch.full((20_000,), float(step))}, "global_step": step}, path)
    return path


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond ``size`` bytes, as a quota does: in the middle of a file."""
    soft, hard = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_FSIZE, (soft, hard))


@contextmanager
def not_root() -> Iterator[None]:
    """Give up the right to write anywhere, if there is one."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_write_that_fails_halfway_leaves_the_earlier_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", 1)
    with (
        largest_file(30_000),
        pytest.raises(SaveError, match=r"last\.ckpt: cannot be saved: File too large; it needs 8"),
    ):
        saved(path, 2)
    assert files(tmp_path) == ["last.ckpt", "last.ckpt.sha256"]
    verify(path)


def test_a_folder_without_permission_a_file_in_its_place_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir(mode=0o555)
    with not_root(), pytest.raises(SaveError, match=r"last\.ckpt: cannot be saved: Permission denied") as caught:
        saved(forbidden / "last.ckpt", 1)
    assert caught.value.errno == errno.EACCES
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"file/last\.ckpt: cannot be saved: Not a directory; it needs \d+,\d+ bytes"):
        saved(tmp_path / "file" / "last.ckpt", 1)
    with pytest.raises(SaveError, match=r"No such file or directory.*there is no folder .*missing"):
        saved(tmp_path / "missing" / "last.ckpt", 1)
    (tmp_path / "last.ckpt").mkdir()
    with pytest.raises(SaveError, match="Is a directory"):
        saved(tmp_path / "last.ckpt", 1)
    assert files(tmp_path) == ["file", "forbidden", "last.ckpt"]
    assert files(forbidden) == []


ON_A_DISK = """
import json, subprocess, sys
from pathlib import Path
import torch
from core.checkpoint.writing import SaveError, probe_folder, write_checkpoint
from core.checkpoint.sums import verify

disk = Path(sys.argv[1])
def mount(*options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", *options, "tmpfs", str(disk)], check=True)
def failure(action, *arguments):
    try:
        action(*arguments)
    except SaveError as error:
        return [error.errno, str(error)]

mount("size=128k")
write_checkpoint({"w": torch.zeros(10_000)}, disk / "last.ckpt")
full = failure(write_checkpoint, {"w": torch.ones(50_000)}, disk / "last.ckpt")
verify(disk / "last.ckpt")
left = sorted(path.name for path in disk.iterdir())
probed = failure(probe_folder, disk)
mount("remount,ro")
print(json.dumps({"full": full, "left": left, "probed": probed,
    "fixed": failure(write_checkpoint, {"w": torch.zeros(1)}, disk / "last.ckpt"),
    "fixed_probed": failure(probe_folder, disk)}))
"""
ALONE = ("unshare", "--user", "--map-root-user", "--mount")  # a process that may mount disks, seen by nobody else
CAN_MOUNT = shutil.which("unshare") is not None and (
    subprocess.run([*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="this system lets no process mount a disk of its own")
def test_a_full_disk_and_one_that_cannot_be_written_to_are_errors(tmp_path: Path) -> None:
    script = f"import subprocess, sys; sys.exit(subprocess.run([*{ALONE}, sys.executable, *sys.argv[1:]]).returncode)"
    done = run_python(REPOSITORY, "-c", script, "-c", ON_A_DISK, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["left"] == ["last.ckpt", "last.ckpt.sha256"]
    for name, number, text in (
        ("full", errno.ENOSPC, "last.ckpt: cannot be saved: No space left on device; it needs 20"),
        ("probed", errno.ENOSPC, "No space left on device"),
        ("fixed", errno.EROFS, "last.ckpt: cannot be saved: Read-only file system; it needs 1,"),
        ("fixed_probed", errno.EROFS, "Read-only file system"),
    ):
        assert found[name][0] == number and text in found[name][1], found[name]


SAVE = """
import sys
import torch
from core.checkpoint.writing import write_checkpoint
write_checkpoint({"state_dict": {"x": torch.arange(1000)}, "config": {}}, sys.argv[1])
"""


def test_a_temporary_folder_on_another_disk_takes_no_part_in_saving(tmp_path: Path) -> None:
    memory = Path("/dev/shm")  # of Linux; where there is none, another folder of the same disk has to do
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as elsewhere:
        path = tmp_path / "run" / "last.ckpt"
        path.parent.mkdir()
        done = run_python(REPOSITORY, "-c", SAVE, str(path), TMPDIR=elsewhere)
        assert done.returncode == 0, done.stderr
        assert not list(Path(elsewhere).iterdir())
    verify(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_a_run_that_could_not_save_ends_before_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.run.make_task", lambda *_: pytest.fail("the run went on"))
    (tmp_path / "checkpoints").touch()
    with pytest.raises(SaveError, match=r"checkpoints/\*\.ckpt: cannot be saved: (File exists|Not a directory)"):
        run(toy_config(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"file/elsewhere"):
        run(toy_config(tmp_path / "other", f"callbacks.best.dirpath={tmp_path / 'file' / 'elsewhere'}"))


class Unmount(Callback):
    """Takes the folder away in the middle of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if trainer.global_step == 2:
            shutil.rmtree(self.folder)


def test_a_folder_that_vanishes_while_training_is_an_error_and_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import run as module

    make = module.make_trainer

    def with_fault(config: dict) -> Trainer:
        trainer = make(config)
        trainer.callbacks.insert(0, Unmount(tmp_path / "checkpoints"))
        return trainer

    monkeypatch.setattr(module, "make_trainer", with_fault)
    with pytest.raises(SaveError, match=r"No such file or directory.*there is no folder .*checkpoints"):
        run(toy_config(tmp_path))
    assert not (tmp_path / "checkpoints").exists()


LIMITED = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({SMALL_DISK}, {SMALL_DISK}))
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.mark.slow
def test_a_command_whose_checkpoint_does_not_fit_fails_in_one_message(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    arguments = ("task=toy", LARGE, "trainer.accelerator=cpu", "trainer.devices=1", "run_id=x")
    done = run_python(project, "-c", LIMITED, *arguments)
    assert done.returncode == 1
    assert "best.ckpt: cannot be saved: File too large; it needs 46," in done.stderr
    assert "Traceback" not in done.stderr
    [folder] = (project / "logs").rglob("checkpoints")
    assert files(folder) == []


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]


def test_a_run_whose_last_checkpoint_is_damaged_continues_from_the_newest_whole_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(toy_config(tmp_path / "straight", "trainer.max_epochs=4"))
    every_epoch = ("callbacks.best.save_top_k=-1",)
    run(toy_config(tmp_path / "cut", "trainer.max_epochs=2", *every_epoch))
    folder = tmp_path / "cut" / "checkpoints"
    assert [name for name in files(folder) if name.endswith(".ckpt")] == [
        *("best-000-000006.ckpt", "best-001-000012.ckpt", "last.ckpt")
    ]
    for name in ("last", "best-001-000012"):
        os.truncate(folder / f"{name}.ckpt", 20_000)
    with pytest.raises(CheckpointError, match=r"last\.ckpt: truncated or altered"):
        run(toy_config(tmp_path / "cut", *every_epoch, f"ckpt_path={folder / 'last.ckpt'}"))
    with caplog.at_level(logging.WARNING):
        run(toy_config(tmp_path / "cut", "trainer.max_epochs=4", *every_epoch, "ckpt_path=last"))
    for name in ("last", "best-001-000012"):
        assert f"passes over a file: {folder / name}.ckpt: cannot be read" in caplog.text
    straight, continued = weights(tmp_path / "straight"), weights(tmp_path / "cut")
    assert all(torch.equal(straight[name], continued[name]) for name in straight)
    for path in folder.glob("*.ckpt"):
        verify(path)


def test_a_run_that_is_only_loaded_from_checks_what_it_loads(tmp_path: Path) -> None:
    run(toy_config(tmp_path, "trainer.max_epochs=1"))
    best = tmp_path / "checkpoints" / "best.ckpt"
    data = bytearray(best.read_bytes())
    data[len(data) // 2] ^= 1
    best.write_bytes(data)
    for named in ("best", best):
        with pytest.raises(CheckpointError, match=r"best\.ckpt: truncated or altered"):
            run(toy_config(tmp_path, "mode=test", f"ckpt_path={named}"))


SHOW = """
import json, sys
from core.checkpoint.tool import main
main(["show", sys.argv[1]])
print(json.dumps("lightning" in sys.modules))
"""


def test_looking_into_a_checkpoint_does_not_wait_for_lightning(tmp_path: Path) -> None:
    path = tmp_path / "a b.ckpt"
    write_checkpoint({"state_dict": {}, "config": {"task": {}, "model": {}}}, path)
    assert run_script(REPOSITORY, SHOW, str(path)) is False
