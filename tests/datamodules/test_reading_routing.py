"""Opening: which backend is taken, what is logged about it, and what a reader refuses."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import MissingBackendError, VideoReadError
from datamodules.reading import VideoFacts, choose_backend, describe_routes, in_order, open_video, probe
from tests.datamodules import counters

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
PLAIN = VideoFacts(Path("a.mp4"), "file", 9, 25.0, 96, 160, "h264", container=MP4, clock="pts")
FOLDER = VideoFacts(Path("a"), "frames", 9, 25.0, 96, 160, "jpeg")


@pytest.fixture
def clip(tmp_path: Path) -> VideoFacts:
    return probe(counters.encode(tmp_path / "clip.mp4", count=30))


def test_routes_are_counted_with_their_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.reading.routing.find_spec", lambda name: object())
    videos = [PLAIN] * 20 + [replace(PLAIN, open_gop=True)] * 3 + [replace(PLAIN, codec="av1")]
    assert describe_routes(videos) == "24 videos: decord 20, pyav 4 (open GOP 3, AV1 1)"
    assert describe_routes([FOLDER]) == "1 video: frames 1"
    assert describe_routes([]) == "0 videos: nothing to read"


def test_a_backend_that_was_asked_for_is_taken_and_its_doubts_are_counted() -> None:
    videos = [PLAIN, replace(PLAIN, open_gop=True), FOLDER]
    assert describe_routes(videos, "decord") == "3 videos: decord 2 (may be wrong: open GOP 1), frames 1"
    assert describe_routes(videos, "pyav") == "3 videos: pyav 2, frames 1"
    assert choose_backend(replace(PLAIN, open_gop=True), "torchcodec") == "torchcodec"


def test_without_decord_pyav_reads_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.reading.routing.find_spec", lambda name: None)
    assert describe_routes([PLAIN]) == "1 video: pyav 1 (decord not installed 1)"


def test_an_unknown_backend_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="expected one of auto, decord, torchcodec, pyav, found 'opencv'"):
        choose_backend(PLAIN, "opencv")


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
def test_a_missing_backend_is_named_with_its_remedy(
    backend: str, clip: VideoFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, backend, None)  # how Python itself marks a module that cannot be imported
    monkeypatch.delitem(sys.modules, f"{backend}.decoders", raising=False)
    monkeypatch.delitem(sys.modules, f"datamodules.reading.{backend}_reader", raising=False)
    with pytest.raises(MissingBackendError, match=f"'{backend}' cannot be imported: pip install .* backend=pyav"):
        open_video(clip, backend)


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_an_index_outside_the_video_is_refused(backend: str, clip: VideoFacts) -> None:
    with open_video(clip, backend) as reader:
        for index in (-1, 30):
            with pytest.raises(IndexError, match=rf"clip\.mp4: frame index {index} is outside \[0, 30\)"):
                reader.read([0, index])
        with pytest.raises(ValueError, match="flat sequence"):
            reader.read([[0, 1]])


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_nothing_is_read_for_no_indices(backend: str, clip: VideoFacts) -> None:
    with open_video(clip, backend) as reader:
        assert reader.read([]).shape == (0, counters.HEIGHT, counters.WIDTH, 3)


def test_a_reader_tells_what_the_probe_found(clip: VideoFacts) -> None:
    with open_video(clip) as reader:
        assert (reader.path, reader.frame_count, reader.fps) == (clip.path, 30, 25.0)
        assert (reader.height, reader.width) == (counters.HEIGHT, counters.WIDTH)
        assert list(reader.frame_ids) == list(range(30))


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_what_is_read_belongs_to_the_caller(backend: str, clip: VideoFacts) -> None:
    with open_video(clip, backend) as reader:
        first = reader.read([3, 4])
        first[:] = 0
        second = reader.read([3, 4])
        assert counters.numbers_of(second) == [3, 4]
    assert counters.numbers_of(second) == [3, 4]
    assert second.flags.writeable


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_a_file_that_is_gone_is_named(backend: str, clip: VideoFacts) -> None:
    clip.path.unlink()
    with pytest.raises(VideoReadError, match=r"clip\.mp4"):
        open_video(clip, backend)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted where Linux lists them")
@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_closed_readers_leave_no_file_open(backend: str, clip: VideoFacts) -> None:
    def read_once() -> int:
        with open_video(clip, backend) as reader:
            reader.read(np.arange(5))
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the entry of the listing itself counts every time

    once = read_once()
    assert [read_once() for _ in range(5)] == [once] * 5


def test_whole_videos_are_read_by_pyav_unless_a_backend_is_named() -> None:
    assert [in_order(backend) for backend in ("auto", "decord", "pyav")] == ["pyav", "decord", "pyav"]
