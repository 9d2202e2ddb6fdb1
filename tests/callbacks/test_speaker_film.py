"""Films with boxes around the faces, and with the sound of the video."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from callbacks.speaker_film import SpeakerFilm, smoothed
from callbacks.speaker_pictures import COLOURS, Face, draw_speakers
from callbacks.video_file import write_mp4
from tests.callbacks.speaker_ranks import FPS, FRAMES, HEIGHT, WIDTH, Films, predict

RATE, BURST_S = 48_000, 0.6
SILENT, SPEAKING = COLOURS[0], COLOURS[-1]


def video(path: Path, video_codec: str, sound_codec: str, sound_delay: float = 0.0) -> Path:
    """A video with a burst of sound ``BURST_S`` after its first frame."""
    time = np.arange(int((FRAMES / FPS - sound_delay) * RATE)) / RATE + sound_delay
    wave = np.sin(880 * np.pi * time) * (abs(time - BURST_S) < 0.02) * 20_000
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(video_codec, rate=Fraction(FPS))
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream(sound_codec, rate=RATE, layout="mono")
        heard = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = RATE, round(sound_delay * RATE), Fraction(1, RATE)
        for number in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(np.full((HEIGHT, WIDTH, 3), 3 * number, np.uint8))
            picture.pts, picture.time_base = number, Fraction(1, int(FPS))
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode())
        container.mux(sound.encode(heard))
        container.mux(sound.encode())
    return path


def decoded(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Times and pixels of a film."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(frame.time) for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


def burst(path: Path) -> tuple[str, float]:
    """Codec of the sound of a film, and when its burst is in the middle."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        codec = container.streams.audio[0].codec_context.codec.canonical_name
    start, rate = frames[0].time, frames[0].sample_rate
    wave = np.abs(np.concatenate([frame.to_ndarray().astype(float).mean(0) for frame in frames]))
    loud = np.flatnonzero(wave > wave.max() / 2)
    return codec, start + loud.mean() / rate


def test_every_video_becomes_a_film_of_its_frames(tmp_path: Path) -> None:
    predict(tmp_path, [SpeakerFilm(str(tmp_path))])
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.mp4")) == [
        "empty.mp4", "scene/walk.mp4", "talk.mp4",
    ]  # fmt: skip
    times, frames = decoded(tmp_path / "empty.mp4")
    assert times == pytest.approx([number / FPS for number in range(FRAMES)])
    assert all(np.abs(frame.astype(int) - 60 - number).max() <= 3 for number, frame in enumerate(frames))


def test_boxes_are_where_the_faces_are_and_only_in_their_frames(tmp_path: Path) -> None:
    predict(tmp_path, [SpeakerFilm(str(tmp_path), smoothing=1)])
    _, frames = decoded(tmp_path / "scene/walk.mp4")
    drawn = [number for number, frame in enumerate(frames) if np.abs(frame.astype(int) - 60 - number).max() > 20]
    assert drawn == list(range(5, 25))
    frame = draw_speakers(np.full((480, 640, 3), 60, np.uint8), [Face("1", (0.25, 0.5, 0.75, 0.9), -5.0)], 2.0)
    assert (frame[300, 160] == SILENT).all() and (frame[431, 479] == SILENT).all() and (frame[300, 165] == 60).all()


def test_the_colour_tells_who_speaks_and_the_line_of_a_speaker_is_thick() -> None:
    def column(score: float) -> NDArray[np.uint8]:
        face = Face("1", (0.25, 0.5, 0.75, 0.9), score)
        return draw_speakers(np.full((480, 640, 3), 60, np.uint8), [face], 2.0)[300, 150:180]

    def width(line: NDArray[np.uint8]) -> int:
        return int((line != 60).any(-1).sum())

    assert (column(4.0)[10] == SPEAKING).all() and (column(-4.0)[10] == SILENT).all()
    assert width(column(0.1)) > width(column(-0.1)) > 0
    blue = [int(column(score)[10, 2]) for score in (-2.0, -1.0, 1.0, 2.0)]
    assert len(set(blue)) == 4  # what lies between has colours between


def test_what_leaves_the_frame_is_drawn_inside_it() -> None:
    face = Face("a face with a long name", (-0.5, -0.5, 1.5, 0.2), 1.0)
    assert draw_speakers(np.zeros((48, 64, 3), np.uint8), [face], 2.0).shape == (48, 64, 3)


def test_large_videos_make_smaller_films(tmp_path: Path) -> None:
    predict(tmp_path, [SpeakerFilm(str(tmp_path), max_height=24)])
    assert decoded(tmp_path / "talk.mp4")[1][0].shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("name", "pictures", "sound", "kept"),
    [("a.mp4", "libx264", "aac", "aac"), ("a.mkv", "mpeg4", "pcm_s16le", "aac"), ("a.mkv", "libx264", "ac3", "ac3")],
)
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_the_sound_is_heard_with_the_frame_it_belongs_to(
    tmp_path: Path, name: str, pictures: str, sound: str, kept: str, delay: float
) -> None:
    source = video(tmp_path / name, pictures, sound, delay)
    with (tmp_path / "film.mp4").open("wb") as file:
        write_mp4(file, ((number / FPS, frame) for number, frame in enumerate(decoded(source)[1])), FPS, source)
    codec, middle = burst(tmp_path / "film.mp4")
    assert codec == kept
    assert middle == pytest.approx(burst(source)[1], abs=0.005) and middle == pytest.approx(BURST_S, abs=0.03)
    assert len(decoded(tmp_path / "film.mp4")[0]) == FRAMES


def test_the_film_of_a_prediction_has_the_sound_of_its_video(tmp_path: Path) -> None:
    predict(tmp_path, [SpeakerFilm(str(tmp_path))], Films(sound=video(tmp_path / "a.avi", "mpeg4", "pcm_s16le")))
    assert burst(tmp_path / "talk.mp4")[1] == pytest.approx(BURST_S, abs=0.03)


def test_times_of_frames_are_kept_when_they_are_uneven(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.25]
    with (tmp_path / "film.mp4").open("wb") as file:
        write_mp4(file, ((time, np.zeros((HEIGHT, WIDTH, 3), np.uint8)) for time in times), 25)
    assert decoded(tmp_path / "film.mp4")[0] == pytest.approx(times)


def test_scores_are_averaged_around_each_frame_and_over_fewer_at_the_ends() -> None:
    assert smoothed(np.array([1.0, 2, 3, 4, 5, 9]), 5).tolist() == [2, 2.5, 3, 4.6, 5.25, 6]
    assert smoothed(np.array([1.0, 5]), 5).tolist() == [3, 3] and smoothed(np.array([7.0]), 5).tolist() == [7]
    assert smoothed(np.array([1.0, 5, 2]), 1).tolist() == [1, 5, 2]


def test_data_that_cannot_be_shown_again_make_no_film(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Blind(Films):
        shown = property()  # hasattr finds nothing

    with caplog.at_level(logging.INFO):
        predict(tmp_path, [SpeakerFilm(str(tmp_path))], Blind())
    assert "no films: Blind does not show its videos again" in caplog.text and not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": 4}, "odd number of frames, found 4"),
        ({"contrast": 0}, "positive"),
        ({"max_height": 1}, "2 pixels"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeakerFilm("out", **options)
