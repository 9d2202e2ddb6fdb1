"""Frame folders are read by the number in the file name, whatever the names look like."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import VideoReadError
from datamodules.reading import open_video, probe
from tests.datamodules import counters


@pytest.mark.parametrize(
    "pattern", ["{:03d}.png", "{}.png", "img_{:05d}.jpg", "01_0014_{:03d}.jpeg", "frame{:06d}.PNG"]
)
def test_frames_come_in_the_order_of_their_numbers(pattern: str, tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {number: pattern.format(number) for number in (10, 2, 1, 100, 9)})
    facts = probe(tmp_path)
    assert list(facts.frame_ids) == [1, 2, 9, 10, 100]
    with open_video(facts) as reader:
        assert counters.numbers_of(reader.read(range(5))) == [1, 2, 9, 10, 100]


def test_numbers_may_have_mixed_digits(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {8: "8.png", 9: "009.png", 10: "10.png", 11: "0011.jpg"})
    with open_video(probe(tmp_path)) as reader:
        assert list(reader.frame_ids) == [8, 9, 10, 11]
        assert counters.numbers_of(reader.read([3, 0, 3, 1])) == [11, 8, 11, 9]


def test_a_gap_in_the_numbers_is_a_gap_in_time(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {number: f"{number}.png" for number in (5, 6, 9)})
    np.testing.assert_allclose(probe(tmp_path, fps_of_frames=10).times(), [0, 0.1, 0.4])


def test_facts_of_a_frame_folder(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {number: f"{number:03d}.jpg" for number in range(4)})
    facts = probe(tmp_path, fps_of_frames=24)
    assert (facts.kind, facts.codec, facts.frame_count, facts.fps) == ("frames", "jpeg", 4, 24)
    assert (facts.height, facts.width, facts.runs) == (counters.HEIGHT, counters.WIDTH, ((0, 4),))


def test_other_files_are_left_aside(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {0: "0.png", 1: "1.png"})
    for name in ("Thumbs.db", "._0.png", "list1.txt"):
        (tmp_path / name).write_bytes(b"something else")
    assert probe(tmp_path).frame_count == 2


def test_grey_images_and_images_with_transparency_become_rgb(tmp_path: Path) -> None:
    for number, mode in enumerate(("L", "RGBA", "P")):
        Image.fromarray(counters.frame(number)).convert(mode).save(tmp_path / f"{number}.png")
    with open_video(probe(tmp_path)) as reader:
        assert counters.numbers_of(reader.read([0, 1, 2])) == [0, 1, 2]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoReadError, match=r"expected numbered images .* found none"):
        probe(tmp_path)


def test_an_image_without_number_is_named(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {0: "000.png", 1: "cover.png"})
    with pytest.raises(VideoReadError, match=r"cover\.png: expected an image named after its frame number"):
        probe(tmp_path)


def test_two_images_of_the_same_number_are_named(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {1: "1.png", 2: "001.jpg"})
    with pytest.raises(VideoReadError, match=r"001\.jpg and 1\.png both claim to be frame 1"):
        probe(tmp_path)


def test_an_unreadable_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {number: f"{number}.png" for number in range(3)})
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    with open_video(probe(tmp_path)) as reader:
        assert counters.numbers_of(reader.read([0, 2])) == [0, 2]
        with pytest.raises(VideoReadError) as caught:
            reader.read([0, 1])
    assert caught.value.path == tmp_path / "1.png"


def test_an_unreadable_first_image_is_named_by_the_probe(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {number: f"{number}.png" for number in range(3)})
    (tmp_path / "0.png").write_bytes(b"")
    with pytest.raises(VideoReadError) as caught:
        probe(tmp_path)
    assert caught.value.path == tmp_path / "0.png"


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {0: "0.png", 1: "1.png"})
    Image.new("RGB", (32, 48)).save(tmp_path / "2.png")
    with (
        open_video(probe(tmp_path)) as reader,
        pytest.raises(VideoReadError, match=r"2\.png: expected 160x96 pixels .* found 32x48"),
    ):
        reader.read([2])


def test_a_frame_that_vanished_since_the_probe_is_named_not_shifted(tmp_path: Path) -> None:
    counters.write_frames(tmp_path, {number: f"{number}.png" for number in range(4)})
    facts = probe(tmp_path)
    (tmp_path / "2.png").unlink()
    with pytest.raises(VideoReadError, match="frame 2 has come or gone"):
        open_video(facts)
