"""Windows of clips: which frames and samples, what is refused, what is kept, and what a kill leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
import wave
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import SoundReadError
from datamodules.export.product import Product
from datamodules.reading import probe
from datamodules.sound.reading import SAMPLE_RATE, probe_sound, read_sound
from datamodules.speech_windows import ClipSource, WindowSettings, prepare_windows
from datamodules.speech_windows.cutting import MISSING
from datamodules.speech_windows.saving import AT_ONCE, WAITING, saving
from datamodules.speech_windows.sounds import open_sound
from datamodules.speech_windows.wave_files import open_wave
from datamodules.tracks import Annotations, Clip, TrackTable, VoiceTable
from tests.datamodules.sounds import at
from tests.datamodules.sounds import write_sound as record

FPS, RATE, SIZE = 10, 1000, (32, 24)
RECORDED = 22_050  # Hz
HALF = WindowSettings(seconds=0.5)  # of 5 frames


def write_sound(path: Path, samples: int, channels: int = 1, width: int = 2, rate: int = RATE) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        count = samples * channels * width
        file.writeframes((np.arange(count) % 251 + 1).astype(np.uint8).tobytes())


def clip_source(
    folder: Path, name: str = "c", frames: int = 12, samples: int | None = None, first: int = 1
) -> ClipSource:
    """A clip of images of different shades, and its sound."""
    images = folder / "images" / name
    images.mkdir(parents=True)
    for number in range(frames):
        Image.new("L", SIZE, number * 20 % 256).save(images / f"img_{number + first:05d}.jpg")
    sound = folder / f"{name}.wav"
    write_sound(sound, frames * RATE // FPS if samples is None else samples)
    return ClipSource(name, "val", probe(images, FPS), sound, frames, first)


def annotations(*names: str) -> dict[str, Annotations]:
    """Person 1 is seen in frames 3 to 6, twice in 4, and heard in 4 to 5; the wearer is heard in 0."""
    frames = [3, 4, 5, 6, 4]
    parts = [
        TrackTable.from_columns(
            {"dataset": "set", "video_id": name, "entity_id": ["1:a"] * 4 + ["1:b"], "person_id": "1", "frame": frames}
            | {"timestamp": [frame / FPS for frame in frames], "x1": 0.25, "y1": 0.5, "x2": 0.75, "y2": 1.0, "label": 0}
            | {"frame_w": SIZE[0], "frame_h": SIZE[1], "source": "annotated", "track_id": ["a"] * 4 + ["b"]}
        )
        for name in names
    ]
    said = {"person_id": ["1", "0"], "first_frame": [4, 0], "last_frame": [5, 0], "wearer": [False, True]}
    columns = {key: [*value] * len(names) for key, value in said.items()}
    voices = VoiceTable.from_columns({"video_id": [name for name in names for _ in range(2)], **columns}, names)
    clips = {name: Clip(name, wearers=frozenset({"0"}), persons=("0", "1")) for name in names}
    return {"val": Annotations(TrackTable.concat(parts), voices, clips)}


def prepare(folder: Path, *sources: ClipSource, settings: WindowSettings = HALF, **options: object) -> list[Product]:
    known = annotations(*(source.name for source in sources))
    return list(prepare_windows(sources, known, folder, settings, **options))


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def note(folder: Path, first: int) -> dict:
    return json.loads((folder / "val" / "c" / f"clip_f{first:06d}" / "clip.json").read_text())


def test_windows_have_one_length_and_the_last_one_what_is_left(tmp_path: Path) -> None:
    source = clip_source(tmp_path)
    (product,) = prepare(tmp_path / "w", source)
    assert product.state == "made" and product.path == str(tmp_path / "w/val/c") and "3 windows" in product.detail
    notes = [note(tmp_path / "w", first) for first in (0, 5, 10)]
    assert [(one["first_frame"], one["last_frame"], one["partial"]) for one in notes] == [
        *((0, 4, False), (5, 9, False), (10, 11, True))
    ]
    assert [one["audio_first_sample"] for one in notes] == [0, 500, 1000]
    assert notes[2]["frames"] == ["frames/img_00010.jpg", "frames/img_00011.jpg"]
    linked = tmp_path / "w/val/c/clip_f000005/frames/img_00005.jpg"
    assert linked.samefile(source.facts.path / "img_00006.jpg"), "frame 5 is the sixth image"


@pytest.mark.parametrize(
    ("options", "starts"),
    [({"keep_partial": False}, [0, 5]), ({"min_frames": 3}, [0, 5]), ({"min_frames": 2}, [0, 5, 10])],
)
def test_a_shorter_last_window_is_kept_on_request(tmp_path: Path, options: dict, starts: list[int]) -> None:
    prepare(tmp_path / "w", clip_source(tmp_path), settings=replace(HALF, **options))
    assert sorted(path.name for path in (tmp_path / "w/val/c").iterdir()) == [f"clip_f{start:06d}" for start in starts]


def test_both_bits_of_everybody_are_kept(tmp_path: Path) -> None:
    prepare(tmp_path / "w", clip_source(tmp_path), settings=replace(HALF, layout="dataset_clips"))
    persons = note(tmp_path / "w", 0)["persons"]
    assert persons["0"] == {
        "camera_wearer": True,
        "voice": [[0, 0]],
        "faces": {"frame": [], "track": [], "x": [], "y": [], "width": [], "height": []},
    }
    assert persons["1"]["voice"] == [[4, 4]] and note(tmp_path / "w", 5)["persons"]["1"]["voice"] == [[5, 5]]
    faces = persons["1"]["faces"]
    assert faces["frame"] == [3, 4, 4] and sorted(faces["track"]) == ["a", "a", "b"]
    assert (faces["x"][0], faces["y"][0], faces["width"][0], faces["height"][0]) == (8, 12, 16, 12)
    rows = json.loads((tmp_path / "w/val/c/clip_f000000/c_f000000_f000004.json").read_text())
    box = {"x": 8.0, "y": 12.0, "width": 16.0, "height": 12.0}
    assert list(rows) == ["0", "1", "2", "3", "4"]
    assert rows["4"] == {
        "0": {"camera_wearer": True, "face": 0, "voice": 0},
        "1": {"camera_wearer": False, "face": [box, box], "voice": 1},
    }
    assert rows["0"]["0"]["voice"] == 1 and rows["3"]["1"]["voice"] == 0


def test_a_manifest_copies_nothing_and_says_where_everything_is(tmp_path: Path) -> None:
    source = clip_source(tmp_path)
    prepare(tmp_path / "w", source, settings=replace(HALF, files="manifest"))
    assert [path.name for path in (tmp_path / "w").rglob("*") if path.is_file()].count("clip.json") == 3
    assert not list((tmp_path / "w").rglob("*.jpg")) and not list((tmp_path / "w").rglob("*.wav"))
    said = note(tmp_path / "w", 5)
    assert said["source"]["images"] == [f"img_{number:05d}.jpg" for number in range(6, 11)]
    assert said["source"]["frames"] == str(source.facts.path) and said["source"]["sound"] == str(source.sound)
    assert (said["audio_first_sample"], said["audio_num_samples"], said["audio"], said["frames"]) == (
        500,
        500,
        None,
        [],
    )


def test_missing_images_and_sound_behind_the_end_are_counted(tmp_path: Path) -> None:
    source = clip_source(tmp_path, samples=1150)
    (source.facts.path / "img_00008.jpg").unlink()
    source = replace(source, facts=probe(source.facts.path, FPS), num_frames=14)
    (product,) = prepare(tmp_path / "w", source)
    assert product.detail.startswith("3 windows, 3 frames without image, 250 samples of silence")
    assert note(tmp_path / "w", 5)["missing_frames"] == [7]
    assert note(tmp_path / "w", 10)["missing_frames"] == [12, 13]
    last = open_wave(tmp_path / "w/val/c/clip_f000010/audio_f000010_f000013.wav")
    assert last.num_samples == 400 and last.path.read_bytes()[-500:] == bytes(500)
    assert last.path.read_bytes()[-502:-500] != bytes(2)


@pytest.mark.parametrize(("channels", "width"), [(1, 1), (2, 2), (1, 3), (2, 4)])
def test_parts_of_wav_files_keep_every_bit_of_any_format(tmp_path: Path, channels: int, width: int) -> None:
    write_sound(tmp_path / "a.wav", 100, channels, width)
    content, missing = open_wave(tmp_path / "a.wav").part(90, 113)
    (tmp_path / "b.wav").write_bytes(content)
    with wave.open(str(tmp_path / "b.wav")) as file, wave.open(str(tmp_path / "a.wav")) as whole:
        assert (file.getnchannels(), file.getsampwidth(), file.getnframes()) == (channels, width, 23)
        whole.setpos(90)
        silence = (b"\x80" if width == 1 else b"\0") * 13 * channels * width
        assert file.readframes(23) == whole.readframes(10) + silence and missing == 13


def test_a_video_gives_its_frames_and_its_own_sound(tmp_path: Path) -> None:
    path = tmp_path / "c.mp4"
    record(path, at(RECORDED, 1.0), RECORDED, "aac", video_s=1.2)
    facts = probe(path, 25)
    source = ClipSource("c", "val", facts, path, facts.frame_count)
    (product,) = prepare(tmp_path / "w", source, settings=replace(HALF, files="copy"))
    assert product.state == "made" and f"0 {MISSING}" in product.detail
    notes = [json.loads(path.read_text()) for path in sorted((tmp_path / "w").rglob("clip.json"))]
    assert sum(len(one["frames"]) for one in notes) == facts.frame_count
    with Image.open(tmp_path / "w/val/c/clip_f000012/frames/img_00012.jpg") as image:
        assert image.size == (facts.width, facts.height)
    expected = read_sound(probe_sound(path))
    parts = []
    for one in notes:
        with wave.open(str(tmp_path / "w/val/c" / f"clip_f{one['first_frame']:06d}" / one["audio"])) as file:
            assert file.getframerate() == SAMPLE_RATE and file.getnframes() == one["audio_num_samples"]
            parts.append(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
    whole, padded = np.concatenate(parts) / 32767, sum(one["audio_padded_samples"] for one in notes)
    assert np.abs(whole[: len(expected)] - expected).max() < 1e-4 and not whole[len(expected) :].any()
    assert padded == len(whole) - len(expected) > 0


def test_floats_stay_floats_and_compressed_samples_are_decoded(tmp_path: Path) -> None:
    samples = at(RECORDED, 0.2)
    record(tmp_path / "float.wav", samples, RECORDED, "pcm_f32le")
    record(tmp_path / "law.wav", samples, RECORDED, "pcm_mulaw")
    stored = open_wave(tmp_path / "float.wav")
    content, missing = stored.part(100, 300)
    assert not missing and content[-800:] == samples[100:300].astype("<f4").tobytes()
    assert open_wave(tmp_path / "law.wav") is None
    decoded = open_sound(tmp_path / "law.wav")
    assert decoded.sample_rate == SAMPLE_RATE and decoded.num_samples == round(0.2 * SAMPLE_RATE)
    assert decoded.part(3000, 3400)[1] == 200
    (tmp_path / "none.wav").write_bytes(b"RIFF\4\0\0\0WAVE")
    with pytest.raises(SoundReadError, match=r"none\.wav: is a wav file without samples"):
        open_sound(tmp_path / "none.wav")


def test_rates_that_are_no_whole_number_give_exact_samples() -> None:
    settings, rate = WindowSettings(seconds=15), Fraction(30_000, 1001)
    windows = list(settings.windows(9000, rate))
    assert {window.stop - window.first for window in windows[:-1]} == {450}
    bounds = [window.samples(44_100, rate) for window in windows]
    assert all(before[1] == behind[0] for before, behind in pairwise(bounds))
    assert bounds[-1][1] == round(9000 * 44_100 * 1001 / 30_000)


def test_what_is_there_is_kept_and_what_is_lacking_is_made_again(tmp_path: Path) -> None:
    source = clip_source(tmp_path)
    prepare(tmp_path / "w", source)
    before = tree(tmp_path / "w")
    assert [product.state for product in prepare(tmp_path / "w", source)] == ["kept"]
    (tmp_path / "w/val/c/clip_f000005/frames/img_00006.jpg").unlink()
    assert [product.state for product in prepare(tmp_path / "w", source)] == ["made"]
    assert tree(tmp_path / "w") == before


def test_lengths_are_not_mixed_unless_the_windows_are_overwritten(tmp_path: Path) -> None:
    source = clip_source(tmp_path)
    prepare(tmp_path / "w", source)
    before = tree(tmp_path / "w")
    longer = replace(HALF, seconds=0.7)
    (product,) = prepare(tmp_path / "w", source, settings=longer)
    assert product.state == "failed" and "holds windows with seconds=0.5, expected 0.7" in product.detail
    assert tree(tmp_path / "w") == before
    (product,) = prepare(tmp_path / "w", source, settings=longer, overwrite=True)
    prepare(tmp_path / "fresh", source, settings=longer)
    assert product.state == "made" and tree(tmp_path / "w") == tree(tmp_path / "fresh")


def test_windows_of_other_annotations_or_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    source = clip_source(tmp_path)
    prepare(tmp_path / "w", source)
    other = replace(source, num_frames=10, sound=None)
    (product,) = prepare(tmp_path / "w", other)
    assert product.state == "failed" and "was made of other annotations, media or settings" in product.detail
    (product,) = prepare(tmp_path / "w", other, overwrite=True)
    assert product.state == "made" and note(tmp_path / "w", 0)["audio"] is None
    foreign = tmp_path / "theirs" / "val" / "c" / "clip_f000000" / "frames"
    foreign.mkdir(parents=True)
    (foreign / "img_00000.jpg").write_text("theirs")
    (product,) = prepare(tmp_path / "theirs", source, overwrite=True)
    assert product.state == "failed" and "was not written by mode=prepare" in product.detail
    assert (foreign / "img_00000.jpg").read_text() == "theirs"


def test_a_clip_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    sources = [clip_source(tmp_path, name) for name in ("a", "b", "c", "d")]
    sources[1].sound.unlink()
    sources[2].sound.write_text("no sound")
    sources[3] = replace(sources[3], first_image=2)
    products = {Path(product.path).name: product for product in prepare(tmp_path / "w", *sources, processes=2)}
    failed = {name: product.detail for name, product in products.items() if product.state == "failed"}
    assert len(products) == 4 and len(failed) == 3 and products["a"].state == "made"
    assert any("b.wav" in detail for detail in failed.values()), "the message names the file"
    assert "comes before the image of frame 0, which is said to have number 2" in failed["d"]


def test_a_clip_whose_windows_cannot_be_saved_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    sources = [clip_source(tmp_path, name) for name in ("c", "d")]
    (tmp_path / "out/val").mkdir(parents=True)
    (tmp_path / "out/val/c").write_text("somebody's")
    products = {Path(product.path).name: product for product in prepare(tmp_path / "out", *sources)}
    assert (products["c"].state, products["d"].state) == ("failed", "made")
    assert "val/c" in products["c"].detail
    assert (tmp_path / "out/val/c").read_text() == "somebody's"
    assert not list((tmp_path / "out").glob(".saving-*"))


def test_all_windows_are_saved_in_the_end_or_the_error_is_raised(tmp_path: Path) -> None:
    count = AT_ONCE + WAITING + 3
    partials = [tmp_path / f".{number}" for number in range(count)]
    for partial in partials[1:]:
        partial.mkdir()
    with pytest.raises(FileNotFoundError, match=r"/\.0/file"), saving() as save:
        for number, partial in enumerate(partials):
            save(partial, {"file": b"content"}, tmp_path / str(number))
    made = {path.parent.name for path in tmp_path.glob("[0-9]*/file")}
    assert made >= {str(number) for number in range(1, AT_ONCE + WAITING)}
    with saving() as save:
        for number in range(count):
            (tmp_path / f".{number}").mkdir(exist_ok=True)
            save(tmp_path / f".{number}", {"file": bytes([number])}, tmp_path / str(number))
    assert [(tmp_path / str(number) / "file").read_bytes() for number in range(count)] == [
        bytes([number]) for number in range(count)
    ]


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    sources = [clip_source(tmp_path, name) for name in ("a", "b", "c")]
    for processes in (1, 2):
        prepare(tmp_path / str(processes), *sources, processes=processes)
    assert tree(tmp_path / "1") == tree(tmp_path / "2")


def test_values_out_of_range_are_refused() -> None:
    for wrong in ({"seconds": 0}, {"files": "move"}, {"layout": "flat"}, {"min_frames": 0}, {"quality": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} of windows: expected"):
            WindowSettings(**wrong)


JOB = """
import sys
from pathlib import Path
from tests.datamodules.test_speech_windows import HALF, annotations, FPS
from datamodules.reading import probe
from datamodules.sound.reading import SAMPLE_RATE, probe_sound, read_sound
from datamodules.speech_windows import ClipSource, prepare_windows
media, target = map(Path, sys.argv[1:])
names = sorted(path.stem for path in media.glob("*.wav"))
sources = [
    ClipSource(name, "val", probe(media / "images" / name, FPS), media / f"{name}.wav", None, 1) for name in names
]
for product in prepare_windows(sources, annotations(*names), target, HALF):
    if product.state == "failed":
        raise SystemExit(product.detail)
"""


@pytest.mark.slow
def test_a_kill_leaves_whole_windows_and_the_repeat_makes_the_same_tree(tmp_path: Path, repository: Path) -> None:
    for name in ("a", "b"):
        clip_source(tmp_path / "media", name, frames=300)

    def start(target: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", JOB, str(tmp_path / "media"), str(target)]
        return subprocess.Popen(command, cwd=repository, start_new_session=True)

    def windows(target: Path) -> list[Path]:
        return list(target.glob("val/*/clip_f*"))

    assert start(tmp_path / "whole").wait() == 0
    expected = tree(tmp_path / "whole")
    killed, lengths = tmp_path / "killed", []
    for enough in (1, 20):
        job = start(killed)
        until = time.monotonic() + 60
        while len(windows(killed)) < enough and job.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        lengths.append(len(windows(killed)))
        made = tree(killed)
        for place in (str(window.relative_to(killed)) for window in windows(killed)):
            assert {name for name in made if name.startswith(f"{place}/")} == {
                name for name in expected if name.startswith(f"{place}/")
            }
        assert all(content == expected[name] for name, content in made.items() if ".saving-" not in name)
    assert 0 < lengths[0] < len(windows(tmp_path / "whole")), "it was killed in the middle"
    assert start(killed).wait() == 0
    assert tree(killed) == expected
