"""Sound of any file is one channel at 16 kHz, at its place in time, as long as was asked for."""

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import SoundReadError
from datamodules.sound import SAMPLE_RATE, SoundFacts, audio_defect, probe_sound, read_sound, sample_range
from tests.datamodules.sounds import at, write_sound

DURATION_S = 1.5
EDGE = 200  # samples that a resampler makes of what is before the beginning
PRECISION = {"pcm_u8": 1 / 100, "pcm_s16le": 1 / 10_000, "pcm_s24le": 3e-5, "pcm_f32le": 3e-5, "pcm_f64le": 3e-5}
LOSSY = 0.02  # root mean square; a shift by half a millisecond would make 0.1
MADE_UP = 0.005  # noise of AAC
CONTAINERS = [
    ("m4a", "aac", 48_000),
    ("mkv", "aac", 44_100),
    ("mp4", "libmp3lame", 48_000),
    ("mp3", "libmp3lame", 44_100),
    ("webm", "libopus", 48_000),
    ("ts", "aac", 48_000),
    ("flac", "flac", 44_100),
    ("mov", "pcm_s16le", 22_050),
]


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    size = min(len(found), len(expected))
    np.testing.assert_allclose(found[EDGE : size - EDGE], expected[EDGE : size - EDGE], atol=tolerance)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("codec", PRECISION)
def test_wav_of_any_rate_format_and_number_of_channels_is_the_same_sound(
    tmp_path: Path, codec: str, rate: int, channels: int
) -> None:
    path = tmp_path / "a.wav"
    write_sound(path, at(rate, DURATION_S), rate, codec, channels)
    facts = probe_sound(path)
    sound = read_sound(facts)
    assert (facts.rate, facts.channels, facts.codec) == (rate, channels, codec)
    assert sound.dtype == np.float32 and len(sound) == facts.num_samples == DURATION_S * SAMPLE_RATE
    agree(sound, at(SAMPLE_RATE, DURATION_S) / channels, PRECISION[codec])


@pytest.mark.parametrize(("suffix", "codec", "rate"), CONTAINERS)
def test_containers_give_sound_at_its_place_in_time(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    path = tmp_path / f"a.{suffix}"
    video_s = DURATION_S if suffix in ("mp4", "mov", "ts") else 0
    write_sound(path, at(rate, DURATION_S), rate, codec, video_s=video_s)
    facts = probe_sound(path)
    assert facts.end_s == pytest.approx(DURATION_S, abs=0.04)
    found, expected = read_sound(facts), at(SAMPLE_RATE, DURATION_S)
    size = min(len(found), len(expected))
    assert np.sqrt(np.mean((found[:size] - expected[:size]) ** 2)) < LOSSY
    assert np.sqrt(np.mean((found[8:size] - expected[: size - 8]) ** 2)) > 3 * LOSSY


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"), [("wav", "pcm_s16le", 44_100), ("wav", "pcm_s16le", 16_000), *CONTAINERS]
)
def test_a_part_is_what_it_is_in_the_whole(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    path = tmp_path / f"a.{suffix}"
    write_sound(path, at(rate, DURATION_S), rate, codec)
    facts = probe_sound(path)
    whole = read_sound(facts)
    for start, stop in ((0, 1), (7_001, 12_345), (20_000, len(whole))):
        part = read_sound(facts, start, stop)
        assert len(part) == stop - start
        np.testing.assert_allclose(part, whole[start:stop], atol=MADE_UP if codec == "aac" else 1e-5)


def test_what_lies_outside_is_silence_and_lengths_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_sound(path, at(48_000, 0.5), 48_000)
    facts = probe_sound(path)
    sound = read_sound(facts, -300, 9_000)
    assert len(sound) == 9_300 and not sound[:250].any() and not sound[8_350:].any()
    assert np.abs(sound[300:8_300]).max() > 0.1
    assert not read_sound(facts, 20_000, 20_100).any()
    assert read_sound(facts, 100, 100).shape == (0,)
    with pytest.raises(ValueError, match=r"a\.wav: expected a range of samples, found 5 to 4"):
        read_sound(facts, 5, 4)


@pytest.mark.parametrize("start_s", [0.2, -0.2])
def test_time_0_is_the_first_frame_of_the_video(tmp_path: Path, start_s: float) -> None:
    path = tmp_path / "a.mkv"
    write_sound(path, at(48_000, 1.0), 48_000, "pcm_s16le", video_s=1.0, start_s=start_s)
    facts = probe_sound(path)
    assert (facts.start_s, facts.end_s) == pytest.approx((start_s, 1 + start_s), abs=2e-3)  # the clock ticks in ms
    sound, shift = read_sound(facts), round(start_s * SAMPLE_RATE)
    expected = at(SAMPLE_RATE, 1.0)
    if shift > 0:
        assert not sound[: shift - EDGE].any()
    agree(sound[max(shift, 0) :], expected[max(-shift, 0) :], 1e-3)


def test_a_gap_in_the_sound_is_silence_and_what_follows_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    first, second = at(SAMPLE_RATE, 0.5), at(SAMPLE_RATE, 2.0)[-16_000:]
    write_sound(path, first, SAMPLE_RATE, more={16_000: second})
    sound = read_sound(probe_sound(path))
    expected = at(SAMPLE_RATE, 2.0)
    expected[8_000:16_000] = 0
    np.testing.assert_allclose(sound, expected, atol=1e-3)


def test_a_file_without_sound_is_an_error_or_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_sound(path, np.empty(0), SAMPLE_RATE, video_s=0.4)
    with pytest.raises(SoundReadError, match=r"a\.mp4: expected sound, found video only"):
        probe_sound(path)
    facts = probe_sound(path, missing="silence")
    assert not facts.present and not read_sound(facts, 5, 105).any() and len(read_sound(facts, 5, 105)) == 100
    with pytest.raises(ValueError, match="missing: expected error or silence, found 'skip'"):
        probe_sound(path, missing="skip")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.wav: expected a file with sound, found nothing"):
        probe_sound(tmp_path / "none.wav", missing="silence")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound" * 100)
    with pytest.raises(SoundReadError, match=r"broken\.wav: its sound cannot be read"):
        probe_sound(broken, missing="silence")
    damaged = tmp_path / "damaged.m4a"
    write_sound(damaged, at(48_000, 1.0), 48_000, "aac")
    content = bytearray(damaged.read_bytes())
    content[3_000:6_000] = b"\x55" * 3_000
    damaged.write_bytes(content)
    with pytest.raises(SoundReadError, match=r"damaged\.m4a: its sound cannot be decoded") as caught:
        read_sound(probe_sound(damaged))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_sound_shorter_and_longer_than_its_video_is_reported_beyond_a_frame() -> None:
    def defect(start_s: float, end_s: float) -> str | None:
        return audio_defect(SoundFacts(Path("a"), rate=16_000, start_s=start_s, end_s=end_s), 10, 25)

    assert defect(0, 10) is defect(0.03, 9.97) is defect(-1, 10.03) is None
    assert defect(0, 9.5) == "its sound ends 0.500 s before its last frame: silence behind"
    assert defect(0, 10.1) == "its sound ends 0.100 s after its last frame: left out"
    assert defect(0.3, 9) == (
        "its sound begins 0.300 s after its first frame: silence before; "
        "its sound ends 1.000 s before its last frame: silence behind"
    )
    assert audio_defect(SoundFacts(Path("a")), 10, 25) == "it has no sound: silence takes its place"


def test_a_recording_that_was_cut_off_is_as_long_as_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_sound(path, at(SAMPLE_RATE, 2.0), SAMPLE_RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    facts = probe_sound(path)
    assert facts.end_s == pytest.approx(1.0, abs=0.01)
    assert audio_defect(facts, 2.0, 25).startswith("its sound ends 1.00")


def test_ranges_of_neighbouring_frames_share_a_boundary() -> None:
    for fps in (25, 30, 30_000 / 1_001, 24, 23.976):
        ranges = [sample_range(frame, frame + 1, fps) for frame in range(1_000)]
        assert all(one[1] == two[0] for one, two in pairwise(ranges))
        assert ranges[-1][1] == round(1_000 * SAMPLE_RATE / fps)
    assert sample_range(450, 900, 30) == (240_000, 480_000)
