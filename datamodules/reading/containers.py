"""Find out what is in a video file by walking over its packets; only the first frame is decoded.

Only files that do not store when each frame is shown (AVI with B frames, raw streams) are decoded once, to see it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import av
from av.stream import Disposition
from av.video.stream import VideoStream

from datamodules.errors import TruncatedVideoError, VideoReadError
from datamodules.reading.facts import VideoFacts, equally_spaced
from datamodules.reading.nal_units import restarts_decoding

# FFmpeg lists all names that a demuxer answers to.
AVI, MOV, MATROSKA = "avi", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")  # 00:00:02.400000000

# What authors wrote into the metadata in odd encodings is no reason to fail. PyAV 19 takes it without being asked.
_ANY_METADATA = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


class Packet(NamedTuple):
    """One stored frame: its clocks, and whether decoding can start there and whether it is shown."""

    pts: int | None
    dts: int | None
    key: bool
    clean: bool  # for a key frame: nothing after it needs anything before it
    shown: bool


class Timeline(NamedTuple):
    """The presented frames in order, on the clock that names them."""

    clock: Literal["pts", "dts", "none"]
    ticks: list[int]
    keys: list[tuple[int, int]]
    open_gop: bool


def probe_container(path: Path) -> VideoFacts:
    """Describe a video file.

    Args:
        path: The file.

    Raises:
        VideoReadError: When it is no video, is cut off, has no frames, or its first frame cannot be decoded.
    """
    try:
        with open_container(path) as container:
            stream = video_stream(container, path)
            first = next(container.decode(stream), None)
            if first is None:
                raise VideoReadError(path, "it has a video stream, but no frame of it can be decoded")
            rotation = -round(first.rotation) % 360
            height, width = (first.height, first.width)[:: 1 if rotation % 180 == 0 else -1]
            rate = stream.average_rate or stream.guessed_rate
            codec, name, time_base = stream.codec.canonical_name, container.format.name, stream.time_base
            declared, audio_streams = stream.frames, len(container.streams.audio)
        packets = list(walk(path))
        edit_list = (name == MOV and declared > len(packets)) or any(not packet.shown for packet in packets)
        check_complete(path, name, declared, packets)
        timeline = presented(path, name, packets)
    except (av.FFmpegError, OSError, UnicodeDecodeError, ValueError) as error:
        message = getattr(error, "strerror", None) or error  # FFmpeg's errors repeat the path in their full text
        raise VideoReadError(path, f"it cannot be read as a video ({message})") from error
    ticks = sorted(timeline.ticks)
    if not ticks:
        raise VideoReadError(path, "it has a video stream, but no key frame")
    if timeline.clock == "none":
        if rate is None:
            raise VideoReadError(path, "it states neither a frame rate nor when its frames are shown")
        time_base = 1 / Fraction(rate)
    if len(ticks) > 1:
        rate = (len(ticks) - 1) / ((ticks[-1] - ticks[0]) * time_base)
    elif rate is None:
        raise VideoReadError(path, "it has a single frame and states no frame rate")
    in_order = timeline.clock != "dts" or timeline.ticks == ticks
    return VideoFacts(
        path=path,
        kind="file",
        frame_count=len(ticks),
        fps=float(rate),
        height=height,
        width=width,
        codec=codec,
        container=name,
        open_gop=timeline.open_gop,
        edit_list=edit_list,
        rotation=rotation,
        audio_streams=audio_streams,
        clock=timeline.clock,
        time_base=time_base,
        first_tick=ticks[0],
        last_tick=ticks[-1],
        ticks=() if in_order and equally_spaced(ticks) else tuple(timeline.ticks),
        keys=tuple(timeline.keys),
    )


def open_container(path: Path, **options: str) -> av.container.InputContainer:
    """Open a file with PyAV."""
    return av.open(str(path), options=options, **_ANY_METADATA)


def video_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    """Pick the video stream that players show, decoded in one thread.

    Raises:
        VideoReadError: When there is none; the cover picture of a piece of music is none.
    """
    stream = container.streams.best("video")
    if stream is None or Disposition.attached_pic in stream.disposition:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise VideoReadError(path, f"expected a video stream, found {', '.join(kinds)} only")
    # The loader's workers already take one core each.
    stream.codec_context.thread_count = 1
    return stream


def walk(path: Path, **options: str) -> Iterator[Packet]:
    """Visit the packets of the video stream in the order in which they are stored."""
    with open_container(path, **options) as container:
        stream = video_stream(container, path)
        codec, extradata = stream.codec.canonical_name, stream.codec_context.extradata or b""
        for packet in container.demux(stream):
            if packet.size:
                clean = packet.is_keyframe and restarts_decoding(codec, extradata, packet)
                yield Packet(packet.pts, packet.dts, packet.is_keyframe, clean, not packet.is_discard)


def check_complete(path: Path, container: str, declared: int, packets: list[Packet]) -> None:
    """Refuse a file that holds fewer frames than its header promises.

    Raises:
        TruncatedVideoError: When the file is cut off.
    """
    found = len(packets)
    if container == MOV and declared > found:
        found = sum(1 for _ in walk(path, ignore_editlist="1"))  # an edit list leaves packets out on purpose
    if container == AVI and packets:
        found = packets[-1].dts + 1  # frames that were dropped while recording have a number, but no packet
    if container in (AVI, MOV) and declared > found:
        raise TruncatedVideoError(path, f"it is cut off: its header promises {declared} frames, {found} can be read")


def declared_frames(facts: VideoFacts) -> int | None:
    """Count the frames that a Matroska file's writer has noted; None where there is no such note.

    A file that is cut off keeps the note, and otherwise looks complete.
    """
    if facts.container != MATROSKA:
        return None
    with open_container(facts.path) as container:
        notes = video_stream(container, facts.path).metadata
    counted, clock = notes.get("NUMBER_OF_FRAMES", ""), CLOCK.fullmatch(notes.get("DURATION", ""))
    if counted.isdigit():
        return int(counted)
    if clock is None:
        return None
    hours, minutes, seconds = map(float, clock.groups())
    missing_s = 3600 * hours + 60 * minutes + seconds - facts.last_tick * float(facts.time_base)
    # The last frame lasts about as long as the others; a frame more or less is rounding, or its own length.
    return facts.frame_count + max(0, round(missing_s * facts.fps) - 2)


def presented(path: Path, container: str, packets: list[Packet]) -> Timeline:
    """Put the stored frames in the order of their presentation."""
    ticks = [packet.pts for packet in packets]
    # AVI stores no presentation times; those that FFmpeg makes up are right only when frames are stored as shown.
    invented = container == AVI and any(packet.pts != packet.dts for packet in packets)
    if None in ticks or len(set(ticks)) < len(ticks) or invented:
        return watched(path, packets)
    first_key = next((place for place, packet in enumerate(packets) if packet.key), len(packets))
    # What is stored or shown before the first key frame cannot be decoded: the head of a stream cut from a longer one.
    start = packets[first_key].pts if first_key < len(packets) else 0
    shown = sorted(packet.pts for packet in packets[first_key:] if packet.shown and packet.pts >= start)
    keys = [packet for packet in packets if packet.key]
    entries = {bisect_left(shown, packet.pts): packet.pts for packet in keys}
    entries.pop(len(shown), None)  # a key frame behind the last one that an edit list shows
    open_gop = first_key > 0 or has_leading_frames(packets) or not all(packet.clean for packet in keys)
    return Timeline("pts", shown, sorted(entries.items()), open_gop)


def has_leading_frames(packets: list[Packet]) -> bool:
    """Tell whether frames stored after a key frame are shown before it."""
    key = None
    for packet in packets:
        if packet.key:
            key = packet.pts
        elif key is not None and packet.pts < key:
            return True
    return False


def watched(path: Path, packets: list[Packet]) -> Timeline:
    """Decode the whole file to see in which order its frames are shown, each named by its packet's decoding time."""
    with open_container(path) as container:
        stream = video_stream(container, path)
        ticks = []
        for packet in container.demux(stream):
            # A decoder hands the presentation time of a packet on to the frame without looking at it.
            packet.pts = packet.dts
            ticks += [frame.pts for frame in stream.codec_context.decode(packet if packet.size else None)]
    place = {tick: index for index, tick in enumerate(ticks)}
    keys = sorted((place[packet.dts], packet.dts) for packet in packets if packet.key and packet.dts in place)
    # Two frames of one packet (packed B frames) share a name, and packets of a raw stream have none.
    if None in place or len(place) < len(ticks) or not keys or keys[0][0] > 0:
        return Timeline("none", list(range(len(ticks))), [(0, 0)], False)
    return Timeline("dts", ticks, keys, False)
