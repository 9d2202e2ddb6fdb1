"""Sliding windows begin where VideoMAE V2's extraction begins them, and with the tail padded as many as agreed."""

import numpy as np

from datamodules.frame_indices import window_starts
from tests.reference.shanghaitech.numbers import documents


def test_windows_begin_where_the_reference_begins_them() -> None:
    compared = 0
    for path, content in documents("clip_len", "cases"):
        length = content["clip_len"]
        for case in (case for case in content["cases"] if "starts_full_only" in case):
            frames, stride = case["num_frames"], case["stride"]
            starts = {tail: window_starts(frames, length, stride, tail) for tail in ("drop", "pad", "overlap")}
            where = f"{path.name}: {case}"
            assert starts["drop"].tolist() == case["starts_full_only"], where
            assert len(starts["drop"]) == case["num_full"], where
            assert len(starts["pad"]) == len(starts["overlap"]) == case["num_pad_last"], where
            assert np.array_equal(starts["pad"], stride * np.arange(case["num_pad_last"])), where
            compared += 1
    assert compared, "no cases of windows"
