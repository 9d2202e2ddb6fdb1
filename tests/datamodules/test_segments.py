"""The same number of segments of videos of any length."""

from itertools import pairwise

import numpy as np
import pytest

from datamodules.segments import pooled


def rows(num_rows: int, views: int = 2, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(num_rows).normal(size=(views, num_rows, channels)).astype(np.float32)


def by_the_rule(features: np.ndarray, num_segments: int) -> np.ndarray:
    borders = [int(place) for place in np.linspace(0, features.shape[1], num_segments + 1)]
    segments = [
        features[:, start:stop].astype(np.float64).mean(1) if stop > start else features[:, start]
        for start, stop in pairwise(borders)
    ]
    return np.stack(segments, axis=1)


@pytest.mark.parametrize("num_segments", [1, 7, 32])
@pytest.mark.parametrize("num_rows", [1, 2, 31, 32, 33, 100])
def test_a_segment_is_the_mean_of_its_rows_or_the_row_at_its_start(num_rows: int, num_segments: int) -> None:
    features = rows(num_rows)
    found = pooled(features, num_segments)
    assert found.dtype == np.float32 and found.shape == (2, num_segments, 3)
    np.testing.assert_allclose(found, by_the_rule(features, num_segments), atol=1e-6)


def test_a_video_of_few_rows_repeats_them_in_order() -> None:
    found = pooled(np.arange(4, dtype=np.float32).reshape(1, 4, 1), 8)
    assert found.ravel().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_many_rows_are_added_without_loss() -> None:
    features = np.full((1, 2**20, 1), 0.1, dtype=np.float32)
    assert pooled(features, 1).item() == np.float32(0.1)
