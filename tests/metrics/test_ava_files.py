"""Result files: what is written is read, what cannot be about the same things is refused with samples of both."""

from pathlib import Path

import numpy as np
import pytest

from metrics.ava_files import KeyFrames, NothingInCommonError, average_precisions_of_files, read_boxes, write_results
from metrics.ava_order import BoxRows
from metrics.ava_precision import mean

TRUTH = "clip_a,0902,0.1,0.2,0.5,0.9,12,0\nclip_a,0903,0.1,0.2,0.5,0.9,12,0\nclip_b,0902,0.3,0.1,0.6,0.8,80,1\n"
FOUND = "clip_a,902,0.1,0.2,0.5,0.9,12,0.9\nclip_b,902,0.3,0.1,0.6,0.8,80,0.7\n"
IDS = [12, 80]


def written(folder: Path, **texts: str) -> list[Path]:
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return [folder / f"{name}.csv" for name in texts]


def rows(scores: np.ndarray) -> tuple[BoxRows, dict]:
    count = len(scores)
    random = np.random.default_rng(1)
    frames = {number: (f"clip_{number}", 902.0 + number / 2) for number in range(count)}
    return BoxRows(np.arange(count), np.arange(count) + 1, random.random((count, 4)), scores), frames


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_is_written_is_read_to_the_last_digit(kind: type, tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random(50).astype(kind)
    scores[:3] = 1e-7, 1, 0
    found, frames = rows(scores.astype(np.float64))
    write_results(tmp_path / "found.csv", found, frames)
    key_frames = KeyFrames()
    read = read_boxes(tmp_path / "found.csv", key_frames)
    assert np.array_equal(read.score.astype(kind), scores) and np.array_equal(read.box, found.box)
    assert np.array_equal(read.label, found.label) and list(key_frames.numbers) == list(frames.values())
    assert [path.name for path in tmp_path.iterdir()] == ["found.csv"]


def test_numbers_are_no_longer_than_they_need_to_be(tmp_path: Path) -> None:
    found = BoxRows(
        np.array([4]), np.array([12]), np.array([[0.077, 0.1, 0.5, 1.0]]), np.array([np.float32(0.1)], float)
    )
    write_results(tmp_path / "found.csv", found, {4: ("clip_a", 902.0)})
    assert (tmp_path / "found.csv").read_text() == "clip_a,902,0.077,0.1,0.5,1.0,12,0.1\n"


def test_three_decimals_are_what_upstream_prints(tmp_path: Path) -> None:
    found = BoxRows(np.array([4]), np.array([12]), np.array([[0.0774, 0.1, 0.5, 1.0]]), np.array([0.98765]))
    write_results(tmp_path / "found.csv", found, {4: ("clip_a", 902.5)}, decimals=3)
    assert (tmp_path / "found.csv").read_text() == "clip_a,902.5,0.077,0.100,0.500,1.000,12,0.988\n"


def test_three_decimals_make_ties_that_were_not_there(tmp_path: Path) -> None:
    found, frames = rows(np.linspace(0.5, 0.501, 30))
    write_results(tmp_path / "found.csv", found, frames, decimals=3)
    assert len(np.unique(read_boxes(tmp_path / "found.csv", KeyFrames()).score)) == 2


def test_files_are_measured_whatever_their_seconds_are_filled_up_with(tmp_path: Path) -> None:
    truth, found = written(tmp_path, truth=TRUTH, found=FOUND)
    assert average_precisions_of_files(truth, found, IDS).tolist() == [0.5, 1.0]


def test_excluded_key_frames_count_neither_as_true_nor_as_detected(tmp_path: Path) -> None:
    truth, found, excluded = written(
        tmp_path, truth=TRUTH, found=f"{FOUND}clip_b,903,0,0,1,1,80,0.99\n", excluded="clip_a,0903\nclip_b,903\n"
    )
    assert average_precisions_of_files(truth, found, IDS).tolist() == [0.5, 0.5]
    assert average_precisions_of_files(truth, found, IDS, excluded).tolist() == [1.0, 1.0]


def test_a_line_without_a_box_stands_for_a_key_frame_without_one(tmp_path: Path) -> None:
    truth, found = written(tmp_path, truth=f"clip_c,0950\n{TRUTH}", found=f"{FOUND}clip_c,951\n\n")
    assert average_precisions_of_files(truth, found, IDS).tolist() == [0.5, 1.0]


def test_nothing_detected_is_an_map_of_zero(tmp_path: Path) -> None:
    truth, found = written(tmp_path, truth=TRUTH, found="")
    assert mean(average_precisions_of_files(truth, found, IDS)) == 0


WRONG = {
    "videos": (
        FOUND.replace("clip_", "movie_"),
        r"no videos in common.*truth.csv: clip_a, clip_b; .*: movie_a, movie_b",
    ),
    "seconds": (FOUND.replace("902", "2"), r"no key frames .* in common.*\('clip_a', 902.0\).*\('clip_a', 2.0\)"),
    "classes": (FOUND.splitlines()[0].replace(",12,", ",80,"), "no ids of classes in common.*: 12; .*: 80"),
    "no class of the map": (
        FOUND.replace(",12,", ",11,").replace(",80,", ",79,"),
        "of 2 rows none .*: 12, 80; .*: 11, 79",
    ),
    "pixels": (FOUND.replace("0.5,", "170.0,"), "coordinates reach to 0.9 in .*truth.csv and to 170 in .*found.csv"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_why_an_map_would_be_zero_is_answered(text: str, message: str, tmp_path: Path) -> None:
    true = "\n".join(TRUTH.splitlines()[: 2 if "80," in text and "12," not in text else 3])
    truth, found = written(tmp_path, truth=true, found=text)
    with pytest.raises(NothingInCommonError, match=f"(?s)why the mAP would be 0: .*{message}"):
        average_precisions_of_files(truth, found, IDS)


def test_truth_without_a_box_is_refused(tmp_path: Path) -> None:
    truth, found = written(tmp_path, truth="", found=FOUND)
    with pytest.raises(NothingInCommonError, match=r"truth.csv: of 0 rows none is of a class of the label map"):
        average_precisions_of_files(truth, found, IDS)


@pytest.mark.parametrize(
    "line", ["clip_a,902,0.1,0.2,0.5,0.9", "clip_a,902,0.1,0.2,0.5,x,12,0.9", "clip_a,902,0.1,0.2,0.5,0.9,walk,0.9"]
)
def test_a_line_that_is_none_is_named(line: str, tmp_path: Path) -> None:
    [found] = written(tmp_path, found=f"{FOUND}{line}\n")
    with pytest.raises(ValueError, match=f"found.csv, line 3: expected video,second.*, found {line}"):
        read_boxes(found, KeyFrames())
