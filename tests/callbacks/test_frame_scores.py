"""The scores of the frames of every video, in files that are whole."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from callbacks.frame_scores import FrameScores
from tests.callbacks.frame_score_ranks import LENGTHS, Detector, predict, scores_of
from tests.conftest import REPOSITORY


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_video_has_a_file_and_the_list_comes_last(tmp_path: Path) -> None:
    predict(tmp_path, Detector())
    assert sorted(files(tmp_path)) == sorted([*(f"{name}.npy" for name in LENGTHS), "scores.json"])
    for number, name in enumerate(LENGTHS):
        found = np.load(tmp_path / f"{name}.npy", allow_pickle=False)
        assert found.dtype == np.float32 and np.array_equal(found, scores_of(number).float().numpy())
    assert json.loads((tmp_path / "scores.json").read_text()) == {"checkpoint": None, "frames": LENGTHS}


def test_any_number_of_processes_writes_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.callbacks.frame_score_ranks", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=120, capture_output=True)
    alone, *together = (files(tmp_path / ranks) for ranks in "123")
    assert len(alone) == len(LENGTHS) + 1 and together == [alone, alone]


def test_an_interrupted_prediction_has_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict(tmp_path, Detector())
    monkeypatch.setattr(FrameScores, "on_predict_end", lambda *_: None)
    predict(tmp_path, Detector())
    assert sorted(files(tmp_path)) == sorted(f"{name}.npy" for name in LENGTHS)


def test_another_answer_of_the_task_is_refused(tmp_path: Path) -> None:
    class Mute(Detector):
        def predict_step(self, batch: object, batch_idx: int) -> list:
            return []

    with pytest.raises(ValueError, match=r"callbacks\.frame_scores: Mute\.predict_step returned a list; expected"):
        predict(tmp_path, Mute())
