"""Labels of frames, converted once and never read as a pickle again."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from datamodules.export.labels import convert_labels, main
from datamodules.frame_labels import read_frame_labels

LABELS = {"01_0014": np.array([0, 1, 1, 0, 1]), "02_003": np.zeros(7, np.int64)}


class Evil:
    def __reduce__(self) -> tuple:
        return print, ("this ran",)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "frame_label.pickle").write_bytes(pickle.dumps({k: v[None].astype(float) for k, v in LABELS.items()}))
    return tmp_path / "frame_label.pickle"


@pytest.mark.parametrize("name", ["made/labels.npz", "made/labels.json"])
def test_what_was_converted_holds_the_same_labels(name: str, source: Path, tmp_path: Path) -> None:
    said = convert_labels(source, tmp_path / name)
    assert said.endswith("labels" + Path(name).suffix + ": 2 videos, 12 frames, 3 of them anomalous")
    found = read_frame_labels(tmp_path / name)
    assert found.keys() == LABELS.keys()
    assert all(np.array_equal(found[video], label) for video, label in LABELS.items())


def test_json_has_lengths_and_intervals(source: Path, tmp_path: Path) -> None:
    assert main([str(source), str(tmp_path / "labels.json")]) == 0
    content = json.loads((tmp_path / "labels.json").read_text())
    assert content["lengths"] == {"01_0014": 5, "02_003": 7}
    assert content["intervals"]["01_0014"] == [[1, 3], [4, 5]]


def test_a_folder_of_masks_is_converted_as_well(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for video, label in LABELS.items():
        np.save(tmp_path / "masks" / f"{video}.npy", label)
    convert_labels(tmp_path / "masks", tmp_path / "labels.npz")
    assert np.array_equal(read_frame_labels(tmp_path / "labels.npz")["01_0014"], LABELS["01_0014"])


def test_a_pickle_that_would_run_something_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = tmp_path / "evil.pickle"
    evil.write_bytes(pickle.dumps({"01_0014": Evil()}))
    assert main([str(evil), str(tmp_path / "labels.npz")]) == 1
    said = capsys.readouterr()
    assert "evil.pickle" in said.err and "builtins" in said.err and "this ran" not in said.out
    assert not (tmp_path / "labels.npz").exists()


@pytest.mark.parametrize("target", ["labels.pickle", "there.npz"])
def test_other_endings_and_files_that_are_there_are_refused(
    target: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.npz").write_text("mine")
    assert main([str(source), str(tmp_path / target)]) == 1
    assert target in capsys.readouterr().err
    assert (tmp_path / "there.npz").read_text() == "mine" and not (tmp_path / "labels.pickle").exists()


def test_a_source_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing.pickle"), str(tmp_path / "labels.npz")]) == 1
    assert "nothing.pickle" in capsys.readouterr().err
