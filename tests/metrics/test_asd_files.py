"""Files of scored faces: what is written is measured to the same number, and what does not fit is named."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from metrics.asd import SpeakerScores
from metrics.asd_files import ap_of_files, read_ava, write_ava, write_ego4d
from metrics.speaker_detection import speaker_map
from tests.tasks.speaker_batches import batch_of

TRUTH = "v,901.71,0.49,0.37,0.69,0.56,{},v_0900:1\nv,901.75,0.49,0.37,0.69,0.57,NOT_SPEAKING,v_0900:1\n"
SCORES = (
    "v,901.750,0.49,0.37,0.69,0.57,SPEAKING_AUDIBLE,v_0900:1,0.2\n"
    "v,901.71,0.49,0.37,0.69,0.56,SPEAKING_AUDIBLE,v_0900:1,0.9\n"
)
HEADER = "video_id,frame_timestamp,entity_box_x1,entity_box_y1,entity_box_x2,entity_box_y2,label,entity_id"


def measured(lengths: tuple[int, ...] = (13, 7, 9)) -> tuple[SpeakerScores, dict[int, tuple[str, str]]]:
    batch, metric = batch_of(list(lengths)), SpeakerScores()
    batch["name"] = ["clip, b", "clip, b", "clip a"]
    metric.expect(len(lengths))
    metric.update(batch, torch.rand(batch["target"].shape, generator=torch.Generator().manual_seed(2)).double() - 0.5)
    metric.compute()
    return metric, dict(enumerate(zip(batch["name"], batch["entity"], strict=True)))


def truth_of(metric: SpeakerScores, tracks: dict[int, tuple[str, str]], path: Path) -> Path:
    """Annotations of what was measured, in the official format."""
    lines = []
    for sample, second, box, label in zip(
        *(each.tolist() for each in (metric.faces.sample, metric.faces.seconds, metric.faces.box, metric.faces.label)),
        strict=True,
    ):
        video, entity = tracks[sample]
        corners = ",".join(f"{side:.6f}" for side in box)
        lines.append(f'"{video}",{second:.2f},{corners},{"SPEAKING_AUDIBLE" if label else "NOT_SPEAKING"},{entity}\n')
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("header", [False, True])
def test_a_file_of_scores_gives_the_same_ap(header: bool, tmp_path: Path) -> None:
    metric, tracks = measured()
    write_ava(tmp_path / "scores.csv", metric.faces, tracks, header)
    found = ap_of_files(truth_of(metric, tracks, tmp_path / "truth.csv"), tmp_path / "scores.csv")
    assert found == metric.compute()["ap"].item()
    text = (tmp_path / "scores.csv").read_text()
    assert text.startswith(f"{HEADER},score\n" if header else '"clip, b",')
    assert np.array_equal(read_ava(tmp_path / "scores.csv", scored=True).score, metric.faces.score)


def test_files_of_the_benchmark_give_the_same_map(tmp_path: Path) -> None:
    metric, tracks = measured()
    write_ego4d(tmp_path / "found", metric.faces, tracks)
    assert (tmp_path / "found" / "v.txt").read_text() == "clip a\nclip, b\n"
    assert (tmp_path / "found" / "val.txt").read_text() == "0\n1\n"
    tables = [np.loadtxt(tmp_path / "found" / f"{number}.txt", delimiter=" ", ndmin=2) for number in (0, 1)]
    assert [table.shape[1] for table in tables] == [8, 8] and set(tables[1][:, 1]) == {0, 1}
    assert all(np.array_equal(table[:, 2:6], table[:, 2:6].astype(int)) for table in tables)
    rows = np.concatenate([np.insert(table, 0, number, axis=1) for number, table in enumerate(tables)])
    assert np.array_equal(rows[:, 8], rows[:, 7] > 0)
    labels = {
        (tracks[sample], frame): label
        for sample, frame, label in zip(
            *(each.tolist() for each in (metric.faces.sample, metric.faces.frame, metric.faces.label)), strict=True
        )
    }
    names = [("clip a", "face2"), ("clip, b", "face0"), ("clip, b", "face1")]
    speaks = np.array([labels[names[int(clip + person)], int(frame)] for clip, frame, person, *_ in rows.tolist()])
    frame, box, score = (rows[:, 0] * 1000 + rows[:, 1]).astype(int), rows[:, 3:7], rows[:, 7]
    assert speaker_map(frame[speaks], box[speaks], frame, box, score) == metric.compute()["map50"].item()


def test_clips_of_an_earlier_evaluation_are_gone(tmp_path: Path) -> None:
    metric, tracks = measured()
    (tmp_path / "7.txt").write_text("0 0 1 1 2 2 0.5 1\n")
    write_ego4d(tmp_path, metric.faces, tracks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "1.txt", "v.txt", "val.txt"]


def files(folder: Path, truth: str, scores: str) -> tuple[Path, Path]:
    (folder / "truth.csv").write_text(truth)
    (folder / "scores.csv").write_text(scores)
    return folder / "truth.csv", folder / "scores.csv"


@pytest.mark.parametrize("label", ["SPEAKING_AUDIBLE", "SPEAKING_NOT_AUDIBLE"])
def test_rows_are_joined_by_their_keys_and_only_audible_speech_is_positive(label: str, tmp_path: Path) -> None:
    found = ap_of_files(*files(tmp_path, TRUTH.format(label), SCORES))
    assert found == 1 if label == "SPEAKING_AUDIBLE" else math.isnan(found)


def test_columns_that_talknet_adds_and_its_header_are_taken(tmp_path: Path) -> None:
    truth = f"{HEADER},label_id,instance_id\n" + TRUTH.format("SPEAKING_AUDIBLE").replace(":1\n", ":1,1,v_0900:1:0\n")
    assert ap_of_files(*files(tmp_path, truth, f"{HEADER},score\n{SCORES}")) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("901.750", "901.752", r"scores\.csv: 1 faces of the other file are not in it: video v, 901\.75 s, entity v"),
        ("0.57,", "0.58,", r"901\.75 s, entity v_0900:1: expected the box \[0\.49, .*0\.57\] of .*, found .*0\.58\]"),
        ("901.71,", "901.75,", r"scores\.csv: 1 faces are there twice: video v, 901\.75 s"),
        (",0.9", "", r"scores\.csv, line 2: expected video_id,.*,score, found .* \(8 columns\)"),
        ("SPEAKING_AUDIBLE", "SPEAKS", r"line 1: .* \(label: expected one of SPEAKING_AUDIBLE, NOT_SPEAKING,"),
    ],
)
def test_files_that_do_not_fit_are_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        ap_of_files(*files(tmp_path, TRUTH.format("SPEAKING_AUDIBLE"), SCORES.replace(old, new)))


def test_a_face_that_is_not_annotated_is_named(tmp_path: Path) -> None:
    first_alone = TRUTH.format("SPEAKING_AUDIBLE").splitlines()[0] + "\n"
    with pytest.raises(ValueError, match=r"truth\.csv: 1 faces of the other file are not in it: video v, 901\.75 s"):
        ap_of_files(*files(tmp_path, first_alone, SCORES))
