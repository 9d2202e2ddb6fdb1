"""Features are the same bytes on any number of ranks, and after any interruption; what is there is whole."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.datamodules import counters
from tests.toy_project import run_python

pytestmark = pytest.mark.slow
FRAMES = {"a/v0": 30, "a/v1": 9, "b c/v0": 61, "v.3": 4, "v4": 25, "v5": 40, "v6": 12, "v7": 33}  # of the videos
TINY = ["model.num_frames=4", "model.image_size=[32,48]", "model.dim=24", "model.depth=2", "model.num_heads=2"]
TASK = ["task=features", "datamodule=videos", "datamodule.resize=squash", "datamodule.crop=none", *TINY]
POOLED = ["callbacks.features.layer=blocks", "callbacks.features.pool=mean_std_max"]
RANKS = (1, 2, 3)
WINDOWS = ["datamodule.windows.stride=3", "datamodule.windows.tail=overlap", "datamodule.windows.views=three_width"]
KINDS = {
    "clips": ["datamodule.windows=null", "datamodule.eval_clips=3", "datamodule.batch_size=2"],
    "windows": [*WINDOWS, "datamodule.batch_size=4"],
}
# The first array, between an array and its sidecar, within a sidecar, further on.
KILLS = [[1, "half"], [2, "before"], [4, "half"], [5, "before"]]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("extraction") / "videos"
    for place, (name, frames) in enumerate(FRAMES.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        counters.encode(root / f"{name}.mp4", count=frames, first=70 * place)
    return root


def job(run: Path, videos: Path, kind: str, ranks: int = 1, workers: int = 0, kill: list | None = None) -> dict:
    data = [f"datamodule.root={videos}", f"datamodule.cache={run.parent}", f"datamodule.num_workers={workers}"]
    devices = [f"trainer.devices={ranks}", *(["trainer.strategy=ddp_fork"] if ranks > 1 else [])]
    overrides = [*TASK, *POOLED, *KINDS[kind], *data, *devices, "trainer.enable_progress_bar=false"]
    return {"run": str(run), "overrides": overrides, "kill": kill}


def make(jobs: list[dict]) -> tuple[list[int], str]:
    """Make jobs one after the other; exit codes, and what was said."""
    done = run_python(REPOSITORY, "-m", "tests.integrity.extractions", json.dumps(jobs), timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def contents(run: Path) -> dict[str, bytes]:
    """Arrays and sidecars by path."""
    folder = run / "features"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def manifest(run: Path) -> dict:
    return json.loads((run / "features" / "manifest.json").read_text())


def check_that_what_counts_is_whole(run: Path) -> int:
    """Every sidecar has its array; returns how many there are."""
    sidecars = list((run / "features").rglob("*.json"))
    for sidecar in sidecars:
        content, array = json.loads(sidecar.read_bytes()), sidecar.with_name(f"{sidecar.name[:-5]}.npy")
        assert hashlib.sha256(array.read_bytes()).hexdigest() == content["array"]["sha256"]
    for array in (run / "features").rglob("*.npy"):
        assert len(np.load(array)) > 0  # none is cut short, sidecar or not
    return len(sidecars)


@pytest.fixture(scope="module", params=KINDS)
def runs(videos: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Folder of whole runs on 1, 2 and 3 ranks, and of one that was killed and repeated."""
    folder = tmp_path_factory.mktemp(request.param)
    jobs = [job(folder / str(ranks), videos, request.param, ranks, workers=ranks % 2) for ranks in RANKS]
    for ranks, kill in zip((1, 2, 1, 2), KILLS, strict=True):
        jobs.append(job(folder / "killed", videos, request.param, ranks, kill=kill))
    jobs.append(job(folder / "killed", videos, request.param, ranks=2))
    codes, said = make(jobs)
    assert codes == [0, 0, 0, -9, -9, -9, -9, 0], said
    return folder


def test_any_number_of_ranks_writes_the_same_bytes(runs: Path) -> None:
    expected = contents(runs / "1")
    assert len(expected) == 2 * len(FRAMES)
    for ranks in RANKS:
        assert contents(runs / str(ranks)) == expected
        assert manifest(runs / str(ranks)) == {"done": sorted(FRAMES), "skipped": [], "failed": []}


def test_a_kill_leaves_what_is_whole_and_nothing_else_that_counts(runs: Path) -> None:
    there = [check_that_what_counts_is_whole(runs / f"killed_after_{len(RANKS) + k}") for k in range(len(KILLS))]
    assert there == sorted(there)  # what is finished stays
    assert 0 < there[-1] < len(FRAMES)


def test_a_run_that_was_killed_again_and_again_ends_as_one_that_was_not(runs: Path) -> None:
    assert contents(runs / "killed") == contents(runs / "1")
    found = manifest(runs / "killed")
    assert found["failed"] == [] and sorted(found["done"] + found["skipped"]) == sorted(FRAMES)
    assert found["skipped"]
    assert not list((runs / "killed").rglob("*.part"))


def test_a_broken_video_ends_in_the_manifest_and_in_exit_code_1(videos: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(videos, library)
    (library / "v4.mp4").write_text("this was a video once")
    options = job(tmp_path / "run", library, "windows")["overrides"] + ["datamodule.windows.tail=drop"]
    options += ["callbacks.features.folder=" + str(tmp_path / "features"), f"paths.logs={tmp_path / 'logs'}"]
    done = run_python(REPOSITORY, "train.py", *options, "model.num_frames=8", "trainer.accelerator=cpu")
    assert done.returncode == 1
    found = json.loads((tmp_path / "features" / "manifest.json").read_text())
    assert found["done"] == sorted(set(FRAMES) - {"v.3", "v4"})  # v.3 is shorter than a window
    broken, short = sorted(found["failed"], key=lambda entry: entry["video"], reverse=True)
    assert broken["video"] == "v4" and broken["path"] == str(library / "v4.mp4") and broken["reason"]
    assert short["video"] == "v.3" and "has 4 frames, a window takes 8" in short["reason"]
    assert "2 of 8 videos have no features" in done.stderr and "Traceback" not in done.stderr
    assert {path.stem for path in (tmp_path / "features").rglob("*.npy")} == {Path(name).name for name in found["done"]}
