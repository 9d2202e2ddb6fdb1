"""Which videos a folder or a list file names."""

from copy import copy
from pathlib import Path

import pytest

from datamodules.listing import Listed, ListFileError, find_videos, read_list


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_videos_and_frame_folders_are_found_in_depth(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "scene/a.AVI", "scene/deep/c.mkv", "frames/x/000.jpg", "frames/x/001.jpg", "notes.txt")
    found = find_videos(tmp_path)
    assert [video.name for video in found] == ["b", "frames/x", "scene/a", "scene/deep/c"]
    assert found[1].path == tmp_path / "frames" / "x"


def test_pictures_beside_videos_are_no_frames(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.jpg", "inside/0.png")
    assert [video.name for video in find_videos(tmp_path)] == ["a", "inside"]


def test_a_frame_folder_may_be_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "walk/0.png", "walk/1.png")
    assert find_videos(tmp_path / "walk") == [Listed("walk", tmp_path / "walk")]


def test_hidden_files_are_left_aside_and_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "data/.a.mp4", "data/.trash/b.mp4", "elsewhere/c.mp4")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "linked" / "back").symlink_to(tmp_path / "data")
    assert [video.name for video in find_videos(tmp_path / "data")] == ["linked/c"]


def test_files_of_one_name_keep_their_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.avi", "b.mp4")
    assert [video.name for video in find_videos(tmp_path)] == ["a.avi", "a.mp4", "b"]


def test_files_of_one_name_in_different_places_keep_their_path(tmp_path: Path) -> None:
    touch(tmp_path, "root/a.mp4", "other/a.mp4")
    (tmp_path / "list.txt").write_text("a.mp4\n../other/a.mp4\n")
    names = [video.name for video in read_list(tmp_path / "list.txt", tmp_path / "root")]
    assert len(set(names)) == 2


@pytest.mark.parametrize("separator", [" ", "\t", ","])
def test_lists_may_have_columns_as_upstream(tmp_path: Path, separator: str) -> None:
    touch(tmp_path, "a.mp4", "scene/b.mp4", "frames/x/1.jpg")
    lines = [("a.mp4",), ("scene/b.mp4", "0", "-1"), ("frames/x", "1", "30", "7"), ("a.mp4", "8", "16")]
    text = "# a comment\n\n" + "\n".join(separator.join(line) for line in lines)
    (tmp_path / "list.txt").write_text(text)
    assert read_list(tmp_path / "list.txt", tmp_path) == [
        Listed("a", tmp_path / "a.mp4"),
        Listed("a", tmp_path / "a.mp4", 8, 16),
        Listed("frames/x", tmp_path / "frames" / "x", 1, 30),
        Listed("scene/b", tmp_path / "scene" / "b.mp4"),
    ]


@pytest.mark.parametrize(
    "line", ["my scene/the film.mp4\t0\t-1", '"my scene/the film.mp4",0,-1', "my scene/the film.mp4"]
)
def test_paths_with_blanks_work_with_tabs_and_commas_or_alone(tmp_path: Path, line: str) -> None:
    touch(tmp_path, "my scene/the film.mp4")
    (tmp_path / "list.csv").write_text(line)
    assert read_list(tmp_path / "list.csv", tmp_path) == [
        Listed("my scene/the film", tmp_path / "my scene/the film.mp4")
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4 0", r"line 3: has 2 columns, expected path \[start total \[label\]\]; separate them by tabs or commas"),
        ("my film.mp4 0 -1", "line 3: .*my does not exist .*; columns: separate them by tabs or commas"),
        ("my other film.mp4 0 -1", "line 3: has 5 columns"),
        ("b.mp4 0 -1", "line 3: .*b.mp4 does not exist"),
        ("a.mp4 zero -1", "line 3: start is 'zero', expected an integer"),
        ("a.mp4 -1 5", "line 3: start is -1, expected the number of a frame"),
        ("a.mp4 0 0", "line 3: total is 0, expected a number of frames, or -1 for all"),
        ("a.mp4 0 -1 walking", "line 3: label is 'walking', expected an integer"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "list.txt").write_text(f"# head\na.mp4\n{line}\n")
    with pytest.raises(ListFileError, match=message) as caught:
        read_list(tmp_path / "list.txt", tmp_path)
    assert str(copy(caught.value)) == str(caught.value)


def test_an_empty_or_missing_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# nothing\n")
    with pytest.raises(ListFileError, match=r"list.txt, line 1: the list is empty"):
        read_list(tmp_path / "list.txt", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"datamodule.list_file: .*none.txt does not exist"):
        read_list(tmp_path / "none.txt", tmp_path)
