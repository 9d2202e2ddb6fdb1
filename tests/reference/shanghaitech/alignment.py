"""Rows of every stored number of frames, and what the alignment makes of them, are the stored ones."""

import re

import pytest
import torch
from torch import Tensor

from metrics.alignment import AlignmentError, edge_pad, frame_scores, row_spans, truncate
from tests.reference.shanghaitech.numbers import documents, some


def windows() -> list[tuple[int, dict]]:
    """Every case that says where windows start, with their length."""
    files = [(content["clip_len"], case) for _, content in documents("clip_len", "cases") for case in content["cases"]]
    return some([(clip_len, case) for clip_len, case in files if "starts_full_only" in case], "window starts")


def alignments() -> list[tuple[int, dict]]:
    """Every case that says how rows and frames go together, with the length of a row."""
    files = [(content["snippet"], case) for _, content in documents("snippet", "cases") for case in content["cases"]]
    return some([(clip_len, case) for clip_len, case in files if "project" in case], "alignments")


def labels_of(case: dict) -> Tensor:
    labels = torch.zeros(case["num_frames"], dtype=torch.int64)
    for first, behind in case["label_intervals"]:
        labels[first:behind] = 1
    assert labels.sum() == case["label_ones"]
    return labels


def test_rows_are_the_stored_windows_under_both_rules() -> None:
    for clip_len, case in windows():
        frames, stride = case["num_frames"], case["stride"]
        for num_rows in {case["num_full"], case["num_pad_last"]}:
            if not num_rows:
                continue
            spans = row_spans(num_rows, frames, stride, clip_len)
            starts = case["starts_full_only"]
            assert spans[: len(starts), 0].tolist() == starts[:num_rows], case
            assert spans[:, 0].tolist() == list(range(0, num_rows * stride, stride)), case
            if num_rows == case["num_pad_last"] > case["num_full"]:
                assert spans[-1, 1] == frames - 1, case
        for num_rows in set(range(case["num_pad_last"] + 3)) - {case["num_full"], case["num_pad_last"]} | {0}:
            with pytest.raises(AlignmentError):
                row_spans(num_rows, frames, stride, clip_len)


def test_every_frame_is_scored_or_both_numbers_are_said() -> None:
    for clip_len, case in alignments():
        rows, frames, expected = case["num_snippets"], case["num_frames"], case["project"]
        if expected["status"] == "ok":
            scores = torch.arange(rows, dtype=torch.float32)
            found = frame_scores(scores, frames, row_spans(rows, frames, clip_len, clip_len))
            assert len(found) == expected["frames_scored"], case
            assert found[-1] == expected["frame_to_snippet_last"], case
            assert found.tolist() == [min(frame // clip_len, rows - 1) for frame in range(frames)], case
            continue
        with pytest.raises(AlignmentError, match=rf"\b{rows} rows .*\b{frames} frames") as caught:
            row_spans(rows, frames, clip_len, clip_len)
        if expected["status"] == "mismatch":
            fitting = [int(number) for number in re.findall(r"(\d+) \(tail", str(caught.value))]
            assert rows - expected["difference_snippets"] in fitting, case
        else:
            assert expected["status"] == "no_snippets"


def test_comparison_modes_leave_the_stored_labels() -> None:
    for clip_len, case in alignments():
        scores, labels = torch.arange(case["num_snippets"]), labels_of(case)
        kept, cut = truncate(scores, labels, clip_len)
        assert len(kept) == len(cut) == case["truncate"]["length"], case
        assert cut.sum() == case["truncate"]["ones"], case
        repeated, padded = edge_pad(scores, labels, clip_len)
        assert len(repeated) == case["truncate"]["scores_length"] == len(padded) == case["edge_pad"]["length"], case
        assert padded.sum() == case["edge_pad"]["ones"], case
