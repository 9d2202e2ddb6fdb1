"""Frame mAP equals that of the official evaluator of AVA on stored files, with and without ties."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from metrics.ava_files import average_precisions_of_files
from metrics.ava_precision import mean
from tests.conftest import fixtures_root

TOLERANCE = 1e-9  # README of the numbers
# A variant is capacity<rows per frame>, then what was changed; what has ties is compared where sorts are stable.
VARIANT = re.compile(r"capacity(\d+)(_no_exclusions)?(_stable_sort)?")
CAPS = {50: "official", 0: "none"}


def evaluations() -> list[tuple[Path, dict]]:
    """Every folder with a document of variants of an evaluation, with that document; there must be one."""
    found = []
    for path in sorted((fixtures_root() / "fbil").rglob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and any(VARIANT.fullmatch(name) for name in content):
            found.append((path.parent, content))
    assert found, f"no evaluation in {fixtures_root() / 'fbil'}"
    return found


def files(folder: Path, content: dict) -> dict[str, Path]:
    """The csv files of an evaluation by how many rows the document says that they have, and of which width."""
    tables = {path: list(csv.reader(path.open())) for path in sorted(folder.glob("*.csv"))}
    kinds = {"truth": ("n_ground_truth_rows", 8), "detections": ("n_detection_rows", 8), "excluded": ("n_excluded", 2)}
    found = {}
    for kind, (key, width) in kinds.items():
        [found[kind]] = (path for path, rows in tables.items() if (len(rows), len(rows[0])) == (content[key], width))
    return found


def ids(folder: Path) -> list[int]:
    [label_map] = folder.glob("*.pbtxt")
    return [int(found) for found in re.findall(r"\bid: (\d+)", label_map.read_text())]


def has_ties(detections: Path) -> bool:
    """Whether equal scores of a class occur at all."""
    scores = [(row[6], float(row[7])) for row in csv.reader(detections.open())]
    return len(set(scores)) < len(scores)


@pytest.mark.parametrize("stable", [False, True])
def test_frame_map_and_the_precision_of_every_class_equal_the_stored_ones(stable: bool) -> None:
    compared = []
    for folder, content in evaluations():
        paths, classes = files(folder, content), ids(folder)
        for name, expected in content.items():
            variant = VARIANT.fullmatch(name)
            if not variant or bool(variant[3]) != stable or (has_ties(paths["detections"]) and not stable):
                continue
            excluded = None if variant[2] else paths["excluded"]
            found = average_precisions_of_files(
                paths["truth"], paths["detections"], classes, excluded, CAPS[int(variant[1])], content["iou"]
            )
            stored = expected["ap_by_class_id"]
            stored = [math.nan if stored[str(each)] is None else stored[str(each)] for each in classes]
            np.testing.assert_allclose(found, stored, rtol=0, atol=TOLERANCE, err_msg=f"{folder}: {name}")
            assert mean(found) == pytest.approx(expected["mAP"], abs=TOLERANCE), (folder, name)
            assert np.count_nonzero(~np.isnan(found)) == expected["num_classes_with_gt"], (folder, name)
            compared.append(name)
    assert compared
