"""Who speaks when, in files that are whole, from any number of processes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from callbacks.speaker_files import SpeakerFiles, speaking_segments
from callbacks.speaker_tracks import ScoredFaces, SpeakerTrack
from tests.callbacks.speaker_ranks import FPS, ROWS, VIDEOS, Detector, Films, predict, score_of
from tests.conftest import REPOSITORY


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def track(scores: list[float], frames: list[int] | None = None) -> SpeakerTrack:
    """A face with these scores, in consecutive frames unless others are given."""
    numbers = np.array(range(len(scores)) if frames is None else frames)
    return SpeakerTrack("1", numbers, numbers / FPS, np.zeros((len(scores), 4)), np.array(scores), FPS)


def test_a_row_of_the_csv_is_a_box_with_its_unrounded_score(tmp_path: Path) -> None:
    predict(tmp_path, [SpeakerFiles(str(tmp_path))])
    with (tmp_path / "talk.csv").open() as file:
        rows = list(csv.reader(file))
    there = {(entity, frame) for name, entity, _, frames in ROWS if name == "talk" for frame in frames}
    assert {(row[7], round(float(row[1]) * FPS)) for row in rows} == there and len(rows) == len(there)
    assert [float(row[1]) for row in rows] == sorted(float(row[1]) for row in rows)
    for video, second, x1, _, x2, _, label, entity, score in rows:
        frame = round(float(second) * FPS)
        assert (video, label) == ("talk", "SPEAKING_AUDIBLE")
        assert float(x1) == pytest.approx(0.1 + frame / 100 + (0.4 if entity == "2" else 0), abs=1e-6)
        assert float(x2) == pytest.approx(float(x1) + 0.3, abs=2e-6)
        assert np.float32(score) == score_of(entity, torch.tensor(frame)).numpy()


def test_json_has_each_face_with_its_frames_and_the_segments_in_which_it_speaks(tmp_path: Path) -> None:
    predict(tmp_path, [SpeakerFiles(str(tmp_path))])
    content = json.loads((tmp_path / "talk.json").read_text())
    assert (content["video"], content["threshold"]) == ("talk", 0.0)
    first, second = content["tracks"]
    assert first["frames"] == list(range(30))  # of two rows
    assert second["frames"] == [*range(10, 18), *range(24, 30)]
    assert first["seconds"] == pytest.approx([frame / FPS for frame in range(30)])
    assert np.shape(first["boxes"]) == (30, 4) and len(first["scores"]) == 30
    speaks = [frame for frame, score in zip(first["frames"], first["scores"], strict=True) if score >= 0]
    inside = [frame for frame in first["frames"] if any(begin <= frame / FPS < end for begin, end in first["speaking"])]
    assert inside == speaks and len(first["speaking"]) == 2


def test_a_video_without_a_face_has_files_that_say_so(tmp_path: Path) -> None:
    predict(tmp_path, [SpeakerFiles(str(tmp_path), rttm=True)])
    assert (tmp_path / "empty.csv").read_text() == (tmp_path / "empty.rttm").read_text() == ""
    assert json.loads((tmp_path / "empty.json").read_text())["tracks"] == []
    index = json.loads((tmp_path / "speakers.json").read_text())
    assert {name: video["faces"] for name, video in index["videos"].items()} == {"empty": 0, "scene/walk": 1, "talk": 2}
    assert set(index["videos"]) == set(VIDEOS) and index["checkpoint"] is None


def test_segments_end_where_a_pause_is_longer_than_allowed() -> None:
    spoken = track([1, 1, -1, -1, 1, -1, -1, -1, 1, -1])
    assert speaking_segments(spoken, 0.0, 2 / FPS) == [[0.0, 5 / FPS], [8 / FPS, 9 / FPS]]
    assert speaking_segments(spoken, 0.0, 0.0) == [[0.0, 2 / FPS], [4 / FPS, 5 / FPS], [8 / FPS, 9 / FPS]]
    assert speaking_segments(spoken, 2.0, 0.0) == []
    assert speaking_segments(track([1, 1, 1], [0, 1, 20]), 0.0, 0.2) == [[0.0, 2 / FPS], [20 / FPS, 21 / FPS]]


def test_rttm_has_the_segments_and_no_blank_in_a_field(tmp_path: Path) -> None:
    rows = [("my film", "face 1", 0, range(20))]
    predict(tmp_path, [SpeakerFiles(str(tmp_path), threshold=-9.0, rttm=True)], Films(rows))
    found = (tmp_path / "my film.rttm").read_text().split("\n")
    assert found == ["SPEAKER my_film 1 0.000 0.800 <NA> <NA> face_1 <NA> <NA>", ""]


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.callbacks.speaker_ranks", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=300, capture_output=True)
    alone, *together = (files(tmp_path / ranks) for ranks in "1235")  # with 5, one has no row at all
    films = {f"{video}.mp4" for video in VIDEOS}
    assert alone.keys() == films | {f"{v}.{kind}" for v in VIDEOS for kind in ("csv", "json", "rttm")} | {
        "speakers.json"
    }
    for found in together:
        assert found.keys() == alone.keys()
        assert all(found[name] == alone[name] for name in alone.keys() - films)


def test_an_interrupted_prediction_has_no_list(tmp_path: Path) -> None:
    class Breaking(Detector):
        def predict_step(self, batch: dict, batch_idx: int) -> list[dict]:
            if batch_idx:
                raise RuntimeError("power is gone")
            return super().predict_step(batch, batch_idx)

    predict(tmp_path, [SpeakerFiles(str(tmp_path))])
    with pytest.raises(RuntimeError, match="power is gone"):
        predict(tmp_path, [SpeakerFiles(str(tmp_path))], task=Breaking())
    assert "speakers.json" not in files(tmp_path) and not list(tmp_path.glob(".*"))


def test_another_answer_of_the_task_is_refused(tmp_path: Path) -> None:
    class Mute(Detector):
        def predict_step(self, batch: dict, batch_idx: int) -> list[dict]:
            return [{"name": name} for name in batch["name"]]

    with pytest.raises(
        ValueError, match=r"Mute\.predict_step returned name; SpeakerFiles expects a dict for each row w"
    ):
        predict(tmp_path, [SpeakerFiles(str(tmp_path))], task=Mute())


def test_a_row_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="talk, face 1: frame 0 was predicted twice"):
        predict(tmp_path, [SpeakerFiles(str(tmp_path))], Films([ROWS[0], *ROWS]))


def test_what_processes_hand_over_is_what_they_have(tmp_path: Path) -> None:
    faces, handed = ScoredFaces(), ScoredFaces()
    for entity, count in (("1", 2), ("ü", 3)):
        frames = torch.arange(5, 5 + count)
        row = {"frames": frames, "seconds": frames / 25, "boxes": torch.rand(count, 4), "score": torch.rand(count)}
        faces.add({"name": "a", "entity": entity} | row, 25.0)
    faces.save(tmp_path / "part.npz")
    handed.load(tmp_path / "part.npz")
    assert [len(track.frames) for tracks in faces.tracks().values() for track in tracks] == [2, 3]
    assert repr(handed.tracks()) == repr(faces.tracks())
    ScoredFaces().save(tmp_path / "part.npz")
    handed.load(tmp_path / "part.npz")
    assert repr(handed.tracks()) == repr(faces.tracks())


def test_a_wrong_pause_is_refused() -> None:
    with pytest.raises(ValueError, match=r"callbacks\.speaker_files\.pause_s: expected at least 0 seconds, found -1"):
        SpeakerFiles("out", pause_s=-1)
