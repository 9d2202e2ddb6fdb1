"""``mode=check`` of AVA finds what is wrong with its files and movies, with file and line, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.check_data import REPORT_FILE, DataDefectsError, check_data
from datamodules import action_checks, ava_files, ava_rows, checking, label_map
from datamodules.ava import AVA
from tests.datamodules import counters
from tests.datamodules.ava_set import FPS, TRAINING, VALIDATION, change, write_ava

TRAIN_CSV, VAL_CSV = "ava_train_v2.2.csv", "ava_val_v2.2.csv"
PROPOSALS = "ava_val_predicted_boxes.csv"
MAP = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
ONE, TWO, THREE = *TRAINING, *VALIDATION


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ava(tmp_path_factory.mktemp("sound") / "ava")


@pytest.fixture
def ava(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "ava"))


def checked(root: Path) -> list[dict]:
    """Run the check, and return the defects that its report has."""
    run = root.parent / "run"
    node = {"_target_": "datamodules.ava.AVA", "root": str(root), "cache": str(root.parent / "cache"), "num_frames": 8}
    try:
        check_data({"datamodule": node | {"num_workers": 1}, "paths": {"run": str(run)}})
        wrong = False
    except DataDefectsError:
        wrong = True
    report = json.loads((run / REPORT_FILE).read_text())
    assert wrong == bool(report["defects"]) and report["complete"]
    assert sum(report["counts"].values()) == len(report["defects"]) and list(report["counts"]) == list(
        AVA.kinds_of_defects
    )
    assert not (root.parent / "cache").exists()
    return report["defects"]


def row(file: str, line: int, text: str) -> Callable[[Path], None]:
    return lambda root: change(root / "annotations" / file, line, text)


def without(file: str, part: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        path = root / "annotations" / file
        path.write_text("".join(line for line in path.open() if part not in line))

    return remove


def short(root: Path) -> None:
    counters.encode(root / f"videos/{TWO}.mp4", "libx264", 10, fps=FPS, first=900)


def cut_off(root: Path) -> None:
    path = root / f"videos/{TWO}.mp4"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def leaked(root: Path) -> None:
    with (root / "annotations" / VAL_CSV).open("a") as stream:
        stream.write(f"{ONE},0902,0.1,0.2,0.3,0.8,12,0\n")
    with (root / "annotations" / PROPOSALS).open("a") as stream:
        stream.write(f"{ONE},0902,0.1,0.2,0.3,0.8,,0.9\n")


def second_copy(root: Path) -> None:
    shutil.copy(root / f"videos/{ONE}.mp4", root / f"videos/{TWO}.mp4")


PLANTED = {
    "a row of too few columns": (row(TRAIN_CSV, 5, f"{ONE},0903,0.1,0.2"), ava_files.MALFORMED, TRAIN_CSV, "line 5: "),
    "a word for a number": (
        row(TRAIN_CSV, 1, f"{ONE},0902,a,0.2,0.3,0.8,12,0"),
        ava_files.MALFORMED,
        TRAIN_CSV,
        "line 1: ",
    ),
    "no number": (row(TRAIN_CSV, 2, f"{ONE},0902,nan,0.2,0.3,0.8,12,0"), ava_files.NOT_FINITE, TRAIN_CSV, "line 2: "),
    "no box": (row(TRAIN_CSV, 3, f"{ONE},0902,,,,,,"), ava_files.NO_BOX, TRAIN_CSV, "line 3: "),
    "a box outside": (
        row(VAL_CSV, 7, f"{THREE},0904,0.1,0.2,1.3,0.8,12,0"),
        ava_rows.OUTSIDE,
        VAL_CSV,
        "line 7: 0.1,0.2,1.3",
    ),
    "x2 before x1": (row(VAL_CSV, 8, f"{THREE},0904,0.3,0.2,0.1,0.8,12,0"), ava_rows.NO_AREA, VAL_CSV, "line 8: "),
    "y2 at y1": (row(PROPOSALS, 3, f"{THREE},0903,0.1,0.2,0.3,0.2,,0.9"), ava_rows.NO_AREA, PROPOSALS, "line 3: "),
    "an unknown class": (
        row(TRAIN_CSV, 4, f"{ONE},0903,0.1,0.2,0.3,0.8,99,0"),
        ava_rows.UNKNOWN_CLASS,
        TRAIN_CSV,
        "line 4: '99'",
    ),
    "a score above one": (
        row(PROPOSALS, 2, f"{THREE},0902,0.1,0.2,0.3,0.8,,95"),
        ava_rows.BAD_SCORE,
        PROPOSALS,
        "line 2: ",
    ),
    "an unknown video": (
        row(TRAIN_CSV, 0, "nobody,0902,0.1,0.2,0.3,0.8,12,0"),
        ava_rows.NO_MEDIA,
        TRAIN_CSV,
        "line 55: ",
    ),
    "a second out of range": (
        row(TRAIN_CSV, 0, f"{ONE},0100,0.1,0.2,0.3,0.8,12,0"),
        ava_rows.OUT_OF_RANGE,
        TRAIN_CSV,
        "line 55: ",
    ),
    "a time behind the end": (
        row(TRAIN_CSV, 0, f"{ONE},1500,0.1,0.2,0.3,0.8,12,0"),
        ava_rows.BEYOND,
        TRAIN_CSV,
        "line 55: 1500 s",
    ),
    "a row twice": (
        row(TRAIN_CSV, 0, f"{ONE},0902,0.100,0.200,0.300,0.800,12,7"),
        ava_rows.DUPLICATE_ROW,
        TRAIN_CSV,
        "line 55: .*line 1",
    ),
    "a second without proposals": (without(PROPOSALS, ",0906,"), action_checks.NO_PROPOSAL, PROPOSALS, "906 s"),
    "an excluded second of no video": (
        row("ava_val_excluded_timestamps_v2.2.csv", 0, "nobody,0904"),
        action_checks.UNKNOWN_EXCLUDED,
        "ava_val_excluded",
        "nobody",
    ),
    "an excluded second that is none": (
        row("ava_val_excluded_timestamps_v2.2.csv", 0, "soon"),
        ava_files.MALFORMED,
        "ava_val_excluded",
        "line 2: ",
    ),
    "an id twice": (
        row(MAP, 0, 'item {\n  name: "sit"\n  id: 12\n}'),
        label_map.DUPLICATE_CLASS,
        MAP,
        "line 17: id 12",
    ),
    "a class without id": (row(MAP, 0, 'item {\n  name: "sit"\n}'), label_map.BROKEN_MAP, MAP, "line 17: "),
    "a block without end": (row(MAP, 0, 'item {\n  name: "sit"\n  id: 11'), label_map.BROKEN_MAP, MAP, "line 17: "),
    "a class that is never trained": (without(TRAIN_CSV, ",17,"), action_checks.UNTRAINED, TRAIN_CSV, "class 17"),
    "a movie cut off": (cut_off, checking.UNREADABLE, f"{TWO}.mp4", ""),
    "a movie shorter than a clip": (short, checking.TOO_SHORT, f"{TWO}.mp4", "10 frames"),
    "a movie in both splits": (leaked, checking.LEAK, f"{ONE}.mp4", "which is in training"),
    "a movie under two names": (second_copy, checking.DUPLICATE_CONTENT, f"{TWO}.mp4", f"{ONE}.mp4"),
}


def test_nothing_is_wrong_with_a_sound_data_set(ava: Path) -> None:
    assert checked(ava) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_defect_is_named_with_file_and_line(name: str, ava: Path) -> None:
    plant, kind, file, detail = PLANTED[name]
    plant(ava)
    found = [defect for defect in checked(ava) if defect["kind"] == kind]
    assert any(file in Path(defect["path"]).name and matches(detail, defect["detail"]) for defect in found), found


def matches(pattern: str, text: str) -> bool:
    return all(part in text for part in pattern.split(".*"))


def test_all_of_a_damaged_copy_is_found_at_once(ava: Path) -> None:
    """What changes no line that another one counts from."""
    wanted = set()
    alone = (checking.DUPLICATE_CONTENT, checking.UNREADABLE, label_map.BROKEN_MAP, action_checks.UNTRAINED)
    for plant, kind, _, detail in PLANTED.values():
        if kind not in alone and "line 55" not in detail:
            plant(ava)
            wanted.add(kind)
    for text in (
        "nobody,0902,0.1,0.2,0.3,0.8,12,0",
        f"{ONE},0100,0.1,0.2,0.3,0.8,12,0",
        f"{ONE},1500,0.1,0.2,0.3,0.8,12,0",
    ):
        change(ava / "annotations" / TRAIN_CSV, 0, text)
    wanted |= {ava_rows.NO_MEDIA, ava_rows.OUT_OF_RANGE, ava_rows.BEYOND}
    found = {defect["kind"] for defect in checked(ava)}
    assert len(wanted) >= 15 and wanted <= found
