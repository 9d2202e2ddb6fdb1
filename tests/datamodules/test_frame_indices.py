"""Which frames clips are made of."""

import numpy as np
import pytest

from datamodules.frame_indices import (
    count_starts,
    count_timed_starts,
    dense_clip,
    dense_views,
    even_starts,
    segment_clip,
    segment_views,
    strided_clip,
    timed_clip,
    window_starts,
)

LENGTHS = [1, 2, 7, 16, 31, 32, 33, 100]


@pytest.mark.parametrize("frame_count", LENGTHS)
@pytest.mark.parametrize("step", [1, 2, 5])
def test_every_start_gives_a_clip_inside_the_video(frame_count: int, step: int) -> None:
    for start in range(count_starts(frame_count, 8, step)):
        indices = strided_clip(start, frame_count, 8, step)
        assert len(indices) == 8 and indices[0] == start
        assert indices.max() < frame_count
        if frame_count >= 8 * step:
            assert (np.diff(indices) == step).all()


def test_a_short_video_repeats_the_last_frame_on_its_grid() -> None:
    assert strided_clip(0, 10, 5, 4).tolist() == [0, 4, 8, 8, 8]


def test_the_last_start_leaves_room_for_the_gap_behind_the_last_frame() -> None:
    assert count_starts(64, 16, 4) == 1
    assert count_starts(65, 16, 4) == 2


@pytest.mark.parametrize("frame_count", LENGTHS)
@pytest.mark.parametrize("fps", [24.0, 30000 / 1001])
@pytest.mark.parametrize("step", [1, 3])
def test_at_a_constant_rate_seconds_choose_the_same_frames_as_a_stride(frame_count: int, fps: float, step: int) -> None:
    times = np.arange(frame_count) / fps
    assert count_timed_starts(times, 8, step / fps) == count_starts(frame_count, 8, step)
    for start in range(count_starts(frame_count, 8, step)):
        timed, strided = timed_clip(start, times, 8, step / fps), strided_clip(start, frame_count, 8, step)
        inside = start + step * np.arange(8) < frame_count
        assert (timed[inside] == strided[inside]).all()
        assert (timed[~inside] == frame_count - 1).all()


def test_at_a_varying_rate_the_frame_on_screen_is_taken() -> None:
    times = [0.0, 0.1, 0.2, 1.0, 1.1, 2.0]
    assert timed_clip(0, times, 5, 0.5).tolist() == [0, 2, 3, 4, 5]
    assert timed_clip(1, times, 3, 0.05).tolist() == [1, 1, 2]


@pytest.mark.parametrize("num_starts", [1, 2, 10, 237])
@pytest.mark.parametrize("num_clips", [1, 2, 5])
def test_evaluation_clips_are_spread_symmetrically(num_starts: int, num_clips: int) -> None:
    starts = even_starts(num_starts, num_clips)
    assert len(starts) == num_clips
    mirrored = (num_starts - 1) - starts[::-1]
    assert (np.abs(starts - mirrored) <= 1).all()
    assert starts.min() >= 0 and starts.max() < num_starts
    assert (np.diff(starts) >= 0).all()


@pytest.mark.parametrize("frame_count", LENGTHS)
def test_dense_clips_stay_inside_and_cover_their_span(frame_count: int) -> None:
    for start in [None, *range(max(frame_count - 32, 0))]:
        indices = dense_clip(frame_count, 16, 2, start)
        assert len(indices) == 16 and indices.min() >= 0 and indices.max() < frame_count
        if frame_count > 32:
            assert indices[-1] - indices[0] == 31
        if start is not None:
            assert indices[0] == start


@pytest.mark.parametrize("frame_count", LENGTHS)
@pytest.mark.parametrize("num_views", [1, 2, 5])
def test_views_have_the_asked_shape_and_stay_inside(frame_count: int, num_views: int) -> None:
    for views in (dense_views(frame_count, 16, 3, num_views), segment_views(frame_count, 16, num_views)):
        assert views.shape == (num_views, 16)
        assert views.min() >= 0 and views.max() < frame_count
        assert (np.diff(views, axis=1) >= 0).all()


def test_segments_take_one_frame_each() -> None:
    generator = np.random.default_rng(0)
    offsets = generator.integers(0, 100 // 8, size=8)
    assert (segment_clip(100, 8, offsets) // (100 // 8) == np.arange(8)).all()


def test_data_sets_that_count_from_one_are_shifted_by_one() -> None:
    assert (segment_clip(100, 8, first=1) == segment_clip(100, 8) + 1).all()
    assert (segment_views(100, 8, 3, first=1) == segment_views(100, 8, 3) + 1).all()
    assert segment_clip(3, 5, first=1).tolist() == [1, 1, 1, 2, 3]


def test_windows_lie_wholly_inside() -> None:
    assert window_starts(31, 16, 4).tolist() == [0, 4, 8, 12]
    assert window_starts(16, 16, 4).tolist() == [0]
    assert window_starts(15, 16, 4).tolist() == []


@pytest.mark.parametrize("numbers", [(0, 16, 2), (10, 0, 2), (10, 16, 0)])
def test_impossible_clips_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=f"{numbers[1]} frames at step {numbers[2]}"):
        dense_clip(*numbers)
