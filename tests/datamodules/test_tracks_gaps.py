"""Gaps in face tracks: short ones are filled on a line, long ones part a track, labels are those of the frame."""

import numpy as np
import pytest

from datamodules.tracks import TrackTable, VoiceTable
from datamodules.tracks.gaps import segments

NOBODY = {"video_id": (), "person_id": (), "first_frame": (), "last_frame": (), "wearer": ()}


def track(frames: list[int], labels: list[int], entity: str = "e") -> TrackTable:
    number = np.array(frames, dtype=float)
    return TrackTable.from_columns(
        {"dataset": "set", "video_id": "v", "entity_id": entity, "person_id": "p", "track_id": "t", "frame": frames}
        | {"timestamp": number / 25, "x1": number / 100, "y1": 0.1, "x2": number / 100 + 0.1, "y2": 0.2}
        | {"frame_w": 64, "frame_h": 48, "label": labels, "source": "annotated"}
    )


def heard(first: int, last: int, complete: bool = True) -> VoiceTable:
    columns = {"video_id": "v", "person_id": "p", "first_frame": [first], "last_frame": [last], "wearer": False}
    return VoiceTable.from_columns(columns, ["v"] if complete else [])


def test_a_short_gap_is_filled_on_the_line_between_the_boxes() -> None:
    found = segments(track([5, 6, 10], [0, 0, 1]), heard(9, 20), max_gap=3)
    assert len(found) == 1 and found.lengths.tolist() == [6]
    table = found[0]
    table.validate()
    assert table.frame.tolist() == [5, 6, 7, 8, 9, 10] and np.allclose(table.x1, table.frame / 100)
    assert np.allclose(table.timestamp, table.frame / 25)
    assert table.annotated.tolist() == [True, True, False, False, False, True]
    assert table.label.tolist() == [0, 0, 0, 0, 1, 1], "the label is that of the frame, not of the box before"


def test_a_longer_gap_parts_the_track() -> None:
    found = segments(track([5, 6, 10], [0, 0, 1]), heard(9, 20), max_gap=2)
    assert found.lengths.tolist() == [2, 1] and found[1].frame.tolist() == [10] and found.table.annotated.all()


def test_where_voices_are_not_annotated_both_sides_must_agree() -> None:
    nobody = VoiceTable.from_columns(NOBODY)
    assert segments(track([1, 3], [1, 1]), nobody)[0].label.tolist() == [1, 1, 1]
    assert segments(track([1, 3], [1, 0]), nobody)[0].label.tolist() == [1, -1, 0]
    assert segments(track([1, 3], [1, 0]), heard(1, 1, complete=False))[0].label.tolist() == [1, -1, 0]


def test_segments_do_not_reach_over_entities_and_short_ones_can_be_left_out() -> None:
    tracks = TrackTable.concat([track([1, 2, 3], [0, 0, 0], "a"), track([4], [1], "b"), track([9, 11], [0, 0], "c")])
    every = segments(tracks, heard(4, 4))
    assert every.lengths.tolist() == [3, 1, 3] and [every[n].entity_id[0] for n in range(3)] == ["a", "b", "c"]
    assert every.table.annotated.sum() == len(tracks), "every annotated box is in one segment"
    longer = segments(tracks, heard(4, 4), min_length=3)
    assert longer.lengths.tolist() == [3, 3] and longer[1].entity_id[0] == "c" and longer.starts.tolist() == [0, 3, 6]


def test_nothing_gives_no_segments() -> None:
    assert len(segments(TrackTable.empty(), VoiceTable.from_columns(NOBODY))) == 0
    with pytest.raises(ValueError, match="max_gap of at least 0"):
        segments(TrackTable.empty(), VoiceTable.from_columns(NOBODY), max_gap=-1)
