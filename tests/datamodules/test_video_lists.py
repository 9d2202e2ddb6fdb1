"""Lists of videos in the forms in which they go round, and the splits that come with the project."""

import logging
from collections import Counter
from pathlib import Path

import pytest

from datamodules.errors import PathNotFoundError
from datamodules.listing import ListFileError
from datamodules.loading import seeded
from datamodules.samples.campus.recording import Settings
from datamodules.splits import choose, dealt, hold_out, of_sample, published
from datamodules.video_lists import NamedVideo, differing_counts, name_in, named_video, read_video_list

PER_SCENE = {  # videos of the scenes 1 to 13 in the weak split
    "train": [60, 10, 10, 16, 39, 20, 10, 32, 7, 9, 7, 14, 4],
    "test": [57, 8, 6, 13, 35, 16, 6, 29, 4, 7, 4, 11, 3],
}
SAMPLE = {video.name: video.kind for video in Settings(0, 48, 54, 6.0, (160, 240)).videos()}


def read(tmp_path: Path, text: str) -> list[NamedVideo]:
    file = tmp_path / "list.txt"
    file.write_text(text)
    return read_video_list(file)


@pytest.mark.parametrize(
    ("line", "video"),
    {
        "01_0014": NamedVideo("01_0014", 1),
        "01_002": NamedVideo("01_002", 0),
        "01_0014,1": NamedVideo("01_0014", 1),
        "01_002,0,433": NamedVideo("01_002", 0, 433),
        " 01_002 , 0 , 433 ": NamedVideo("01_002", 0, 433),
        "01_002,0,-1": NamedVideo("01_002", 0),
        "01_0014,1,764": NamedVideo("01_0014", 1),  # lists that go round repeat the number of the line before
        "01_0014,0": NamedVideo("01_0014", 0),
        "UCF/SH_Train_ten_crop_i3d/01_0014_i3d.npy": NamedVideo("01_0014", 1),
        r"C:\features\01_002_i3d.npy": NamedVideo("01_002", 0),
        "features_video/i3d/combine/13_007/feature.npy": NamedVideo("13_007", 0),
        "training/videos/01_002.avi,0,433": NamedVideo("01_002", 0, 433),
    }.items(),
)
def test_a_line_is_a_name_or_a_path_with_or_without_label_and_frames(
    tmp_path: Path, line: str, video: NamedVideo
) -> None:
    assert read(tmp_path, f"# comment\n\n{line}\n") == [video]


def test_lists_keep_their_order(tmp_path: Path) -> None:
    assert [video.name for video in read(tmp_path, "05_0017\n01_002\n01_0014\n")] == ["05_0017", "01_002", "01_0014"]


def test_files_of_one_crop_each_name_their_video_together(tmp_path: Path) -> None:
    lines = [f"i3d/{name}_{crop}.npy" for name in ("01_0014", "01_002") for crop in range(10)]
    assert [video.name for video in read(tmp_path, "\n".join(lines))] == ["01_0014", "01_002"]


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "01_0014\n01_002\n01_0014": "line 3: 01_0014 is named already, in line 1",
        "01_0014,1\na/01_0014.npy,0": "line 2: 01_0014 is named already, in line 1",
        "video": "line 1: found no name such as 01_002 or 01_0014 in 'video'",
        "01_00142": "found no name",
        "01_0014,yes": r"found '01_0014,yes', expected name\[,label\[,frames\]\] with whole numbers",
        "01_0014,1,2,3": "expected name",
        "01_0014,2": r"label is 2, expected 0 \(normal\) or 1 \(anomalous\)",
        "# nothing": "the list is empty",
    }.items(),
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ListFileError, match=message):
        read(tmp_path, text)


def test_a_list_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"datamodule.train_list: .*nothing.txt does not exist"):
        read_video_list(tmp_path / "nothing.txt", "datamodule.train_list")


def test_the_file_tells_the_video_before_its_folder_does() -> None:
    assert name_in("01_001/02_0022.npy") == "02_0022"
    assert name_in("01_001/feature.npy") == "01_001"
    assert name_in("2024_01/x.npy") is None


def test_the_weak_split_has_the_published_counts() -> None:
    sides = dict(zip(("train", "test"), published("weak"), strict=True))
    labels = {side: Counter(video.label for video in videos) for side, videos in sides.items()}
    assert labels == {"train": {0: 175, 1: 63}, "test": {0: 155, 1: 44}}
    for side, videos in sides.items():
        scenes = Counter(video.scene for video in videos)
        assert [scenes[scene] for scene in range(1, 14)] == PER_SCENE[side]
    assert len({video.name for videos in sides.values() for video in videos}) == 437


def test_the_one_class_split_trains_on_normal_videos_alone() -> None:
    train, test = published("one_class")
    assert (len(train), {video.label for video in train}) == (330, {0})
    assert (len(test), {video.label for video in test}) == (107, {1})


def test_both_sides_of_the_samples_weak_split_have_every_scene_and_kind() -> None:
    sides = of_sample("weak", SAMPLE)
    assert sorted(video.name for side in sides for video in side) == sorted(SAMPLE)
    for side in sides:
        assert {SAMPLE[video.name] for video in side} == set(SAMPLE.values())
        assert len({(video.scene, video.label) for video in side}) == 12


def test_the_samples_one_class_split_parts_by_label() -> None:
    train, test = of_sample("one_class", SAMPLE)
    assert {SAMPLE[video.name] for video in train} == {None} and len(train) == 48
    assert None not in {SAMPLE[video.name] for video in test} and len(test) == 54


def test_a_list_like_the_published_one_is_taken_without_a_word(tmp_path: Path, caplog) -> None:
    train, _ = published("weak")
    (tmp_path / "list.txt").write_text("\n".join(f"{video.name},{video.label}" for video in reversed(train)))
    with caplog.at_level(logging.WARNING):
        found, _ = choose("weak", None, str(tmp_path / "list.txt"))
    assert [video.name for video in found] == [video.name for video in reversed(train)]
    assert not caplog.records


def test_a_list_with_other_counts_is_taken_with_a_warning(tmp_path: Path, caplog) -> None:
    train, test = published("weak")
    others = [video for video in train if video.name not in ("05_001", "05_0018")]
    (tmp_path / "list.txt").write_text("\n".join(video.name for video in others))
    with caplog.at_level(logging.WARNING):
        assert choose("weak", None, str(tmp_path / "list.txt")) == (others, test)
    expected = (
        "174 normal videos instead of 175, 62 anomalous videos instead of 63, 37 videos of scene 05 instead of 39"
    )
    assert "datamodule.train_list" in caplog.text and caplog.text.strip().endswith(expected)


def test_a_scene_too_many_is_counted_as_well() -> None:
    videos = [named_video("01_001")]
    assert list(differing_counts([*videos, named_video("14_001")], videos)) == [
        "2 normal videos instead of 1",
        "1 videos of scene 14 instead of 0",
    ]


def test_a_video_on_both_sides_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("01_0014\n01_001")  # the second is a test video
    with pytest.raises(ValueError, match="01_001 in training and test"):
        choose("weak", None, str(tmp_path / "list.txt"))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_held_out_has_the_same_share_of_every_scene_and_label(seed: int) -> None:
    train, _ = published("weak")
    kept, held = hold_out(train, 0.2, seed)
    assert sorted([*kept, *held], key=train.index) == train
    groups = Counter((video.scene, video.label) for video in train)
    found = Counter((video.scene, video.label) for video in held)
    assert all(abs(found[group] - 0.2 * size) < 1 for group, size in groups.items())
    assert Counter(video.label for video in held) == {0: 35, 1: 13}


def test_the_seed_decides_what_is_held_out() -> None:
    train, _ = published("weak")
    assert hold_out(train, 0.2, 0) == hold_out(train, 0.2, 0)
    assert len({tuple(video.name for video in hold_out(train, 0.2, seed)[1]) for seed in range(4)}) == 4


def test_of_each_label_one_is_held_out_and_one_is_kept_where_there_are_two() -> None:
    videos = [named_video(name) for name in ("01_001", "02_001", "01_0001", "02_0001")]
    for share in (0.01, 0.9):
        kept, held = hold_out(videos, share, 0)
        assert [sorted(video.label for video in side) for side in (kept, held)] == [[0, 1], [0, 1]]
    assert hold_out(videos, 0.0, 0) == (videos, [])
    assert hold_out(videos[1:], 0.5, 0)[1][0].label == 1  # the only normal video is trained on


def test_a_share_is_dealt_by_the_largest_remainder() -> None:
    assert dealt({1: 10, 2: 4, 3: 1}, 0.2, seeded(0)) == {1: 2, 2: 1, 3: 0}
