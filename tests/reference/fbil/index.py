"""Key frames, clips and boxes of a small data set equal those that PySlowFast puts together."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from datamodules.ava_files import ANNOTATED, PROPOSED, read_frame_list, read_rows
from datamodules.ava_index import Index, build_index
from datamodules.ava_rows import Extent, Judge
from datamodules.frame_indices import centred_clip
from datamodules.label_map import AVA_IDS, Action, LabelMap
from tests.conftest import fixtures_root

FPS = 30
FIRST_S = 900  # of the cut movies, in the reference
VALIDATED_EVERY_S = 4
CLASSES = LabelMap(tuple(Action(number, str(number)) for number in sorted(AVA_IDS)))


def folders() -> list[Path]:
    """Folders with a frame list, boxes and what was made of them; there must be one."""
    found = [path.parent for path in sorted((fixtures_root() / "fbil").glob("*/*.json")) if frame_list(path.parent)]
    assert found, "no sample index among the reference numbers"
    return found


def frame_list(folder: Path) -> Path | None:
    return next(
        (path for path in sorted(folder.glob("*.csv")) if path.read_text().startswith("original_vido_id")), None
    )


def boxes(folder: Path) -> dict[str, Path]:
    """The files of boxes: annotated (a whole number at the end), proposed with actions, and without."""
    found = {}
    for path in set(folder.glob("*.csv")) - {frame_list(folder)}:
        rows = list(csv.reader(path.open()))
        labelled = any(row[6] for row in rows)
        scored = any("." in row[7] for row in rows)
        found["val" if not labelled else "train" if scored else "true"] = path
    return found


def made_of(annotated: Path | None, proposed: Path, folder: Path) -> Index:
    # Videos of the reference end before their last key frames, which it keeps and we would refuse.
    extents = {name: Extent(FIRST_S, np.inf, (1, 1)) for name in read_frame_list(frame_list(folder))}
    judge, parts = Judge(CLASSES, extents), []
    for path, kind in ((annotated, ANNOTATED), (proposed, PROPOSED)):
        rows, malformed = (None, []) if path is None else read_rows(path, kind)
        kept, wrong = (None, []) if rows is None else judge(rows)
        assert not malformed and not wrong
        parts.append(kept)
    return build_index(*parts, CLASSES)


def samples(index: Index, chosen: np.ndarray) -> dict[tuple, dict[tuple, list[int]]]:
    """Actions of every chosen box, by video and second."""
    found = {}
    for k in np.flatnonzero(index.count(chosen)):
        places = index.places(k)
        places = places[chosen[places]]
        named = {
            tuple(index.boxes[n]): [CLASSES.actions[c].id for c in np.flatnonzero(index.labels[n])] for n in places
        }
        found[index.name(k), index.second[k]] = named
    return found


def expected(entries: list[dict]) -> dict[tuple, dict[tuple, list[int]]]:
    """The same of the reference, where -1 says that a box has no action."""
    return {
        (entry["video"], entry["sec"]): {
            tuple(box["box"]): sorted(label for label in box["labels"] if label != -1) for box in entry["boxes"]
        }
        for entry in entries
    }


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_key_frames_boxes_and_actions_are_those_of_the_reference(folder: Path) -> None:
    content = json.loads(next(folder.glob("*.json")).read_text())
    files = boxes(folder)
    for name, entries in content["samples"].items():
        split, _, threshold = name.partition("_thr")
        training = split == "train"
        index = made_of(files["true"] if training else None, files["train" if training else "val"], folder)
        found = samples(index, index.annotated | (index.scores >= np.float32(threshold)))
        if split == "val":
            found = {key: value for key, value in found.items() if key[1] % VALIDATED_EVERY_S == 0}
        assert found == expected(entries), name


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_clips_and_key_frame_files_are_those_of_the_reference(folder: Path) -> None:
    content = json.loads(next(folder.glob("*.json")).read_text())
    videos = read_frame_list(frame_list(folder))
    assert {name: frames.count for name, frames in videos.items()} == content["num_frames_per_video"]
    num_frames, step_s = content["frames_in_clip"], content["sample_rate"] / FPS
    for entry in (entry for entries in content["samples"].values() for entry in entries):
        frames = videos[entry["video"]]
        clock = FIRST_S + np.arange(frames.count) / FPS
        clip = centred_clip(entry["sec"], clock, num_frames, step_s).tolist()
        assert clip == entry["clip_index0"]
        assert clip[num_frames // 2] == min(entry["center_index0"], frames.count - 1)
        number = int(entry["keyframe_file"].rpartition("_")[2].partition(".")[0])
        assert clip[num_frames // 2] == number - 1
