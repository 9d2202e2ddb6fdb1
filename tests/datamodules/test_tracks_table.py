"""The table of face tracks and that of voices: order, look-ups, files, and what they refuse."""

import csv
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from datamodules.ava_files import MALFORMED
from datamodules.ava_rows import DUPLICATE_ROW
from datamodules.errors import DataFileError
from datamodules.tracks import TrackTable, VoiceTable
from datamodules.tracks.csv_tables import read_table, write_table
from datamodules.tracks.judging import BAD_LABEL

FRAMES = np.arange(12)


def columns(**changed: object) -> dict[str, object]:
    """Columns of three boxes of two entities, in no order."""
    same = {"dataset": "set", "video_id": ["b", "a", "a"], "entity_id": ["x", "y", "y"], "track_id": "t"}
    same |= {"person_id": ["7", "camera_wearer", "camera_wearer"], "frame": [0, 4, 3], "timestamp": [0, 4 / 30, 0.1]}
    same |= {"x1": [-0.1, 0.2, 1 / 3], "y1": 0.1, "x2": [0.5, 0.6, 0.7], "y2": [0.3, 0.4, 0.5]}
    return same | {"frame_w": 640, "frame_h": 480, "label": [1, 0, -1], "source": "annotated"} | changed


def same(one: TrackTable, other: TrackTable) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(TrackTable)]
    return all(a.dtype == b.dtype and a.tolist() == b.tolist() for a, b in pairs)


def test_rows_are_ordered_by_video_entity_and_frame_and_found_by_them() -> None:
    table = TrackTable.from_columns(columns())
    assert len(table) == 3 and table.frame.tolist() == [3, 4, 0] and table.label.tolist() == [-1, 0, 1]
    assert table.starts.tolist() == [0, 2, 3] and list(table.entities) == [("a", "y"), ("b", "x")]
    assert table.of("a").frame.tolist() == [3, 4] and table.of("b", "x").person_id.tolist() == ["7"]
    assert len(table.of("a", "x")) == len(table.of("c")) == 0
    assert table.boxes[2].tolist() == [-0.1, 0.1, 0.5, 0.3] and np.allclose(table.width[2], 0.6 * 640)
    assert table.milliseconds.tolist() == [100, 133, 0]


def test_tables_are_joined_as_if_their_rows_had_been_one() -> None:
    whole = TrackTable.from_columns(columns())
    alone = [whole.take(slice(2, 3)), TrackTable.empty(), whole.take(slice(0, 2))]
    shared = [whole.take(slice(1, 3)), whole.take(slice(0, 1))]
    assert all(same(TrackTable.concat(tables), whole) for tables in (alone, shared))
    assert same(TrackTable.concat([]), TrackTable.empty())
    with pytest.raises(ValueError, match="two boxes of an entity in one frame"):
        TrackTable.concat([whole, whole])


def test_equal_words_are_one_object() -> None:
    table = TrackTable.from_columns(columns(video_id=["".join("ab"), "".join("ab"), "".join("ab")]))
    assert len({id(word) for word in table.video_id}) == 1


def test_tables_are_joined_in_order() -> None:
    table = TrackTable.from_columns(columns())
    assert same(TrackTable.concat([table.of("b"), table.of("a")]), table)
    assert same(TrackTable.concat([]), TrackTable.empty()) and len(TrackTable.empty().entities) == 0


def test_parquet_gives_back_every_bit(tmp_path: Path) -> None:
    for number, table in enumerate((TrackTable.from_columns(columns()), TrackTable.empty())):
        path = tmp_path / f"{number}.parquet"
        table.to_parquet(path)
        assert same(TrackTable.from_parquet(path), table)
        assert parquet.read_table(path).column_names == [field.name for field in fields(TrackTable)]


def test_a_parquet_file_of_others_is_brought_into_order(tmp_path: Path) -> None:
    full = {name: value if isinstance(value, list) else [value] * 3 for name, value in columns().items()}
    parquet.write_table(pa.table(full | {"more": [1, 2, 3]}), tmp_path / "own.parquet")
    assert same(TrackTable.from_parquet(tmp_path / "own.parquet"), TrackTable.from_columns(columns()))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frame": [0, 3, 3]}, r"two boxes of an entity in one frame \(a, entity y, frame 3\)"),
        ({"label": 2}, "label other than 1, 0 and -1"),
        ({"source": "guessed"}, "source other than annotated and interpolated"),
        ({"x2": [0.5, 0.6, 0.2]}, r"box without area \(a, entity y, frame 3\)"),
        ({"y2": np.nan}, "not finite"),
        ({"frame": [-1, 4, 3]}, "frame number below 0"),
        ({"frame_w": 0}, "frame without pixels"),
        ({"person_id": [7, 8, 8]}, "column person_id: expected words"),
        ({"label": [0, 1]}, "differ in length: 2, 3 rows"),
    ],
)
def test_a_table_refuses_what_it_cannot_say(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrackTable.from_columns(columns(**changed))


def test_files_that_are_no_table_are_named(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    path.write_text("no table")
    with pytest.raises(DataFileError, match=r"tracks\.parquet: cannot be read as Parquet"):
        TrackTable.from_parquet(path)
    parquet.write_table(pa.table({"frame": [1]}), path)
    with pytest.raises(DataFileError, match="lacks columns dataset, video_id"):
        TrackTable.from_parquet(path)
    table = pa.table({"frame": [1]}).replace_schema_metadata({b"vidzoo": b'{"version": 99}'})
    parquet.write_table(table, path)
    with pytest.raises(DataFileError, match="is of version 99, expected 1"):
        TrackTable.from_parquet(path)
    with pytest.raises(FileNotFoundError):
        TrackTable.from_parquet(tmp_path / "gone.parquet")


def test_csv_gives_back_every_bit_and_names_the_lines_that_are_wrong(tmp_path: Path) -> None:
    table = TrackTable.from_columns(columns(source=["annotated", "interpolated", "annotated"]))
    write_table(tmp_path / "t.csv", table)
    found, defects = read_table(tmp_path / "t.csv")
    assert same(found, table) and not defects
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    again, guessed, label = dict(rows[0]), rows[1] | {"frame": "9", "source": "guessed"}, rows[2] | {"label": "3"}
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows([*rows, again, guessed, label])
        file.write("one,cell,and,more\n")
    found, defects = read_table(tmp_path / "t.csv")
    assert same(found, table)
    assert {one.detail.split(":")[0]: one.kind for one in defects} == {
        "line 5": DUPLICATE_ROW,
        "line 6": MALFORMED,
        "line 7": BAD_LABEL,
        "line 8": MALFORMED,
    }


def voices(complete: tuple[str, ...] = ("v",)) -> VoiceTable:
    spoken = {"person_id": ["1", "camera_wearer", "1", "2"], "first_frame": [2, 5, 4, 6], "last_frame": [3, 9, 4, 7]}
    return VoiceTable.from_columns({"video_id": "v", **spoken, "wearer": [False, True, False, False]}, complete)


def test_voices_are_heard_to_their_last_frame_in_view_or_not() -> None:
    table = voices()
    assert table.voice_at("v", FRAMES).tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert table.wearer_at("v", FRAMES).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert table.person_at("v", "1", FRAMES).tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert table.person_at("v", "nobody", FRAMES[:2]).tolist() == [0, 0]
    assert [ends.tolist() for ends in table.segments_of("v", "1")] == [[2], [4]], "what touches is one segment"


def test_where_voices_are_not_all_annotated_silence_is_unknown() -> None:
    assert voices(()).voice_at("v", FRAMES).tolist() == [-1, -1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1]
    assert voices().voice_at("w", FRAMES[:2]).tolist() == [-1, -1]


def test_voices_survive_parquet(tmp_path: Path) -> None:
    voices().to_parquet(tmp_path / "v.parquet")
    found = VoiceTable.from_parquet(tmp_path / "v.parquet")
    assert found.complete == {"v"} and found.voice_at("v", FRAMES).tolist() == voices().voice_at("v", FRAMES).tolist()
    assert found.person_id.tolist() == voices().person_id.tolist()
    with pytest.raises(ValueError, match="segment of frames 3 to 2"):
        VoiceTable.from_columns(
            {"video_id": "v", "person_id": "1", "first_frame": [3], "last_frame": [2], "wearer": False}
        )
