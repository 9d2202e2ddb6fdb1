"""``mode=check`` finds what is wrong with a data set, names it, and finds nothing wrong where nothing is."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.check_data import REPORT_FILE, DataDefectsError, check_data
from core.errors import ConfigError
from datamodules import checking
from datamodules.checking import KINDS
from datamodules.shanghaitech import ShanghaiTech
from datamodules.videos import Videos
from tests.datamodules import counters
from tests.integrity.broken import copied, cut, damaged, no_bytes, pipe

FRAMES = 40
TRAINING = [f"01_{number:03}" for number in range(1, 13)]
TESTING = [f"01_{number:04}" for number in range(14, 18)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in ShanghaiTech's layout, with regions, in which nothing is wrong."""
    root = tmp_path_factory.mktemp("sound") / "campus"
    for part in ("training/videos", "testing/frames", "testing/test_frame_mask", "regions"):
        (root / part).mkdir(parents=True)
    for n, name in enumerate(TRAINING):
        counters.encode(root / f"training/videos/{name}.avi", "mpeg4", FRAMES, b_frames=None, first=FRAMES * n)
    for n, name in enumerate(TESTING):
        names = {500 + FRAMES * n + number: f"{number:03}.jpg" for number in range(FRAMES)}
        counters.write_frames(root / "testing/frames" / name, names)
        np.save(root / f"testing/test_frame_mask/{name}.npy", np.arange(FRAMES) % 2)
    for name in (*TRAINING, *TESTING):
        write_regions(root, name, range(FRAMES))
    return root


def write_regions(root: Path, name: str, frames: range, **changes: object) -> None:
    results = [
        {"image_id": f"{number:03}.jpg", "Boxes": [[1, 2, 3, 4]], "Scores": [0.5]} | changes for number in frames
    ]
    (root / "regions" / f"res_frcnn_{name}.json").write_text(json.dumps({"results": results}))


@pytest.fixture
def campus(sound: Path, tmp_path: Path) -> Path:
    return copied(sound, tmp_path / "campus")


def node(folder: Path, target: str = "datamodules.shanghaitech.ShanghaiTech", **options: object) -> dict:
    plain = {"_target_": target, "root": str(folder), "cache": str(folder.parent / "cache"), "decode_timeout_s": 2.0}
    return plain | options


def checked(run: Path, datamodule: dict) -> dict:
    """Run the check, and return its report."""
    try:
        check_data({"datamodule": datamodule, "paths": {"run": str(run)}})
        wrong = False
    except DataDefectsError:
        wrong = True
    report = json.loads((run / REPORT_FILE).read_text())
    assert wrong == bool(report["defects"]) and report["complete"]
    assert report["counts"] == {kind: sum(defect["kind"] == kind for defect in report["defects"]) for kind in KINDS}
    return report


def found(report: dict) -> set[tuple[str, str]]:
    return {(defect["kind"], Path(defect["path"]).name) for defect in report["defects"]}


def training(name: str) -> Callable[[Path], Path]:
    return lambda root: root / f"training/videos/{name}.avi"


def frame(video: str, number: int) -> Callable[[Path], Path]:
    return lambda root: root / f"testing/frames/{video}/{number:03}.jpg"


def mask(video: str) -> Callable[[Path], Path]:
    return lambda root: root / f"testing/test_frame_mask/{video}.npy"


def regions(video: str) -> Callable[[Path], Path]:
    return lambda root: root / f"regions/res_frcnn_{video}.json"


def short(path: Path) -> None:
    counters.encode(path, "mpeg4", 20, b_frames=None, first=900)
    write_regions(path.parents[2], path.stem, range(20))


def small(path: Path) -> None:
    image = Image.open(path)
    image.resize((80, 48)).save(path)


def renamed(path: Path) -> None:
    path.rename(path.with_name(path.name.replace("01", "07", 1)))


def second_name(path: Path) -> None:
    """The same frame number under another file name."""
    shutil.copy(path, path.with_name(f"img_{path.name}"))


def too_few(path: Path) -> None:
    np.save(path, np.zeros(FRAMES - 1))


def leaked(path: Path) -> None:
    """A training video is also a testing one; in frames without loss."""
    root = path.parents[2]
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    folder = root / "testing/frames/01_0014"
    shutil.rmtree(folder)
    from datamodules.reading import open_video, probe

    folder.mkdir()
    with open_video(probe(path)) as reader:
        for number, pixels in enumerate(reader.read(range(FRAMES))):
            Image.fromarray(pixels).save(folder / f"{number:03}.png")


def twice(path: Path) -> None:
    shutil.copy(path, path.with_name("01_001.avi"))


def larger(path: Path) -> None:
    """A whole video of another size."""
    frames = sorted(path.iterdir())
    for image in frames:
        Image.open(image).resize((320, 192)).save(image)


# name of the defect: where it is planted, how, and which kinds must be reported of which file, and no others
PLANTED: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None], set[tuple[str, str]]]] = {
    "empty video": (training("01_003"), no_bytes, {(checking.UNREADABLE, "01_003.avi")}),
    "cut video": (training("01_003"), cut, {(checking.TRUNCATED, "01_003.avi")}),
    "damaged video": (training("01_003"), damaged, {(checking.TRUNCATED, "01_003.avi")}),
    "pipe": (training("01_003"), pipe, {(checking.UNREADABLE, "01_003.avi")}),
    "short video": (training("01_003"), short, {(checking.TOO_SHORT, "01_003.avi")}),
    "cut image": (frame("01_0015", 7), cut, {(checking.TRUNCATED, "007.jpg")}),
    "empty image": (frame("01_0015", 0), no_bytes, {(checking.UNREADABLE, "000.jpg")}),
    "lost image": (
        frame("01_0015", 7),
        Path.unlink,
        {
            (checking.GAP, "01_0015"),
            (checking.LABEL_LENGTH, "01_0015.npy"),
            (checking.ORPHAN, "res_frcnn_01_0015.json"),
        },
    ),
    "small image": (frame("01_0015", 7), small, {(checking.SIZE, "007.jpg")}),
    "two images of a number": (frame("01_0015", 7), second_name, {(checking.DUPLICATE_ID, "01_0015")}),
    "lost mask": (mask("01_0015"), Path.unlink, {(checking.MISSING, "01_0015")}),
    "orphan mask": (mask("01_0015"), renamed, {(checking.MISSING, "01_0015"), (checking.ORPHAN, "07_0015.npy")}),
    "short mask": (mask("01_0015"), too_few, {(checking.LABEL_LENGTH, "01_0015.npy")}),
    "empty mask": (mask("01_0015"), no_bytes, {(checking.BROKEN, "01_0015.npy")}),
    "lost regions": (regions("01_003"), Path.unlink, {(checking.MISSING, "01_003.avi")}),
    "orphan regions": (
        regions("01_003"),
        renamed,
        {(checking.MISSING, "01_003.avi"), (checking.ORPHAN, "res_frcnn_07_003.json")},
    ),
    "cut regions": (regions("01_003"), cut, {(checking.BROKEN, "res_frcnn_01_003.json")}),
    "regions of frames that are not there": (
        regions("01_003"),
        lambda path: write_regions(path.parents[1], "01_003", range(FRAMES + 1)),
        {(checking.ORPHAN, "res_frcnn_01_003.json")},
    ),
    "leak": (training("01_003"), leaked, {(checking.LEAK, "01_0014")}),
    "copy": (training("01_003"), twice, {(checking.DUPLICATE_CONTENT, "01_003.avi")}),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_found_and_nothing_else(campus: Path, tmp_path: Path, defect: str) -> None:
    where, plant, expected = PLANTED[defect]
    plant(where(campus))
    report = checked(tmp_path / "run", node(campus))
    assert found(report) == expected
    assert all(entry["detail"] and entry["split"] for entry in report["defects"])


def test_many_planted_defects_are_all_found_at_once(campus: Path, tmp_path: Path) -> None:
    planted = {
        (training("01_002"), no_bytes, checking.UNREADABLE),
        (training("01_003"), cut, checking.TRUNCATED),
        (training("01_004"), damaged, checking.TRUNCATED),
        (training("01_005"), short, checking.TOO_SHORT),
        (training("01_006"), twice, checking.DUPLICATE_CONTENT),
        (frame("01_0015", 3), Path.unlink, checking.GAP),
        (frame("01_0016", 4), small, checking.SIZE),
        (frame("01_0016", 5), cut, checking.TRUNCATED),
        (frame("01_0016", 6), no_bytes, checking.UNREADABLE),
        (mask("01_0014"), Path.unlink, checking.MISSING),
        (mask("01_0017"), too_few, checking.LABEL_LENGTH),
        (regions("01_007"), renamed, checking.ORPHAN),
        (regions("01_008"), cut, checking.BROKEN),
    }
    for where, plant, _ in planted:
        plant(where(campus))
    report = checked(tmp_path / "run", node(campus))
    assert {kind for _, _, kind in planted} <= {defect["kind"] for defect in report["defects"]}
    assert len(report["defects"]) >= len(planted) >= 12
    assert report["videos"] == len(TRAINING) + len(TESTING)


def test_nothing_is_wrong_with_a_sound_data_set(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    report = checked(tmp_path / "run", node(sound))
    assert report["defects"] == [] and report["frames"] == FRAMES * (len(TRAINING) + len(TESTING))
    shown = capsys.readouterr().out
    assert f"looked at {len(TRAINING) + len(TESTING)} videos" in shown and all(kind in shown for kind in KINDS)


@pytest.mark.parametrize("datamodule", [ShanghaiTech, Videos])
def test_nothing_is_wrong_with_the_generated_sample(
    sample_cache: Path, tmp_path: Path, datamodule: type[Videos]
) -> None:
    target = f"{datamodule.__module__}.{datamodule.__name__}"
    report = checked(tmp_path / "run", node(tmp_path, target, root="sample", cache=str(sample_cache)))
    assert report["defects"] == [] and report["videos"] > 20


def test_a_video_of_another_size_than_nearly_all_is_odd_and_one_of_many_sizes_is_not(tmp_path: Path) -> None:
    root, target = tmp_path / "set", "datamodules.videos.Videos"
    for n in range(10):
        counters.write_frames(root / f"v{n}", {40 * n + number: f"{number}.png" for number in range(4)})
    larger(root / "v3")
    assert found(checked(tmp_path / "a", node(root, target, num_frames=2))) == {(checking.SIZE, "v3")}
    larger(root / "v4")
    assert found(checked(tmp_path / "b", node(root, target, num_frames=2))) == set()


def test_lists_are_checked_for_frames_that_do_not_exist_and_for_lines_that_repeat(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for n in range(3):
        counters.write_frames(root / f"v{n}", {40 * n + number: f"{number}.png" for number in range(35)})
    (tmp_path / "list.txt").write_text("v0 0 35\nv1 0 36\nv2 0 35\nv2 0 35\nv2 1 20\n")
    options = {"list_file": str(tmp_path / "list.txt"), "frame_step": 1, "num_frames": 25}
    report = checked(tmp_path / "run", node(root, "datamodules.videos.Videos", **options))
    assert found(report) == {
        (checking.FRAME_COUNT, "v1"),
        (checking.DUPLICATE_ID, "v2"),
        (checking.TOO_SHORT, "v2"),
    }


def test_a_matroska_file_that_was_cut_has_fewer_frames_than_it_says(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    whole = counters.encode(root / "a.mkv", count=100)
    assert found(checked(tmp_path / "a", node(root, "datamodules.videos.Videos"))) == set()
    cut(whole)
    assert (checking.FRAME_COUNT, "a.mkv") in found(checked(tmp_path / "b", node(root, "datamodules.videos.Videos")))


def test_two_files_that_only_their_suffix_tells_apart_have_one_id(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    counters.encode(tmp_path / "set/a.mp4", count=FRAMES)
    counters.encode(tmp_path / "set/a.avi", "mpeg4", count=FRAMES, b_frames=None)
    report = checked(tmp_path / "run", node(tmp_path / "set", "datamodules.videos.Videos"))
    assert {defect["kind"] for defect in report["defects"]} == {checking.DUPLICATE_ID}


def test_regions_in_one_file_are_checked_entry_by_entry(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for n in range(3):
        counters.write_frames(root / f"v{n}", {40 * n + number: f"{number}.png" for number in range(4)})
    images = ["v0_0.png", "v0_9.png", "v1_1.png", "elsewhere_1.png"]
    results = [{"image_id": image, "Boxes": [[1, 2, 3, 4]]} for image in images]
    (root / "all.json").write_text(json.dumps({"results": results}))
    options = {"regions": "all.json", "num_frames": 2}
    report = checked(tmp_path / "run", node(root, "datamodules.videos.Videos", **options))
    assert found(report) == {(checking.ORPHAN, "all.json"), (checking.MISSING, "v2")}
    assert report["counts"][checking.ORPHAN] == 2


def test_a_datamodule_without_a_check_is_named(tmp_path: Path) -> None:
    config = {"datamodule": {"_target_": "lightning.LightningDataModule"}, "paths": {"run": str(tmp_path)}}
    with pytest.raises(ConfigError, match="mode=check: LightningDataModule has no check"):
        check_data(config)


def start(repository: Path, root: Path, run: Path, *more: str) -> subprocess.Popen:
    options = ["task=focusmae", "mode=check", f"datamodule.root={root}", f"hydra.run.dir={run}", "run_id=check", *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "train.py", *options], cwd=repository, **pipes)


@pytest.mark.slow
def test_the_command_ends_with_1_when_anything_is_wrong_and_with_0_otherwise(
    repository: Path, campus: Path, tmp_path: Path
) -> None:
    sound = start(repository, campus, tmp_path / "sound")
    assert "nothing is wrong with the data" in sound.communicate(timeout=120)[0]
    assert sound.returncode == 0
    no_bytes(training("01_003")(campus))
    wrong = start(repository, campus, tmp_path / "wrong")
    said = wrong.communicate(timeout=120)[0]
    assert wrong.returncode == 1
    assert said.rstrip().splitlines()[-1].startswith("1 defect in the data; ")
    assert "Traceback" not in said and "training/videos/01_003.avi: it cannot be read as a video" in said


@pytest.mark.slow
def test_an_interrupted_check_writes_what_it_has_and_leaves_no_process(
    repository: Path, campus: Path, tmp_path: Path
) -> None:
    for n in range(400):
        shutil.copy(training("01_005")(campus), training(f"02_{n:03}")(campus))
    process = start(repository, campus, tmp_path / "run", "datamodule.num_workers=1")
    for line in process.stdout:
        if line.startswith("looked at"):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    report = json.loads((tmp_path / "run" / REPORT_FILE).read_text())
    assert not report["complete"] and report["videos"] > 0
    time.sleep(0.5)
    commands = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    assert not any(str(tmp_path).encode() in command for command in commands)
