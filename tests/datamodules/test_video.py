"""A video of one's own becomes batches of face tracks with sound, once."""

import logging
from pathlib import Path

import numpy as np
import pytest
from lightning import LightningModule, Trainer
from numpy.typing import NDArray
from PIL import Image

from datamodules.errors import PathNotFoundError, SoundReadError, VideoReadError
from datamodules.faces.detector import CenterFace
from datamodules.faces.overlap import overlaps
from datamodules.normalization import statistics
from datamodules.video import Video
from datamodules.video_clips import VideoClips
from datamodules.video_faces import VideoFaces
from tests.datamodules.face_films import FPS, HEIGHT, WIDTH, wandering, write_film

FRAMES, CUT = 36, 16  # of the film, whose picture is replaced by noise for some frames in the middle
SIDES = np.array([WIDTH, HEIGHT] * 2)


class Blob:
    """Finds the red square of a frame, and counts the frames it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        self.seen += len(frames)
        return [self.square(frame.astype(int)) for frame in frames]

    def square(self, frame: NDArray) -> NDArray[np.float32]:
        rows, columns = np.nonzero(frame[..., 0] - frame[..., 1] > 100)
        if not len(rows):
            return np.zeros((0, 5), np.float32)
        return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 1]], np.float32)

    def recipe(self) -> dict:
        return {"detector": "Blob"}


def squares(num_frames: int, hidden: tuple[int, ...] = ()) -> NDArray[np.uint8]:
    """A red square that moves to the right on grey, and is hidden in some frames."""
    frames = np.full((num_frames, 64, 96, 3), 90, np.uint8)
    for number in set(range(num_frames)) - set(hidden):
        frames[number, 16:40, 8 + number // 2 : 32 + number // 2] = (230, 20, 20)
    return frames


def rows_of(data: Video) -> list[dict]:
    """All rows of the batches of a prediction, of one row each."""
    data.prepare_data()
    data.setup("predict")
    return list(data.predict_dataloader())


def video(path: Path, tmp_path: Path, **options: object) -> Video:
    return Video(str(path), cache=str(tmp_path / "cache"), num_workers=0, **{"detector": Blob()} | options)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face, noise, and the face again."""
    frames, _ = wandering(FRAMES)
    noise = np.random.default_rng(0).integers(0, 256, (4, *frames.shape[1:]), dtype=np.uint8)
    return write_film(
        tmp_path_factory.mktemp("film") / "astro.mp4", np.concatenate([frames[:CUT], noise, frames[CUT:]])
    )


def test_faces_of_a_real_picture_are_found_and_cut_out(film: Path, tmp_path: Path) -> None:
    rows = rows_of(video(film, tmp_path, detector=CenterFace()))
    _, boxes = wandering(FRAMES)
    boxes = np.concatenate([boxes[:CUT], np.zeros((4, 4)), boxes[CUT:]])
    assert [row["frames"][0].tolist() for row in rows] == [list(range(CUT)), list(range(CUT + 4, FRAMES + 4))]
    for row in rows:
        frames = row["frames"][0].numpy()
        found = row["boxes"][0].numpy() * SIDES
        assert np.diag(overlaps(found, boxes[frames])).min() > 0.75
        assert row["faces"].shape == (1, len(frames), 112, 112) and row["faces"].float().std() > 20
        assert row["audio"].shape == (1, 4 * len(frames), 13) and row["audio"].std() > 0
        assert row["valid"].all() and row["annotated"].all()
        assert (row["target"] == -1).all() and (row["voice"] == -1).all()
        assert row["seconds"][0].numpy() == pytest.approx(frames / FPS)
    assert [row["entity"] for row in rows] == [["face_1"], ["face_2"]] and rows[0]["name"] == ["astro"]


def test_frames_in_which_a_face_is_missed_are_filled_in(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", squares(40, hidden=(10, 11, 12, 25, *range(30, 35))))
    rows = rows_of(video(path, tmp_path, max_gap=3, min_frames=4))
    assert [row["frames"][0, [0, -1]].tolist() for row in rows] == [[0, 29], [35, 39]]
    missed = (~rows[0]["annotated"][0]).nonzero().flatten().tolist()
    assert missed == [10, 11, 12, 25] and rows[0]["valid"].all()
    left = rows[0]["boxes"][0, :, 0].numpy() * 96
    assert left == pytest.approx(8 + rows[0]["frames"][0].numpy() // 2, abs=2)


def test_a_repeated_run_looks_for_nothing_and_other_settings_look_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datamodules.killable.CAN_FORK", False)  # so that the detector that counts is this one
    path = write_film(tmp_path / "a.mp4", squares(30))
    first = rows_of(video(path, tmp_path, detector=(finder := Blob())))
    assert finder.seen == 30
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*") if file.is_file()}
    again = rows_of(video(path, tmp_path, detector=finder))
    assert finder.seen == 30 and files == {
        file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*") if file.is_file()
    }
    assert all((one["faces"] == other["faces"]).all() for one, other in zip(first, again, strict=True))
    rows_of(video(path, tmp_path, detector=finder, min_overlap=0.4))
    assert finder.seen == 60
    write_film(path, squares(30, hidden=(4, 5)))  # another film of the same name and length
    assert rows_of(video(path, tmp_path, detector=finder))[0]["annotated"].sum() == 28 and finder.seen == 90


def test_tracks_of_a_csv_need_no_detector(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", squares(30))
    table = tmp_path / "tracks.csv"
    lines = [f"{frame},{16 + frame},16,{40 + frame},40,{who}" for who in ("anna", "ben") for frame in range(5, 20)]
    table.write_text("\n".join(["frame,x1,y1,x2,y2,entity_id", *lines]))
    rows = rows_of(video(path, tmp_path, detector=None, tracks=str(table)))
    assert [row["entity"] for row in rows] == [["anna"], ["ben"]]
    assert all(row["frames"][0].tolist() == list(range(5, 20)) for row in rows)
    assert rows[0]["boxes"][0, 0].tolist() == pytest.approx([21 / 96, 16 / 64, 45 / 96, 40 / 64])


def test_boxes_of_a_csv_without_tracks_are_followed(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", squares(30))
    table = tmp_path / "boxes.csv"
    lines = [f"{frame},{left + frame},16,{left + 20 + frame},40" for frame in range(20) for left in (2, 50)]
    table.write_text("\n".join(["frame,x1,y1,x2,y2", *lines]))
    rows = rows_of(video(path, tmp_path, tracks=str(table)))
    assert [row["entity"] for row in rows] == [["face_1"], ["face_2"]]
    assert all(row["frames"][0].tolist() == list(range(20)) for row in rows)


def test_a_folder_is_searched_in_depth_and_all_videos_are_named(tmp_path: Path) -> None:
    (tmp_path / "in" / "day 2").mkdir(parents=True)
    write_film(tmp_path / "in" / "a.mp4", squares(15))
    write_film(tmp_path / "in" / "day 2" / "a.mp4", squares(20))
    write_film(tmp_path / "in" / "empty.mp4", np.full((12, 64, 96, 3), 90, np.uint8))
    data = video(tmp_path / "in", tmp_path)
    assert {(*row["name"], row["frames"].shape[1]) for row in rows_of(data)} == {("a", 15), ("day 2/a", 20)}
    known = data.feature_sources()
    assert {name: source["frames"] for name, source in known.items()} == {"a": 15, "day 2/a": 20, "empty": 12}


def test_long_tracks_are_scored_in_parts_that_join_without_a_seam(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", squares(50))
    rows = rows_of(video(path, tmp_path, longest_s=0.8))  # 20 frames
    assert all(row["faces"].shape[1] <= 20 for row in rows) and len(rows) == 3
    assert [frame for row in rows for frame in row["frames"][0].tolist()] == list(range(50))
    assert [row["index"].item() for row in rows] == [0, 1, 2]


def test_windows_bring_all_faces_of_the_same_frames_together(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", squares(30))
    table = tmp_path / "tracks.csv"
    lines = [f"{frame},16,16,40,40,anna" for frame in range(30)] + [f"{frame},50,16,70,40,ben" for frame in range(12)]
    table.write_text("\n".join(["frame,x1,y1,x2,y2,entity_id", *lines]))
    rows = rows_of(video(path, tmp_path, tracks=str(table), batching="windows", window_s=0.4))
    assert [row["entity"] for row in rows] == [["anna", "ben"], ["anna", "ben"], ["anna"]]
    assert rows[1]["valid"].sum(1).tolist() == [10, 2] and rows[1]["scene"].tolist() == [0, 0]


def test_a_video_can_be_shown_again_with_the_numbers_and_times_of_its_frames(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", squares(30))
    data = video(path, tmp_path)
    rows_of(data)
    numbers, seconds, frames = zip(*data.shown("a"), strict=True)
    assert numbers == tuple(range(30)) and seconds == pytest.approx([number / FPS for number in range(30)])
    assert all(np.abs(shown.astype(int) - square).mean() < 6 for shown, square in zip(frames, squares(30), strict=True))
    assert data.heard("a") == path


def test_a_video_without_sound_is_refused_or_silent_as_asked(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", squares(20), sound=False)
    with pytest.raises(SoundReadError, match=r"have no sound; expected .* or datamodule\.missing_audio=silence"):
        rows_of(video(path, tmp_path))
    data = video(path, tmp_path, missing_audio="silence")
    (row,) = rows_of(data)
    assert (row["audio"] == row["audio"][:, :1]).all() and data.heard("a") is None


def test_whole_videos_are_read_by_what_takes_no_more_memory_for_long_ones(tmp_path: Path) -> None:
    assert video(tmp_path, tmp_path).content.hparams.reader == "pyav"
    assert video(tmp_path, tmp_path, reader="decord").content.hparams.reader == "decord"


def test_a_folder_of_images_is_a_video_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    for number, frame in enumerate(squares(15), start=1):
        Image.fromarray(frame).save(tmp_path / "walk" / f"img_{number:05d}.png")
    data = video(tmp_path / "walk", tmp_path, missing_audio="silence", fps_of_frames=30.0)
    (row,) = rows_of(data)
    assert row["name"] == ["walk"] and row["fps"].tolist() == [30.0] and row["frames"][0].tolist() == list(range(15))
    assert [number for number, _, _ in data.shown("walk")] == list(range(15))


def test_a_broken_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoReadError, match=r"a\.mp4"):
        rows_of(video(tmp_path / "a.mp4", tmp_path))


def test_a_missing_path_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").touch()
    with pytest.raises(
        PathNotFoundError, match=r"datamodule\.path: .*talks\.mp4 does not exist; did you mean .*talk\.mp4"
    ):
        rows_of(video(tmp_path / "talks.mp4", tmp_path))
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"datamodule\.path=.*none holds no videos"):
        rows_of(video(tmp_path / "none", tmp_path))


class NeedsTeeth(LightningModule):
    """A task for other batches."""

    needs = ("faces", "teeth", "name")


def test_a_task_whose_batches_a_video_cannot_give_is_refused(tmp_path: Path) -> None:
    data = video(tmp_path, tmp_path)
    data.trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    data.trainer.strategy.connect(NeedsTeeth())
    with pytest.raises(ValueError, match="its batches have no teeth, which NeedsTeeth needs"):
        data.prepare_data()


def test_a_video_is_for_prediction_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="datamodule=video has no labels, mode=fit needs some; it is for mode=predict"):
        video(tmp_path, tmp_path).setup("fit")


def test_statistics_of_pixels_are_known_before_it_is_known_what_is_cut_out() -> None:
    video = Video("somewhere", normalization="mfnet")
    for found, expected in zip((video.mean, video.std), statistics("mfnet"), strict=True):
        assert found.equal(expected)
    assert "content" not in vars(video)


def test_what_a_video_provides_is_what_its_faces_or_its_clips_provide() -> None:
    assert set(Video.provides) == {*VideoFaces.provides, *VideoClips.provides}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_frames": 0}, "datamodule.min_frames: expected 1 or more, found 0"),
        ({"max_gap": -1}, "datamodule.max_gap: expected 0 or more, found -1"),
        ({"longest_s": 0}, "datamodule.longest_s: expected a positive number, found 0"),
        ({"min_overlap": 1.5}, "datamodule.min_overlap: expected a share above 0, up to 1, found 1.5"),
        ({"crop": "tight"}, "datamodule.crop: expected one of ava, talkset, ego4d_upstream, found 'tight'"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        rows_of(video(tmp_path, tmp_path, **options))


def test_progress_on_a_long_video_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr("datamodules.killable.CAN_FORK", False)
    monkeypatch.setattr("datamodules.faces.finding.REPORT_EVERY_S", 0.0)
    monkeypatch.setattr("datamodules.faces.finding.CHUNK_BYTES", 10 * 64 * 96 * 3)
    path = write_film(tmp_path / "a.mp4", squares(25))
    with caplog.at_level(logging.INFO):
        rows_of(video(path, tmp_path))
    said = [line for line in caplog.messages if "faces looked for" in line]
    assert [line.rsplit("in ")[1] for line in said] == [f"{done} of 25 frames" for done in (10, 20, 25)]
