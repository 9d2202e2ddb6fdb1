"""Faces are cut out of a video once, in order, and are there complete or not at all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import VideoReadError
from datamodules.faces import cache
from datamodules.faces.cache import FacePlan, open_packed, pack_faces
from datamodules.faces.crops import crop, rectangles
from datamodules.reading import open_video, probe
from datamodules.samples.encoding import write_video
from tests.datamodules.talks import FPS, HEIGHT, WIDTH, frames_of, picture, write_images

COUNT, SIZE = 40, 28
BOXES = ([20.0, 20, 60, 60], [70.0, 30, 120, 80])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "clip.avi"
    write_video(path, map(picture, range(COUNT)), FPS)
    return path


def plan(path: Path, frames: tuple[list[int], ...] = (list(range(5, 30)), list(range(20, 35)))) -> FacePlan:
    """Two tracks, of which the second begins before the first ends."""
    places = np.concatenate([np.array(track) for track in frames])
    boxes = np.concatenate([np.tile(box, (len(track), 1)) for box, track in zip(BOXES, frames, strict=False)])
    starts = np.cumsum([0, *map(len, frames)])
    return FacePlan(probe(path, FPS), places, boxes, starts, "ava", SIZE)


def packed(made: FacePlan, folder: Path) -> np.ndarray:
    file = made.file(folder)
    for _ in pack_faces(made, file, "auto"):
        continue
    return open_packed(file)


def test_every_face_is_that_of_its_frame_and_box(video: Path, tmp_path: Path) -> None:
    made = plan(video)
    faces = packed(made, tmp_path / "faces")
    assert isinstance(faces, np.memmap) and faces.dtype == np.uint8 and faces.shape == (40, SIZE, SIZE)
    assert frames_of(faces) == [*range(5, 30), *range(20, 35)]
    with open_video(made.facts) as reader:
        frame = reader.read([22])[0]
    for row, box in ((17, BOXES[0]), (27, BOXES[1])):
        rectangle = rectangles(np.array([box]), "ava", HEIGHT, WIDTH)[0]
        assert np.array_equal(faces[row], crop(frame, rectangle, "ava", SIZE))


def test_a_video_is_decoded_once_and_in_order(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Watched:
        def __init__(self, *arguments: object) -> None:
            self.reader = open_video(*arguments)

        def __enter__(self) -> "Watched":
            return self

        def __exit__(self, *_: object) -> None:
            self.reader.close()

        def read(self, indices: list[int]) -> np.ndarray:
            read.extend(indices)
            return self.reader.read(indices)

    monkeypatch.setattr(cache, "open_video", Watched)
    monkeypatch.setattr(cache, "CHUNK_BYTES", 3 * HEIGHT * WIDTH * 3)
    assert frames_of(packed(plan(video), tmp_path)) == [*range(5, 30), *range(20, 35)]
    assert read == list(range(5, 35))


def test_frames_that_are_not_there_are_black(video: Path, tmp_path: Path) -> None:
    faces = packed(plan(video, ([-1, 3, -1, 4],)), tmp_path)
    assert frames_of(faces[[1, 3]]) == [3, 4] and not faces[[0, 2]].any()


def test_what_was_interrupted_leaves_nothing_behind(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CHUNK_BYTES", 1)
    made = plan(video)
    working = pack_faces(made, made.file(tmp_path), "auto")
    next(working)
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    working.close()
    assert not list(tmp_path.iterdir())
    whole = packed(made, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [made.file(tmp_path).name] and len(whole) == 40


def test_other_faces_have_another_name(video: Path, tmp_path: Path) -> None:
    made = plan(video)
    others = [replace(made, mode="talkset"), replace(made, size=32), replace(made, boxes=made.boxes + 1)]
    others += [replace(made, places=made.places + 1), replace(made, starts=np.array([0, 40]))]
    names = {each.file(tmp_path).name for each in (made, *others)}
    assert len(names) == 6 and made.file(tmp_path) == plan(video).file(tmp_path)
    copy = tmp_path / "clip.avi"
    copy.write_bytes(video.read_bytes())
    assert plan(copy).file(tmp_path).name not in names  # written at another time


def test_faces_come_from_folders_of_images_too(tmp_path: Path) -> None:
    write_images(tmp_path / "clip", {number: picture(number - 1) for number in range(1, COUNT + 1)})
    assert frames_of(packed(plan(tmp_path / "clip"), tmp_path)) == [*range(5, 30), *range(20, 35)]


def test_a_file_that_is_gone_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoReadError, match=r"gone.npy: is gone; mode=prepare"):
        open_packed(tmp_path / "gone.npy")
    (tmp_path / "half.npy").write_bytes(b"no array")
    with pytest.raises(VideoReadError, match=r"half.npy: cannot be used .* delete it"):
        open_packed(tmp_path / "half.npy")
