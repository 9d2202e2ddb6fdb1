"""The probe tells what is in a file, and refuses what is none or is cut off, by name and reason."""

import json
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from datamodules.errors import DatasetNotFoundError, MissingBackendError, PathNotFoundError, VideoReadError
from datamodules.reading import VideoFacts, open_video, probe
from tests.datamodules import counters


def remux(source: Path, target: Path, skip: int = 0, **options: str) -> Path:
    """Copy the packets of a file from number ``skip`` on, as they are."""
    with av.open(source) as original, av.open(target, "w", options=options) as copy:
        stream = copy.add_stream_from_template(original.streams.video[0])
        for number, packet in enumerate(original.demux(video=0)):
            if packet.size and number >= skip:
                packet.stream = stream
                copy.mux(packet)
    return target


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def test_facts_of_a_plain_file(tmp_path: Path) -> None:
    facts = probe(counters.encode(tmp_path / "plain.mp4", count=50, gop=20, fps=30))
    assert (facts.kind, facts.codec, facts.frame_count, facts.fps) == ("file", "h264", 50, 30.0)
    assert (facts.height, facts.width, facts.rotation) == (counters.HEIGHT, counters.WIDTH, 0)
    assert (facts.open_gop, facts.edit_list, facts.variable_frame_rate, facts.audio_streams) == (False, False, False, 0)
    assert [index for index, _ in facts.keys] == [0, 20, 40]
    assert list(facts.frame_ids) == list(range(50))


def test_a_turned_file_has_the_size_that_is_displayed(tmp_path: Path) -> None:
    path = counters.encode(tmp_path / "turned.mp4", count=5, quarter_turns=1)
    assert (probe(path).height, probe(path).width) == (counters.WIDTH, counters.HEIGHT)
    facts = probe(counters.tag_rotation(path, 90))
    assert (facts.height, facts.width, facts.rotation) == (counters.HEIGHT, counters.WIDTH, 90)


def test_dropped_frames_make_the_frame_rate_variable(tmp_path: Path) -> None:
    even = [40 * number for number in range(30)]
    assert not probe(counters.encode(tmp_path / "even.mkv", count=30, ticks=even)).variable_frame_rate
    gap = [time if number < 20 else time + 40 for number, time in enumerate(even)]
    facts = probe(counters.encode(tmp_path / "gap.mkv", count=30, ticks=gap))
    assert facts.variable_frame_rate
    np.testing.assert_allclose(facts.times(), np.array(gap) / 1000, atol=1e-9)
    assert facts.fps == pytest.approx(29 / 1.2)


def test_times_rounded_to_milliseconds_are_even(tmp_path: Path) -> None:
    facts = probe(counters.encode(tmp_path / "ntsc.mkv", count=100, fps=30))
    assert not facts.variable_frame_rate
    assert facts.fps == pytest.approx(30, rel=1e-3)


def test_metadata_in_another_encoding_is_no_reason_to_refuse_a_file(tmp_path: Path) -> None:
    path = tmp_path / "old.mkv"
    with av.open(counters.encode(tmp_path / "plain.mkv", count=5)) as original, av.open(path, "w") as copy:
        copy.metadata["title"] = "caf#"
        stream = copy.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"caf#", "café".encode("latin-1")))
    assert "café".encode("latin-1") in path.read_bytes()
    assert probe(path).frame_count == 5


def test_audio_streams_are_counted_and_do_not_disturb(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt = counters.WIDTH, counters.HEIGHT, "yuv420p"
        for number in range(30):
            picture = av.VideoFrame.from_ndarray(counters.frame(number), format="rgb24")
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 8000, 320 * number
            container.mux(video.encode(picture))
            container.mux(audio.encode(sound))
        container.mux(video.encode())
        container.mux(audio.encode())
    facts = probe(path)
    assert (facts.audio_streams, facts.frame_count) == (1, 30)
    with open_video(facts) as reader:
        assert counters.numbers_of(reader.read([29, 3])) == [29, 3]


@pytest.mark.parametrize("name", ["plain.mp4", "uneven.mkv", "packed.avi", "folder"])
def test_facts_survive_a_json_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "folder":
        counters.write_frames(path, {number: f"{number}.png" for number in (3, 4, 9)})
    elif name == "uneven.mkv":
        counters.encode(path, count=5, ticks=[0, 30, 90, 100, 200])
    else:
        counters.encode(path, count=5)
    facts = probe(path)
    assert VideoFacts.from_json(path, json.loads(json.dumps(facts.to_json()))) == facts


def test_facts_of_another_version_are_refused(tmp_path: Path) -> None:
    facts = probe(counters.encode(tmp_path / "plain.mp4", count=5)).to_json()
    with pytest.raises(TypeError, match="colour"):
        VideoFacts.from_json(tmp_path, facts | {"colour": "red"})
    with pytest.raises(TypeError, match="codec"):
        VideoFacts.from_json(tmp_path, {name: value for name, value in facts.items() if name != "codec"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoReadError, match=r"nowhere\.mp4: no such file or folder"):
        probe(tmp_path / "nowhere.mp4")


@pytest.mark.parametrize(
    "content",
    [b"", b"not a video\n" * 100, b"#EXTM3U\nother.ts\n", bytes(range(256)) * 40],
    ids=["empty", "text", "playlist", "junk"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_what_is_no_video_is_refused_with_path_and_reason(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(VideoReadError) as caught:
        probe(path)
    assert caught.value.path == path
    assert "cannot be read as a video" in caught.value.reason
    assert str(caught.value).count(str(path)) == 1


def test_a_file_without_frames_is_refused(tmp_path: Path) -> None:
    with av.open(tmp_path / "none.mkv", "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoReadError, match=r"none\.mkv"):
        probe(tmp_path / "none.mkv")


def test_a_file_with_sound_only_is_refused(tmp_path: Path) -> None:
    with av.open(tmp_path / "sound.mp4", "w") as container:
        audio = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
    with pytest.raises(VideoReadError, match="expected a video stream, found audio only"):
        probe(tmp_path / "sound.mp4")


def test_an_mp4_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoReadError, match="cannot be read as a video"):
        probe(cut(counters.encode(tmp_path / "cut.mp4"), 0.6))


@pytest.mark.parametrize("codec", ["h264 with the index first", "mpeg4 in avi"])
def test_a_file_that_holds_less_than_its_header_promises_is_refused(codec: str, tmp_path: Path) -> None:
    if codec == "mpeg4 in avi":
        path = counters.encode(tmp_path / "whole.avi", "mpeg4", b_frames=0)
    else:
        path = remux(counters.encode(tmp_path / "plain.mp4"), tmp_path / "whole.mp4", movflags="faststart")
    assert probe(path).frame_count == 60
    with pytest.raises(VideoReadError, match=r"cut off: its header promises 60 frames, \d\d can be read"):
        probe(cut(path, 0.6))


def test_of_a_cut_matroska_file_the_rest_is_counted_and_read(tmp_path: Path) -> None:
    facts = probe(cut(counters.encode(tmp_path / "cut.mkv", "libvpx-vp9", b_frames=None), 0.6))
    assert 20 < facts.frame_count < 50
    for backend in ("auto", "pyav"):
        with open_video(facts, backend) as reader:
            everything = reader.read(range(facts.frame_count))
        assert counters.numbers_of(everything) == list(range(facts.frame_count))


def test_a_fragmented_mp4_is_counted_and_read(tmp_path: Path) -> None:
    plain = counters.encode(tmp_path / "plain.mp4")
    facts = probe(remux(plain, tmp_path / "parts.mp4", movflags="frag_keyframe+empty_moov"))
    assert facts.frame_count == 60
    with open_video(facts) as reader:
        assert counters.numbers_of(reader.read([59, 31, 0])) == [59, 31, 0]


@pytest.mark.parametrize("open_gop", [0, 1])
def test_frames_before_the_first_key_frame_do_not_count(open_gop: int, tmp_path: Path) -> None:
    plain = counters.encode(tmp_path / "plain.mkv", options={"x264-params": f"open_gop={open_gop}"})
    facts = probe(remux(plain, tmp_path / "from_the_middle.mkv", skip=5))
    assert (facts.frame_count, facts.open_gop) == (48, True)
    with open_video(facts) as reader:
        assert counters.numbers_of(reader.read(range(48))) == list(range(12, 60))


def test_flipped_bytes_stop_the_damaged_frames_and_no_others(tmp_path: Path) -> None:
    path = counters.encode(tmp_path / "flipped.mkv", b_frames=0)
    facts = probe(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(byte ^ 0xFF for byte in data[middle : middle + 40])
    path.write_bytes(data)
    refused = []
    with open_video(facts, "pyav") as reader:
        for index in range(facts.frame_count):
            try:
                assert counters.numbers_of(reader.read([index])) == [index]
            except VideoReadError as error:
                assert error.path == path
                refused.append(index)
    assert 1 <= len(refused) <= 12, "more is lost than one group of pictures"


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_a_file_that_became_shorter_since_it_was_probed_is_refused(backend: str, tmp_path: Path) -> None:
    path = counters.encode(tmp_path / "clip.mp4", count=60)
    facts = probe(path)
    counters.encode(path, count=30)
    with pytest.raises(VideoReadError, match="frame"), open_video(facts, backend) as reader:
        reader.read([50])


@pytest.mark.parametrize(
    "error",
    [
        VideoReadError("clips/a.mp4", "it is cut off"),
        MissingBackendError("torchcodec", "pip install torchcodec"),
        DatasetNotFoundError("ShanghaiTech Campus", "data/sh", ["training/videos", "testing/frames"], "their page"),
        PathNotFoundError("datamodule.root", "data/sh", "Expected a folder."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_pickling_with_all_they_say(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_missing_data_set_says_what_lacks_and_where_to_get_it() -> None:
    error = DatasetNotFoundError("ShanghaiTech Campus", "data/sh", ["training/videos"], "https://example.org")
    assert isinstance(error, FileNotFoundError)
    assert "ShanghaiTech Campus: datamodule.root=data/sh lacks training/videos." in str(error)
    assert "https://example.org" in str(error)


class Broken(Dataset):
    """One sample that cannot be read."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise VideoReadError("clips/a.mp4", "it is cut off")


def test_a_broken_video_keeps_its_error_through_a_loader_worker() -> None:
    with pytest.raises(VideoReadError, match=r"clips/a\.mp4: it is cut off"):
        next(iter(DataLoader(Broken(), num_workers=1)))
