"""Faces are followed by their overlap, within a scene."""

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.faces.cuts import CutDetector
from datamodules.faces.tracking import FaceTrack, FaceTracker
from tests.datamodules.face_films import wandering


def box(left: float, top: float = 0.0, side: float = 10.0) -> list[float]:
    return [left, top, left + side, top + side]


def follow(frames: dict[int, list[list[float]]], cuts: tuple[int, ...] = (), **options: float) -> list[FaceTrack]:
    """Follow the boxes of frames, by their numbers."""
    tracker = FaceTracker(**({"min_frames": 1} | options))
    for frame, boxes in frames.items():
        tracker.follow(frame, np.array(boxes, dtype=np.float64).reshape(-1, 4), cut=frame in cuts)
    return tracker.tracks()


def lefts(track: FaceTrack) -> list[float]:
    return [float(box[0]) for box in track.boxes]


def test_faces_are_followed_side_by_side_whatever_their_order_in_a_frame() -> None:
    frames = {number: [box(number), box(50 - number)][:: 1 if number % 2 else -1] for number in range(8)}
    tracks = follow(frames)
    assert sorted(lefts(track)[0] for track in tracks) == [0, 50]
    assert all(abs(step) == 1 for track in tracks for step in np.diff(lefts(track)))
    assert [track.frames for track in tracks] == [list(range(8))] * 2


def test_of_two_boxes_the_one_that_overlaps_more_goes_on() -> None:
    tracks = follow({0: [box(0)], 1: [box(3), box(1)]})
    assert [lefts(track) for track in tracks] == [[0, 1], [3]]


def test_of_two_tracks_the_one_that_overlaps_more_gets_the_box() -> None:
    tracks = follow({0: [box(0), box(4)], 1: [box(3)]})
    assert [lefts(track) for track in tracks] == [[0], [4, 3]]


def test_a_box_that_overlaps_too_little_begins_a_track() -> None:
    assert len(follow({0: [box(0)], 1: [box(4)]})) == 2  # overlap 6 / 14
    assert len(follow({0: [box(0)], 1: [box(4)]}, min_overlap=0.4)) == 1


def test_a_face_may_be_missed_for_a_while_and_no_longer() -> None:
    def gap(missed: int) -> list[list[int]]:
        return [track.frames for track in follow({0: [box(0)], 1: [], missed + 1: [box(0)]}, max_missed=3)]

    assert gap(3) == [[0, 4]] and gap(4) == [[0], [5]]
    assert gap(0) == [[0, 1]]


def test_a_cut_ends_all_tracks() -> None:
    tracks = follow({number: [box(0)] for number in range(6)}, cuts=(3,))
    assert [track.frames for track in tracks] == [[0, 1, 2], [3, 4, 5]]


def test_short_tracks_are_left_out_and_the_others_counted_anew() -> None:
    frames = {0: [box(0), box(100)], 1: [box(100), box(200)], 2: [box(100), box(200)], 9: [box(200)]}
    tracks = follow(frames, min_frames=3)
    assert [(track.number, track.frames) for track in tracks] == [(1, [0, 1, 2]), (2, [1, 2, 9])]


def test_a_video_without_faces_has_no_tracks() -> None:
    assert follow({}) == follow({0: [], 1: []}) == []


def pictures(*colours: int) -> NDArray[np.uint8]:
    return np.stack([np.full((40, 60, 3), colour, np.uint8) for colour in colours])


def test_a_scene_begins_where_the_colours_change() -> None:
    assert CutDetector().begins(pictures(10, 12, 200, 200, 10)).tolist() == [False, False, True, False, True]


def test_the_last_frame_of_a_call_is_remembered() -> None:
    cuts = CutDetector()
    assert not cuts.begins(pictures(10, 10)).any()
    assert cuts.begins(pictures(200, 200)).tolist() == [True, False]


def test_a_camera_that_pans_is_no_cut_and_another_picture_is() -> None:
    frames, _ = wandering(30)
    other = np.random.default_rng(0).integers(0, 256, frames[:3].shape, dtype=np.uint8)
    assert not CutDetector().begins(frames).any()
    found = CutDetector().begins(np.concatenate([frames[:5], other, frames[5:8]]))
    assert np.flatnonzero(found).tolist() == [5, 8]


def test_the_threshold_is_a_share_of_pixels() -> None:
    frames = pictures(10, 10)
    frames[1, :, :24] = 200  # 40 percent
    assert CutDetector(0.39).begins(frames)[1] and not CutDetector(0.41).begins(frames)[1]


@pytest.mark.parametrize("size", [(8, 8), (1080, 1920)])
def test_frames_of_any_size_are_compared(size: tuple[int, int]) -> None:
    frames = np.zeros((2, *size, 3), np.uint8)
    frames[1] = 255
    assert CutDetector().begins(frames).tolist() == [False, True]
