"""Lists of videos, frames and labels: the very lines that other programs expect."""

from pathlib import Path

import numpy as np

from datamodules.export.lists import Labelled, write_label_lists, write_video_list


def labelled(name: str, count: int, anomalous: range | None = range(0), split: str = "testing") -> Labelled:
    labels = None if anomalous is None else np.isin(np.arange(count), anomalous).astype(np.int64)
    frames = [Path(f"/images/{name}/img_{number:05d}.jpg") for number in range(1, count + 1)]
    return Labelled(name, split, frames, labels)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_a_video_list_has_one_name_per_line_in_the_given_order(tmp_path: Path) -> None:
    assert write_video_list(["02_001", "01_0014"], tmp_path / "lists" / "videos.txt").state == "made"
    assert (tmp_path / "lists" / "videos.txt").read_text() == "02_001\n01_0014\n"


def test_a_list_that_is_there_is_kept_and_one_that_differs_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "videos.txt"
    write_video_list(["a", "b"], file)
    assert write_video_list(["a", "b"], file).state == "kept"
    other = write_video_list(["a"], file)
    assert other.state == "failed" and "holds something else" in other.detail
    assert lines(file) == ["a", "b"]


def test_frames_are_listed_one_by_one_and_in_groups_of_16(tmp_path: Path) -> None:
    list(write_label_lists([labelled("v", 35, range(20, 27))], tmp_path))
    paths = [f"/images/v/img_{number:05d}.jpg" for number in range(1, 36)]
    assert lines(tmp_path / "v" / "rgb_list.txt") == paths
    assert lines(tmp_path / "v" / "rgb_list_numJoints.txt") == [" ".join(paths[:16]), " ".join(paths[16:32])]


def test_labels_are_those_of_the_frames_and_half_a_group_makes_it_anomalous(tmp_path: Path) -> None:
    list(write_label_lists([labelled("v", 33, range(9, 24))], tmp_path))
    assert lines(tmp_path / "v" / "label.txt") == 9 * ["0:0"] + 15 * ["1:0"] + 9 * ["0:0"]
    first = "0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1  0  0"  # 7 of 16
    second = "1 1 1 1 1 1 1 1 0 0 0 0 0 0 0 0  0  1"  # 8 of 16
    assert lines(tmp_path / "v" / "trainlabel_numJoints.txt") == [first, second]


def test_a_video_shorter_than_a_group_has_no_groups(tmp_path: Path) -> None:
    list(write_label_lists([labelled("v", 15)], tmp_path))
    assert lines(tmp_path / "v" / "rgb_list_numJoints.txt") == []
    assert len(lines(tmp_path / "v" / "label.txt")) == 15


def test_each_split_lists_its_videos_with_label_and_number_of_frames(tmp_path: Path) -> None:
    videos = [labelled("01_001", 40, split="training"), labelled("01_0014", 30, range(3)), labelled("02_003", 20)]
    list(write_label_lists(videos, tmp_path))
    assert lines(tmp_path / "training.txt") == ["01_001,0,40"]
    assert lines(tmp_path / "testing.txt") == ["01_0014,1,30", "02_003,0,20"]


def test_nothing_is_said_of_labels_that_are_not_known(tmp_path: Path) -> None:
    list(write_label_lists([labelled("v", 40, None)], tmp_path))
    assert sorted(path.name for path in (tmp_path / "v").iterdir()) == ["rgb_list.txt", "rgb_list_numJoints.txt"]
    assert not (tmp_path / "testing.txt").exists()


def test_paths_with_blanks_are_refused_because_blanks_part_them(tmp_path: Path) -> None:
    video = labelled("my video", 20)
    [product, split] = write_label_lists([video], tmp_path)
    assert product.state == "failed" and "blanks" in product.detail
    assert split.state == "made" and not (tmp_path / "my video").exists()
