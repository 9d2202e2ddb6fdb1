"""What an evaluation of active speakers leaves behind: scores for both evaluators, true numbers, pictures."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.speaker_charts import Track, draw_tracks, slots_of
from callbacks.speaker_report import SpeakerReport
from tests.callbacks.report_runs import run_on_ranks
from tests.callbacks.speaker_report_ranks import Listener, Talks, Tracks, trainer
from tests.files import names_in

PICTURES = ("precision_recall.png", "tracks.png")


def written(suffix: str = "", stem: str = "test", clips: tuple[str, ...] = ("0.txt", "1.txt", "2.txt")) -> list[str]:
    return sorted([
        f"ava_scores{suffix}.csv", f"results{suffix}.json", *(f"pictures/{stem}_{name}" for name in PICTURES),
        *(f"ego4d_scores{suffix}/{name}" for name in (*clips, "v.txt", "val.txt")),
    ])  # fmt: skip


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size


def test_a_test_leaves_scores_results_and_pictures(tmp_path: Path) -> None:
    task = Listener()
    trainer(tmp_path).test(task, datamodule=Talks(), verbose=False)
    assert names_in(tmp_path) == written()
    faces = task.speaker_scores["test"].faces
    assert len((tmp_path / "ava_scores.csv").read_text().splitlines()) == len(faces.label)
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "metrics": {"test/ap": pytest.approx(task.speaker_scores["test"].compute()["ap"].item(), abs=1e-6)},
        "evaluator": task.speaker_scores["test"].evaluator,
        "protocol": "toy talks",
        "checkpoint": None,
        "faces": {"measured": len(faces.label), "speaking": int(faces.label.sum())},
        "tracks": 6,
        "videos": 3,
    }


def test_any_number_of_processes_writes_the_same_scores_and_numbers(tmp_path: Path) -> None:
    run_on_ranks("tests.callbacks.speaker_report_ranks", tmp_path)
    assert names_in(tmp_path / "1") == names_in(tmp_path / "3") == written()
    for name in [name for name in written() if "tracks" not in name]:  # of which the first process sees some
        assert len({(tmp_path / ranks / name).read_bytes() for ranks in "123"}) == 1, name


def test_a_validation_writes_beside_a_test_and_a_training_writes_nothing(tmp_path: Path) -> None:
    run, task = trainer(tmp_path, header=True), Listener()
    run.fit(task, datamodule=Talks())
    assert names_in(tmp_path) == []
    run.test(task, datamodule=Talks(), verbose=False)
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    run.validate(task, datamodule=Talks(), verbose=False)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert sorted(set(names_in(tmp_path)) - set(before)) == written("_validate", "validate")
    assert before["ava_scores.csv"].startswith(b"video_id,frame_timestamp,")


def test_what_an_earlier_evaluation_drew_and_this_one_does_not_is_gone(tmp_path: Path) -> None:
    trainer(tmp_path).test(Listener(), datamodule=Talks(), verbose=False)
    trainer(tmp_path, num_tracks=0).test(Listener(), datamodule=Talks(), verbose=False)
    assert names_in(tmp_path) == [name for name in written() if "tracks" not in name]


def test_tracks_are_spread_over_the_split_and_those_without_a_measured_face_are_passed_over(tmp_path: Path) -> None:
    run = trainer(tmp_path, num_tracks=3, num_faces=5)
    run.test(Listener(), datamodule=Talks(), verbose=False)
    [report] = [callback for callback in run.callbacks if isinstance(callback, SpeakerReport)]
    assert list(report._shown) == [0, 2, 5]  # the fourth is empty
    fps, span, faces = report._shown[5]
    rows = Tracks().rows
    there = rows["valid"][5].nonzero().flatten().tolist()
    assert fps == 25 and span == pytest.approx(((there[0] - 0.5) / 25, (there[-1] + 0.5) / 25))
    middles = [there[0] - 0.5 + (slot + 0.5) / 5 * (there[-1] - there[0] + 1) for slot in range(5)]
    assert list(faces) == [0, 1, 2, 3, 4]
    for slot, middle in enumerate(middles):
        least = min(abs(frame - middle) for frame in there)
        closest = [frame for frame in there if abs(frame - middle) < least + 1e-6]  # two, where both are as close
        assert any(np.array_equal(faces[slot], rows["faces"][5][frame]) for frame in closest)


def test_pictures_go_to_loggers_that_take_them(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path / "logs")
    trainer(tmp_path, logger).test(Listener(), datamodule=Talks(), verbose=False)
    events = EventAccumulator(logger.log_dir).Reload()
    assert sorted(events.Tags()["images"]) == ["test/precision_recall", "test/tracks"]


def test_where_nobody_speaks_there_is_no_curve(tmp_path: Path) -> None:
    class Silent(Listener):
        def evaluate(self, stage: str, batch: dict) -> None:
            super().evaluate(stage, batch | {"target": batch["target"].clamp(max=0)})

    trainer(tmp_path).test(Silent(), datamodule=Talks(), verbose=False)
    assert "pictures/test_precision_recall.png" not in names_in(tmp_path) and (tmp_path / "results.json").exists()


def test_a_task_without_speakers_is_told_so(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    with pytest.raises(ValueError, match=r"LightningModule has no 'speaker_scores' to report on; leave this callback"):
        run.callbacks[0].setup(run, LightningModule(), "test")


@pytest.mark.parametrize(("option", "value"), [("num_tracks", -1), ("num_faces", 0)])
def test_options_that_make_no_sense_are_refused(option: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"callbacks.speaker_report.{option}: expected at least .*, found {value}"):
        SpeakerReport(str(tmp_path), **{option: value})


def track(frames: int = 50) -> Track:
    seconds = torch.arange(frames).double().numpy() / 25
    span = -0.02, (frames - 0.5) / 25
    return Track("a face", seconds, np.sin(seconds), seconds % 1 < 0.5, 25.0, span, {0: np.full((8, 8), 90, np.uint8)})


def test_a_picture_of_tracks_grows_with_them_and_one_frame_is_enough() -> None:
    one, two, three = (size_of(draw_tracks([track()] * count, 4, 0.0)) for count in (1, 2, 3))
    assert two[0] > 1.5 * one[0] and three[0] == two[0] and three[1] > 1.5 * two[1]
    draw_tracks([track(frames=1)], 4, 0.0)


def test_a_slot_has_the_frame_closest_to_its_middle_or_none() -> None:
    assert slots_of(np.array([0.0, 0.9, 1.1, 3.6, 4.0]), (0.0, 4.0), 4) == {0: 1, 1: 2, 3: 3}
