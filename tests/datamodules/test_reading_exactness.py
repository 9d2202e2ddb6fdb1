"""Every backend returns exactly the frames that were asked for, wherever it is chosen; the frames say who they are."""

import os
import random
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.codec import Codec
from av.codec.codec import UnknownCodecError

from datamodules.errors import MissingBackendError
from datamodules.reading import VideoFacts, open_video, probe
from datamodules.reading.routing import route
from tests.datamodules import counters

COUNT = 60
FPS = 25


def can_encode(codec: str) -> bool:
    try:
        Codec(codec, "w")
    except UnknownCodecError:
        return False
    return True


def has_torchcodec() -> bool:
    if find_spec("torchcodec") is None:
        return False
    try:
        import datamodules.reading.torchcodec_reader  # noqa: F401
    except MissingBackendError:  # installed, but the machine has no FFmpeg for it
        return False
    return True


needs_decord = pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this platform")
needs_torchcodec = pytest.mark.skipif(not has_torchcodec(), reason="torchcodec or FFmpeg's libraries are not installed")

x264, x265 = (lambda value: {"x264-params": value}), (lambda value: {"x265-params": f"{value}:log-level=none"})
UNEVEN = np.cumsum(np.random.default_rng(0).integers(20, 80, COUNT)).tolist()

WITH_GAP = [number + (number >= 20) for number in range(COUNT)]  # near enough to even to be taken for it


@dataclass(frozen=True)
class Case:
    """A kind of file, which backend must read it and why not decord."""

    file: str
    codec: str = "libx264"
    encode: dict[str, Any] = field(default_factory=dict)
    backend: str = "decord"
    reason: str = ""
    first: int = 0  # number that is burnt into frame 0
    count: int = COUNT
    rotation: int = 0


CASES = [
    Case("closed_gop.mp4"),
    Case("closed_gop.mkv"),
    Case("long_gop.mp4", encode={"gop": 250, "b_frames": 3}),
    Case("open_gop.mp4", encode={"options": x264("open_gop=1")}, backend="pyav", reason="open GOP"),
    Case("open_gop.mkv", encode={"options": x264("open_gop=1")}, backend="pyav", reason="open GOP"),
    Case("refresh.mp4", encode={"options": x264("intra_refresh=1")}, backend="pyav", reason="open GOP"),
    Case(
        "refresh_p.mp4", encode={"options": x264("intra_refresh=1"), "b_frames": 0}, backend="pyav", reason="open GOP"
    ),
    Case("hevc.mp4", "libx265", {"options": x265("open-gop=0")}),
    Case("hevc_open.mp4", "libx265", {"options": x265("open-gop=1")}, "pyav", "open GOP"),
    Case("mpeg4.avi", "mpeg4", {"b_frames": 0}),
    Case("mpeg4_b.avi", "mpeg4", {"b_frames": 2}, "pyav", "no presentation times"),
    Case("mpeg4.mp4", "mpeg4", {"b_frames": 0}),
    Case("mpeg4_b.mp4", "mpeg4", {"b_frames": 2}, "pyav", "open GOP"),
    Case("h264.avi", backend="pyav", reason="no presentation times"),
    Case("mjpeg.avi", "mjpeg", {"b_frames": None}),
    Case("vp8.webm", "libvpx", {"b_frames": None}, "pyav", "VP8"),
    Case("vp9.webm", "libvpx-vp9", {"b_frames": None}),
    Case("av1.mp4", "libsvtav1", {"b_frames": None}, "pyav", "AV1"),
    Case("uneven.mp4", encode={"ticks": UNEVEN}),
    Case("uneven.mkv", encode={"ticks": UNEVEN}),
    Case("gaps.avi", "mpeg4", {"b_frames": 0, "ticks": WITH_GAP, "ticks_per_s": FPS}),
    Case("gaps.mp4", encode={"ticks": WITH_GAP, "ticks_per_s": FPS}),
    Case("stream.ts", backend="pyav", reason="container mpegts"),
    Case("mpeg2.mpg", "mpeg2video", {}, "pyav", "container mpeg"),
    Case("raw.h264", backend="pyav", reason="container h264"),
    Case("turned_90.mp4", encode={"quarter_turns": 1}, rotation=90),
    Case("turned_180.mp4", encode={"quarter_turns": 2}, rotation=180),
    Case("turned_270.mp4", encode={"quarter_turns": 3}, rotation=270),
    Case(
        "turned_90_open.mp4",
        "libx264",
        {"quarter_turns": 1, "options": x264("open_gop=1")},
        "pyav",
        "open GOP",
        0,
        COUNT,
        90,
    ),
    Case("edit_at_key.mp4", backend="pyav", reason="edit list", first=12, count=30),
    Case("edit_between_keys.mp4", backend="pyav", reason="edit list", first=17, count=30),
    Case("edit_of_the_end.mp4", backend="pyav", reason="edit list", first=0, count=31),
]
ALL = [
    pytest.param(
        case,
        id=case.file,
        marks=pytest.mark.skipif(not can_encode(case.codec), reason=f"this PyAV cannot encode {case.codec}"),
    )
    for case in CASES
]
BY_DECORD = [case for case in ALL if case.values[0].backend == "decord"]
# torchcodec in its exact mode shares decord's trouble with containers, but not with codecs and open GOPs.
BY_TORCHCODEC = [
    case
    for case in ALL
    if case.values[0].reason in ("", "open GOP", "edit list", "AV1", "VP8") and "refresh" not in case.values[0].file
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counters")


def facts_of(case: Case, folder: Path) -> VideoFacts:
    path = folder / case.file
    if not path.exists():
        counters.encode(path, case.codec, COUNT, fps=FPS, **case.encode)
        if case.rotation:
            counters.tag_rotation(path, case.rotation)
        if case.count < COUNT:
            counters.cut_by_edit_list(path, case.first, case.count, FPS)
    return probe(path)


def wrong_reads(facts: VideoFacts, backend: str, first: int) -> list[tuple[int, int]]:
    """Read at random, backwards, repeatedly and at the ends; return the indices with the wrong number they gave."""
    rng = random.Random(0)
    everywhere = range(facts.frame_count)
    orders = [
        [rng.choice(everywhere) for _ in range(16)],
        list(reversed(everywhere)),
        [everywhere[-1], 0, everywhere[-1], 0],
        *([rng.choice(everywhere)] for _ in range(40)),
        list(everywhere),
    ]
    wrong = []
    with open_video(facts, backend) as reader:
        for indices in orders:
            frames = reader.read(indices)
            assert frames.shape == (len(indices), counters.HEIGHT, counters.WIDTH, 3)
            assert frames.dtype == np.uint8
            found = counters.numbers_of(frames)
            wrong += [pair for pair in zip(indices, found, strict=True) if pair[1] != first + pair[0]]
    return wrong


@pytest.mark.parametrize("case", ALL)
def test_a_file_is_routed_to_the_backend_that_is_exact_on_it(case: Case, folder: Path) -> None:
    facts = facts_of(case, folder)
    if find_spec("decord") is None and case.backend == "decord":
        assert route(facts) == ("pyav", "decord not installed")
    else:
        assert route(facts) == (case.backend, case.reason)


@pytest.mark.parametrize("case", ALL)
def test_pyav_returns_the_frames_that_were_asked_for(case: Case, folder: Path) -> None:
    facts = facts_of(case, folder)
    assert facts.frame_count == case.count
    assert wrong_reads(facts, "pyav", case.first) == []


@needs_decord
@pytest.mark.parametrize("case", BY_DECORD)
def test_decord_returns_the_frames_that_were_asked_for(case: Case, folder: Path) -> None:
    assert wrong_reads(facts_of(case, folder), "decord", case.first) == []


@needs_torchcodec
@pytest.mark.parametrize("case", BY_TORCHCODEC)
def test_torchcodec_returns_the_frames_that_were_asked_for(case: Case, folder: Path) -> None:
    assert wrong_reads(facts_of(case, folder), "torchcodec", case.first) == []


@needs_decord
@pytest.mark.parametrize(
    "file", ["open_gop.mp4", "hevc_open.mp4", "mpeg4_b.avi", "mpeg4_b.mp4", "stream.ts", "refresh_p.mp4"]
)
def test_decord_is_wrong_where_it_is_not_chosen_and_the_counter_shows_it(file: str, folder: Path) -> None:
    case = next(case for case in CASES if case.file == file)
    assert wrong_reads(facts_of(case, folder), "decord", case.first)


@needs_decord
@pytest.mark.parametrize("case", BY_DECORD)
def test_decord_and_pyav_return_the_same_colours(case: Case, folder: Path) -> None:
    facts = facts_of(case, folder)
    with open_video(facts, "decord") as one, open_video(facts, "pyav") as other:
        difference = one.read([3, 40]).astype(int) - other.read([3, 40]).astype(int)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("case", ALL)
def test_presentation_times_are_those_of_the_file(case: Case, folder: Path) -> None:
    times = facts_of(case, folder).times()
    ticks, ticks_per_s = np.arange(case.count), FPS
    if "ticks" in case.encode:
        ticks, ticks_per_s = np.array(case.encode["ticks"]), case.encode.get("ticks_per_s", 1000)
    np.testing.assert_allclose(times, (ticks - ticks[0]) / ticks_per_s, atol=1e-3)


def test_every_number_survives_drawing_and_reading() -> None:
    numbers = range(1 << counters.BITS)
    assert [counters.number_of(counters.frame(number)) for number in numbers] == list(numbers)


def test_the_counter_refuses_a_mixture_of_frames() -> None:
    mixture = (counters.frame(5).astype(int) + counters.frame(10)) // 2
    assert counters.number_of(mixture.astype(np.uint8)) == counters.UNREADABLE
    assert counters.number_of(np.full_like(counters.frame(0), 128)) == counters.UNREADABLE


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no such priorities")
@pytest.mark.skipif(not can_encode("libsvtav1"), reason="this PyAV cannot encode libsvtav1")
def test_no_encoder_makes_the_tests_a_real_time_process(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    counters.encode(tmp_path / "av1.mp4", "libsvtav1", 3, b_frames=None)
    assert os.sched_getscheduler(0) == before
