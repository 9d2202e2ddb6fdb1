"""The index of key frames: grouped boxes, order, and a cache that notices every change of its inputs."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from datamodules.ava_files import PROPOSED, read_rows
from datamodules.ava_index import Index, build_index, cached_index
from datamodules.checking import Defect
from datamodules.label_map import Action, LabelMap

CLASSES = LabelMap((Action(5, "five"), Action(7, "seven")))
TRUE = "b,903,0.1,0.2,0.3,0.4,7,0\na,0902,0.5,0.5,0.6,0.6,5,0\na,902,0.1,0.2,0.3,0.4,5,1\na,902,0.5,0.5,0.6,0.6,7,0\n"
SEEN = "a,902,0.5,0.5,0.6,0.6,,0.9\nc,905,0.1,0.2,0.3,0.4,5,0.4\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "true.csv").write_text(TRUE)
    (tmp_path / "seen.csv").write_text(SEEN)
    return {"annotated": tmp_path / "true.csv", "proposed": tmp_path / "seen.csv"}


def built(files: dict[str, Path], excluded: set = frozenset()) -> Index:
    rows = (read_rows(files["annotated"])[0], read_rows(files["proposed"], PROPOSED)[0])
    return build_index(*rows, CLASSES, excluded)


def test_boxes_are_grouped_by_video_second_and_kind_in_the_order_of_the_file(files: dict[str, Path]) -> None:
    index = built(files)
    index.validate()
    assert [(index.name(k), index.second[k]) for k in range(len(index))] == [("a", 902), ("b", 903), ("c", 905)]
    first = index.places(0)
    assert index.boxes[first, 0].tolist() == [0.5, 0.1, 0.5] and index.annotated[first].tolist() == [True, True, False]
    assert index.labels[first].tolist() == [[True, True], [True, False], [False, False]]
    assert index.scores[first].tolist() == pytest.approx([1, 1, 0.9])
    assert index.count(index.annotated).tolist() == [2, 1, 0]


def test_excluded_key_frames_lose_both_kinds_of_boxes(files: dict[str, Path]) -> None:
    index = built(files, {("a", 902.0), ("c", 905.0)})
    assert [(index.name(k), index.second[k]) for k in range(len(index))] == [("b", 903)]
    assert len(built(files, {("a", 902.0), ("b", 903.0), ("c", 905.0)})) == 0


def test_an_index_is_built_once_until_an_input_or_a_setting_changes(files: dict[str, Path], tmp_path: Path) -> None:
    calls = []
    said = [Defect("kind", "", "file", "line 3: detail")]

    def build() -> tuple[Index, list[Defect]]:
        calls.append(1)
        return built(files), said

    cache = tmp_path / "cache"
    for _ in range(2):
        index, defects = cached_index(cache, files, {"classes": [5, 7]}, build)
        assert defects == said
    assert len(calls) == 1
    for field in fields(Index):
        assert np.array_equal(getattr(index, field.name), getattr(built(files), field.name)), field.name
    cached_index(cache, files, {"classes": [5]}, build)
    files["proposed"].write_text(SEEN.replace("0.4\n", "0.3\n"))
    cached_index(cache, files, {"classes": [5, 7]}, build)
    assert len(calls) == 3


def test_a_damaged_or_contradictory_cache_is_made_anew(
    files: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kept() -> Index:
        return cached_index(tmp_path / "cache", files, {}, lambda: (built(files), []))[0]

    good = kept()
    file = next((tmp_path / "cache").iterdir())
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert np.array_equal(kept().boxes, good.boxes) and "cannot be used" in caplog.text
    with np.load(file) as content:
        arrays = dict(content)
    caplog.clear()
    np.savez(file, **arrays | {"starts": arrays["starts"] + 1})
    assert np.array_equal(kept().starts, good.starts) and "do not part its boxes" in caplog.text


def test_an_index_of_other_files_is_not_taken(
    files: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, empty = tmp_path / "cache", Index(**vars(built(files, {("a", 902.0), ("b", 903.0), ("c", 905.0)})))
    cached_index(cache, files, {"classes": 1}, lambda: (empty, []))
    (first,) = cache.iterdir()
    cached_index(cache, files, {"classes": 2}, lambda: (built(files), []))
    (second,) = set(cache.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert len(cached_index(cache, files, {"classes": 2}, lambda: (built(files), []))[0]) == 3
    assert "it was made of something else" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros(1, np.float32)}, "differ in length"),
        ({"video": np.zeros(1, np.int64)}, "key frames differ in length"),
        ({"video": np.full(3, 9)}, "of no video"),
        ({"boxes": np.full((5, 4), 2.0)}, "outside the frame"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(change: dict, message: str, files: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=message):
        Index(**vars(built(files)) | change).validate()
