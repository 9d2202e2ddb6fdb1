"""``mode=prepare`` makes what the options name, says what it did, and ends with 1 when something failed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.command_line.check import check_overrides
from core.errors import ConfigError
from core.idle import idle_options
from core.prepare_data import REPORT_FILE, NotPreparedError, prepare_data
from datamodules.shanghaitech import ShanghaiTech
from datamodules.videos import Videos
from tests.datamodules import counters
from tests.integrity.broken import no_bytes

FRAMES = 36
TRAINING, TESTING = ("01_001", "01_002"), ("01_0014",)


@pytest.fixture
def campus(tmp_path: Path) -> Path:
    root = tmp_path / "campus"
    for part in ("training/videos", "testing/frames", "testing/test_frame_mask"):
        (root / part).mkdir(parents=True)
    for n, name in enumerate(TRAINING):
        counters.encode(root / f"training/videos/{name}.avi", "mpeg4", FRAMES, b_frames=None, first=100 * n)
    for name in TESTING:
        images = {500 + number: f"{number:03}.jpg" for number in range(FRAMES)}
        counters.write_frames(root / "testing/frames" / name, images)
        np.save(root / f"testing/test_frame_mask/{name}.npy", np.arange(FRAMES) >= 20)
    return root


def prepared(campus: Path, **options: object) -> dict:
    """Run the mode on the data set, and return its report."""
    run, target = campus.parent / "run", "datamodules.shanghaitech.ShanghaiTech"
    plain = {"_target_": target, "root": str(campus), "cache": str(campus.parent / "cache")}
    try:
        prepare_data({"datamodule": plain | options, "paths": {"run": str(run)}})
        failed = False
    except NotPreparedError:
        failed = True
    report = json.loads((run / REPORT_FILE).read_text())
    assert failed == any(product["state"] == "failed" for product in report["products"])
    return report


def states(report: dict) -> dict[str, dict[str, int]]:
    return {kind: {state: n for state, n in count.items() if n} for kind, count in report["counts"].items()}


def everything(campus: Path) -> dict[str, str]:
    place = campus.parent / "made"
    return {"frames": str(place / "frames"), "video_list": str(place / "v.txt"), "label_lists": str(place / "lists")}


def test_everything_that_is_named_is_made_and_fits_together(campus: Path) -> None:
    made = Path(everything(campus)["frames"]).parent
    report = prepared(campus, **everything(campus))
    assert report["complete"]
    assert states(report) == {"video list": {"made": 1}, "frames": {"made": 3}, "label lists": {"made": 14}}
    assert (made / "v.txt").read_text().split() == [*TRAINING, *TESTING]
    for name in (*TRAINING, *TESTING):
        listed = (made / "lists" / name / "rgb_list.txt").read_text().splitlines()
        assert len(listed) == FRAMES and all(Path(path).is_file() for path in listed)
    assert (made / "lists/training.txt").read_text().splitlines() == [f"{name},0,{FRAMES}" for name in TRAINING]
    assert (made / "lists/testing.txt").read_text() == f"01_0014,1,{FRAMES}\n"
    assert (made / "lists/01_0014/label.txt").read_text().split() == 20 * ["0:0"] + 16 * ["1:0"]


def test_a_second_run_does_nothing_and_says_so(campus: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared(campus, **everything(campus))
    caplog.set_level("INFO")
    report = prepared(campus, **everything(campus))
    assert states(report) == {"video list": {"kept": 1}, "frames": {"kept": 3}, "label lists": {"kept": 14}}
    assert "nothing to do: all is there already" in caplog.text


def test_frames_that_were_made_are_a_data_set_like_the_videos(campus: Path) -> None:
    prepared(campus, frames=everything(campus)["frames"])
    data = Videos(root=everything(campus)["frames"], cache=str(campus.parent / "cache"))
    assert [video.name for video in data.training_videos()] == sorted((*TRAINING, *TESTING))
    facts, _ = data.look(data.training_videos())
    assert {known.frame_count for known in facts.values()} == {FRAMES}


def test_without_frames_the_lists_name_the_images_of_the_data_set_and_videos_are_refused(campus: Path) -> None:
    report = prepared(campus, label_lists=everything(campus)["label_lists"])
    listed = Path(everything(campus)["label_lists"], "01_0014", "rgb_list.txt").read_text().splitlines()
    assert listed[0] == str(campus / "testing/frames/01_0014/000.jpg")
    failed = [product for product in report["products"] if product["state"] == "failed"]
    assert [Path(product["path"]).name for product in failed] == [f"{name}.avi" for name in TRAINING]
    assert all("datamodule.frames=<folder>" in product["detail"] for product in failed)


def test_a_video_that_cannot_be_read_is_reported_and_the_others_are_made(campus: Path) -> None:
    no_bytes(campus / "training/videos/01_001.avi")
    report = prepared(campus, **everything(campus))
    assert states(report)["frames"] == {"made": 2} and states(report)["videos"] == {"failed": 1}
    assert not Path(everything(campus)["label_lists"], "01_001").exists()


def test_labels_of_another_length_are_reported(campus: Path) -> None:
    np.save(campus / "testing/test_frame_mask/01_0014.npy", np.zeros(FRAMES - 1))
    report = prepared(campus, **everything(campus))
    [failed] = [product for product in report["products"] if product["state"] == "failed"]
    assert failed["kind"] == "label lists" and f"({FRAMES - 1},)" in failed["detail"]
    assert not Path(everything(campus)["label_lists"], "testing.txt").exists()


def test_what_was_made_before_an_interruption_is_in_the_report(campus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: ShanghaiTech, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ShanghaiTech, "look", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared(campus, **everything(campus))
    report = json.loads((campus.parent / "run" / REPORT_FILE).read_text())
    assert not report["complete"] and states(report) == {"video list": {"made": 1}}


def test_two_videos_of_one_name_are_refused(campus: Path) -> None:
    (campus / "training/videos/01_001.avi").rename(campus / "training/videos/01_0014.avi")
    with pytest.raises(ValueError, match="have the same name, 01_0014"):
        prepared(campus, **everything(campus))


def test_a_datamodule_that_prepares_nothing_is_named(tmp_path: Path) -> None:
    config = {"datamodule": {"_target_": "lightning.LightningDataModule"}, "paths": {"run": str(tmp_path)}}
    with pytest.raises(ConfigError, match="mode=prepare: LightningDataModule has nothing to prepare"):
        prepare_data(config)


def test_preparing_nothing_is_refused(campus: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to make is named") as refused:
        check_overrides(["task=focusmae", "mode=prepare"])
    assert all(f"datamodule.{option}" in str(refused.value) for option in Videos.prepares)
    with pytest.raises(ValueError, match="nothing to make is named"):
        prepared(campus)


def test_a_command_line_that_prepares_is_right(tmp_path: Path) -> None:
    check_overrides(["task=focusmae", "mode=prepare", f"datamodule.frames={tmp_path / 'new'}"])


def test_what_only_mode_prepare_makes_is_said_to_have_no_effect_elsewhere() -> None:
    datamodule = {"_target_": "datamodules.shanghaitech.ShanghaiTech", "frames": "x"}
    config = {"mode": "fit", "datamodule": datamodule, "model": {}, "trainer": {}, "callbacks": {}}
    found = idle_options(config, ["datamodule.frames=x"], None, 1)
    assert found == ["datamodule.frames=x has no effect: only mode=prepare makes it"]


@pytest.mark.slow
def test_the_command_ends_with_1_when_anything_failed_and_with_0_otherwise(repository: Path, campus: Path) -> None:
    options = [f"datamodule.root={campus}", f"paths.data={campus.parent}", f"hydra.run.dir={campus.parent / 'run'}"]
    command = [sys.executable, "train.py", "task=focusmae", "mode=prepare", *options]
    command.append(f"datamodule.frames={everything(campus)['frames']}")
    whole = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert whole.returncode == 0 and "3 made (" in whole.stdout
    no_bytes(campus / "training/videos/01_001.avi")
    broken = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert broken.returncode == 1 and "Traceback" not in broken.stderr
    assert broken.stderr.strip().splitlines()[-1].startswith("1 of 3 could not be made; ")
