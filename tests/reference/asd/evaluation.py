"""AP of AVA-ActiveSpeaker and detection mAP of Ego4D equal those of the official evaluators on stored files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metrics.asd_files import ap_of_files
from metrics.ranking import average_precision, interpolated_average_precision
from metrics.speaker_detection import speaker_map
from tests.conftest import fixtures_root

TOLERANCE = 1e-6  # percent; README of the numbers
PERCENT = 100


def documents(key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Documents of an evaluation whose cases have a key, with their folders; there must be one."""
    found = []
    for path in sorted((fixtures_root() / "asd").rglob("*.json")):
        content = json.loads(path.read_text())
        cases = content.get("cases") if isinstance(content, dict) else None
        if isinstance(cases, list) and cases and all(isinstance(case, dict) and key in case for case in cases):
            found.append((path.parent, content))
    assert found, f"no evaluation with {key} in {fixtures_root() / 'asd'}"
    yield from found


def test_the_ap_of_files_equals_the_official_one_and_with_ties_the_least_of_any_order() -> None:
    kinds = set()
    for folder, content in documents("pred"):
        for case in content["cases"]:
            tied = "ap_percent_worst_tie_order" in case
            expected = case["ap_percent_worst_tie_order" if tied else "ap_percent_upstream"]
            found = ap_of_files(folder / case["gt"], folder / case["pred"])
            assert PERCENT * found == pytest.approx(expected, abs=TOLERANCE, rel=0), case["pred"]
            kinds.add(tied)
    assert kinds == {False, True}


def test_every_order_of_tied_faces_lies_between_the_worst_and_the_best() -> None:
    compared = 0
    for folder, content in documents("pred"):
        for case in content["cases"]:
            if "ap_percent_worst_tie_order" not in case:
                continue
            scores, labels = (each.numpy() for each in scores_and_labels(folder / case["gt"], folder / case["pred"]))
            orders = {"worst": np.lexsort([labels, -scores]), "best": np.lexsort([~labels, -scores])}
            for name, order in orders.items():
                ranks = -torch.arange(len(order)).double()
                found = PERCENT * interpolated_average_precision(ranks, torch.from_numpy(labels[order]))
                assert found == pytest.approx(case[f"ap_percent_{name}_tie_order"], abs=TOLERANCE, rel=0)
            others = [value for name, value in case.items() if name.startswith("ap_percent_")]
            assert case["ap_percent_worst_tie_order"] == min(others) < max(others) == case["ap_percent_best_tie_order"]
            compared += 1
    assert compared


def test_stored_files_hold_as_many_faces_speakers_and_scores_as_is_said() -> None:
    compared = 0
    for folder, content in documents("pred"):
        for case in content["cases"]:
            scores, labels = scores_and_labels(folder / case["gt"], folder / case["pred"])
            found = {"rows": len(labels), "positives": int(labels.sum()), "unique_scores": len(scores.unique())}
            said = {name: case[name] for name in found if name in case}
            assert {name: found[name] for name in said} == said, case["pred"]
            compared += len(said)
    assert compared


def test_the_ap_of_labels_in_order_equals_the_official_one() -> None:
    compared = 0
    for _, content in documents("pred"):
        for case in content["sorted_label_cases"]:
            labels = torch.tensor(case["sorted_labels"])
            found = interpolated_average_precision(-torch.arange(len(labels)).double(), labels)
            assert PERCENT * found == pytest.approx(PERCENT * case["ap"], abs=TOLERANCE, rel=0)
            compared += 1
    assert compared


def test_the_uninterpolated_ap_is_another_number() -> None:
    compared = 0
    for folder, content in documents("pred"):
        for case in content["cases"]:
            expected = case.get("sklearn_uninterpolated_ap_percent")
            if expected is not None:
                scores, labels = scores_and_labels(folder / case["gt"], folder / case["pred"])
                assert PERCENT * average_precision(scores, labels) == pytest.approx(expected, abs=TOLERANCE, rel=0)
                compared += expected < case["ap_percent_upstream"] - TOLERANCE
    assert compared


def scores_and_labels(truth: Path, scores: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and labels of two files, joined by time and entity."""
    rows, by_key = [], {}
    for path in (truth, scores):
        header, *lines = (line.split(",") for line in path.read_text().split())
        rows.append([dict(zip(header, line, strict=True)) for line in lines])
    for row in rows[1]:
        by_key[row["frame_timestamp"], row["entity_id"]] = float(row["score"])
    labels = [row["label"] == "SPEAKING_AUDIBLE" for row in rows[0]]
    found = [by_key[row["frame_timestamp"], row["entity_id"]] for row in rows[0]]
    return torch.tensor(found, dtype=torch.float64), torch.tensor(labels)


def table(case: dict[str, Any], rows: str, columns: str) -> dict[str, np.ndarray]:
    """Columns of a list of rows by name."""
    return dict(zip(case[columns], np.array(case[rows], dtype=np.float64).T, strict=True))


def test_the_detection_map_equals_that_of_the_benchmark() -> None:
    coinciding = 0
    for _, content in documents("map50_percent"):
        assert content["pixel_convention"].startswith("inclusive")
        for case in content["cases"]:
            true, found = table(case, "gt", "gt_columns"), table(case, "detections", "det_columns")
            clips = 1 + max(true["clip"].max(), found["clip"].max())
            frames = [(each["frame"] * clips + each["clip"]).astype(np.int64) for each in (true, found)]
            boxes = [np.stack([each[corner] for corner in ("x1", "y1", "x2", "y2")], 1) for each in (true, found)]
            speaks, [score] = true["speaking"] == 1, set(found) - set(true)
            value = PERCENT * speaker_map(
                frames[0][speaks], boxes[0][speaks], frames[1], boxes[1], found[score], content["iou_threshold"]
            )
            assert value == pytest.approx(case["map50_percent"], abs=TOLERANCE, rel=0), case["name"]
            if "frame_level_ap_percent" in case:
                faces = [np.lexsort([each[key] for key in ("person", "frame", "clip")]) for each in (true, found)]
                scores, labels = found[score][faces[1]], speaks[faces[0]]
                ap = interpolated_average_precision(torch.from_numpy(scores), torch.from_numpy(labels))
                assert PERCENT * ap == pytest.approx(case["frame_level_ap_percent"], abs=TOLERANCE, rel=0)
                coinciding += 1
    assert coinciding
