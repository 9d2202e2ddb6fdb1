"""The index probes every video once, notices changes, and survives interruption and broken files."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules import video_index
from datamodules.errors import VideoReadError
from datamodules.reading import probe
from datamodules.video_index import INDEX_FILE, index_videos
from tests.datamodules import counters


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    files = [counters.encode(tmp_path / "data" / f"{name}.mp4", count=10) for name in prepare(tmp_path, "cab")]
    return [*files, counters.write_frames(tmp_path / "data" / "d.01", {number: f"{number}.png" for number in (4, 5)})]


def prepare(folder: Path, names: str) -> str:
    (folder / "data").mkdir()
    return names


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that are really looked at, in a list that grows."""
    names: list[str] = []

    def watch(path: Path, fps_of_frames: float) -> object:
        names.append(path.name)
        return probe(path, fps_of_frames)

    monkeypatch.setattr(video_index, "probe", watch)
    return names


def test_facts_come_by_name_in_the_order_asked_for(videos: list[Path], tmp_path: Path) -> None:
    facts = index_videos(videos, tmp_path / "cache")
    assert list(facts) == ["c", "a", "b", "d.01"]
    assert [found.path for found in facts.values()] == videos
    assert facts["a"] == probe(videos[1])


def test_names_can_be_given(videos: list[Path], tmp_path: Path) -> None:
    facts = index_videos({"first": videos[0], "again": videos[0]}, tmp_path / "cache")
    assert list(facts) == ["first", "again"]


def test_two_videos_of_one_name_are_refused(videos: list[Path], tmp_path: Path) -> None:
    twin = counters.encode(tmp_path / "a.mkv", count=5)
    with pytest.raises(ValueError, match="have the same name"):
        index_videos([*videos, twin], tmp_path / "cache")


def test_a_second_call_looks_at_nothing(videos: list[Path], tmp_path: Path, probed: list[str]) -> None:
    first = index_videos(videos, tmp_path / "cache")
    assert sorted(probed) == ["a.mp4", "b.mp4", "c.mp4", "d.01"]
    probed.clear()
    assert index_videos(videos, tmp_path / "cache") == first
    assert probed == []


def test_the_cache_lies_in_its_folder_and_nowhere_else(videos: list[Path], tmp_path: Path) -> None:
    before = sorted((tmp_path / "data").rglob("*"))
    index_videos(videos, tmp_path / "cache")
    assert sorted((tmp_path / "data").rglob("*")) == before
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [INDEX_FILE]


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_file_is_looked_at_again(change: str, videos: list[Path], tmp_path: Path, probed: list[str]) -> None:
    index_videos(videos, tmp_path / "cache")
    probed.clear()
    if change == "content":
        counters.encode(videos[1], count=25)
    else:
        os.utime(videos[1], ns=(0, 0))
    assert index_videos(videos, tmp_path / "cache")["a"].frame_count == (25 if change == "content" else 10)
    assert probed == ["a.mp4"]


def test_a_new_frame_in_a_folder_is_noticed(videos: list[Path], tmp_path: Path, probed: list[str]) -> None:
    index_videos(videos, tmp_path / "cache")
    probed.clear()
    counters.write_frames(videos[3], {9: "9.png"})
    assert list(index_videos(videos, tmp_path / "cache")["d.01"].frame_ids) == [4, 5, 9]
    assert probed == ["d.01"]


def test_another_rate_of_frame_folders_needs_no_new_look(videos: list[Path], tmp_path: Path, probed: list[str]) -> None:
    assert index_videos(videos, tmp_path / "cache", fps_of_frames=24)["d.01"].fps == 24
    probed.clear()
    facts = index_videos(videos, tmp_path / "cache", fps_of_frames=12)
    assert (facts["d.01"].fps, facts["a"].fps, probed) == (12, 25.0, [])


def test_two_data_sets_share_a_cache(videos: list[Path], tmp_path: Path, probed: list[str]) -> None:
    index_videos(videos[:2], tmp_path / "cache")
    index_videos(videos[2:], tmp_path / "cache")
    probed.clear()
    index_videos(videos, tmp_path / "cache")
    assert probed == []


def interrupt_at(name: str) -> Callable[[Path, float], object]:
    def watch(path: Path, fps_of_frames: float) -> object:
        if path.name == name:
            raise KeyboardInterrupt
        return probe(path, fps_of_frames)

    return watch


def test_an_interrupted_index_goes_on_where_it_was(
    videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(video_index, "probe", interrupt_at("b.mp4"))
        with pytest.raises(KeyboardInterrupt):
            index_videos(videos, tmp_path / "cache", threads=1)
    names = []
    monkeypatch.setattr(video_index, "probe", lambda path, fps: names.append(path.name) or probe(path, fps))
    assert list(index_videos(videos, tmp_path / "cache", threads=1)) == ["c", "a", "b", "d.01"]
    assert "b.mp4" in names
    assert not {"c.mp4", "a.mp4"} & set(names)


def test_what_is_found_is_saved_while_the_work_goes_on(
    videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_index, "SAVE_INTERVAL_S", 0.0)
    sizes = []
    save = video_index.save
    monkeypatch.setattr(video_index, "save", lambda file, index: sizes.append(len(index)) or save(file, index))
    index_videos(videos, tmp_path / "cache", threads=1)
    assert sizes == [1, 2, 3, 4, 4]


def test_all_broken_videos_are_listed_and_the_others_kept(
    videos: list[Path], tmp_path: Path, probed: list[str]
) -> None:
    videos[0].write_bytes(b"")
    videos[2].write_text("no video")
    gone = tmp_path / "data" / "gone.mp4"
    with pytest.raises(VideoReadError) as caught:
        index_videos([*videos, gone], tmp_path / "cache")
    assert "3 of 5 videos cannot be read" in caught.value.reason
    assert caught.value.path == tmp_path / "data"
    for path in (videos[0], videos[2], gone):
        assert f"{path}: " in caught.value.reason
    probed.clear()
    index_videos([videos[1], videos[3]], tmp_path / "cache")
    assert probed == []


def test_one_broken_video_is_its_own_error(videos: list[Path], tmp_path: Path) -> None:
    videos[0].write_bytes(b"")
    with pytest.raises(VideoReadError) as caught:
        index_videos(videos, tmp_path / "cache")
    assert caught.value.path == videos[0]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 0, "videos": {}}', '{"version": 1, "videos": {"a": 1}}']
)
def test_a_cache_that_cannot_be_used_is_made_anew_with_a_warning(
    content: str, videos: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / INDEX_FILE).write_text(content)
    with caplog.at_level(logging.WARNING):
        assert len(index_videos(videos, tmp_path / "cache")) == 4
    assert f"{INDEX_FILE} cannot be used" in caplog.text
    assert len(json.loads((tmp_path / "cache" / INDEX_FILE).read_text())["videos"]) == 4


def test_many_videos_are_announced_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(video_index, "PROGRESS_FROM", 1)
    folders = [counters.write_frames(tmp_path / str(n), {n: f"{n}.png"}) for n in range(10)]
    with caplog.at_level(logging.INFO):
        index_videos(folders, tmp_path / "cache")
    assert "10 of 10 videos are looked at once" in caplog.text
    assert "looked at 1 of 10 videos" in caplog.text
    assert "looked at 10 of 10 videos" in caplog.text
