"""The generated sample in Ego4D's layout: official files that fit the media, mouths that follow the right voice."""

import csv
import json
import wave
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.samples.ego4d import generate
from datamodules.samples.talking.annotation import annotate
from datamodules.samples.talking.clips import FPS, Settings
from datamodules.samples.talking.film import Sighting
from datamodules.samples.talking.soundtrack import mix
from datamodules.samples.talking.story import Doing, tell
from datamodules.samples.talking.tracks import Track, follow
from datamodules.samples.talking.voice import SAMPLE_RATE
from tests.conftest import fixtures_root
from tests.files import contents_of

SIZE = (180, 320)
SMALL = {"num_training": 3, "num_validation": 1, "seconds": 5, "size": SIZE}
TINY = {"num_training": 1, "num_validation": 1, "seconds": 2, "size": (120, 160)}
SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("data") / "sample", **SMALL)


def clips(folder: Path, split: str) -> list[dict]:
    annotation = json.loads((folder / "json" / f"av_{split}.json").read_text())
    return [clip for video in annotation["videos"] for clip in video["clips"]]


def all_clips(folder: Path) -> list[dict]:
    return [clip for split in SPLITS for clip in clips(folder, split)]


def truth(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "sample_truth.npz") as stored:
        return dict(stored)


def waveform(folder: Path, name: str) -> np.ndarray:
    with wave.open(str(folder / "wave" / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def boxes(clip: dict, *, anchors: bool = False) -> list[tuple[str, dict]]:
    """Person and box of all tracks."""
    return [
        (person["person_id"], box)
        for person in clip["persons"]
        for path in person["tracking_paths"]
        if anchors or "visual_anchor" not in path["track_id"]
        for box in path["track"]
    ]


def speaks(clip: dict, person: str, frame: int) -> bool:
    found = next(entry for entry in clip["persons"] if entry["person_id"] == person)
    return any(part["start_frame"] <= frame <= part["end_frame"] for part in found["voice_segments"])


# Formats --------------------------------------------------------------------------------------------------------------


def fields(value: object, where: str = "") -> set[str]:
    """Paths of all fields, those of the entries of a list under one name."""
    if isinstance(value, dict):
        return {where}.union(*(fields(entry, f"{where}.{name}") for name, entry in value.items()))
    if isinstance(value, list):
        return set().union(*(fields(entry, f"{where}[]") for entry in value))
    return {where}


def test_annotations_have_every_field_of_the_official_schema(sample):
    official = next((fixtures_root() / "asd" / "ego4d").glob("av_*.json"))
    expected = fields(json.loads(official.read_text()))
    assert ".videos[].clips[].persons[].tracking_paths[].track[].clip_frame" in expected
    annotations = {split: json.loads((sample / "json" / f"av_{split}.json").read_text()) for split in SPLITS}
    assert expected - fields(annotations["train"]) - fields(annotations["val"]) == set()
    for split, annotation in annotations.items():
        assert {video["split"] for video in annotation["videos"]} == {split}


def test_lists_name_the_clips_of_their_split(sample):
    for split in SPLITS:
        text = (sample / "split" / f"{split}.list").read_text()
        assert text.split("\n") == [clip["clip_uid"] for clip in clips(sample, split)]
    assert len({clip["clip_uid"] for clip in all_clips(sample)}) == 4


def test_videos_are_h264_with_aac_and_as_long_as_annotated(sample):
    for clip in all_clips(sample):
        with av.open(str(sample / "videos" / f"{clip['clip_uid']}.mp4")) as container:
            video, sound = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
            assert (video.average_rate, video.height, video.width) == (FPS, *SIZE)
            assert sum(1 for _ in container.decode(video=0)) == clip["clip_end_frame"] == 5 * FPS
        assert len(waveform(sample, clip["clip_uid"])) == 5 * SAMPLE_RATE


def test_the_wearer_has_a_voice_and_no_face_and_both_kinds_of_names_occur(sample):
    names = set()
    for clip in all_clips(sample):
        wearers = [person for person in clip["persons"] if person["camera_wearer"]]
        assert [person["person_id"] for person in wearers] == [clip["camera_wearer"]["person_id"]]
        assert wearers[0]["tracking_paths"] == []
        assert wearers[0]["voice_segments"] == clip["camera_wearer"]["voice_segments"]
        names.add(wearers[0]["person_id"])
    assert names == {"0", "camera_wearer"}


def test_voice_segments_are_whole_frames_and_may_leave_the_clip():
    settings = Settings(0, 20, 10, 4, (120, 160))
    found = []
    for clip in settings.videos():
        story = tell(clip.num_faces, 4, np.random.default_rng(clip.number))
        annotation = annotate(clip, story, [], np.random.default_rng(0))
        for person in annotation["persons"]:
            found += person["voice_segments"]
    assert all(part["start_frame"] <= part["end_frame"] for part in found)
    assert all(part["end_frame"] >= 0 and part["start_frame"] < 4 * FPS for part in found)
    assert any(part["start_frame"] < 0 for part in found)
    assert any(part["end_frame"] >= 4 * FPS for part in found)
    assert all(part["start_time"] == pytest.approx(part["start_frame"] / FPS, abs=1e-6) for part in found)
    assert {part["video_start_frame"] - part["start_frame"] for part in found} == {150 * FPS, 154 * FPS}


def test_faces_speak_just_where_their_mouth_does_in_truth(sample):
    stored = truth(sample)
    rows = {key: row for row, key in enumerate(zip(stored["clip"], stored["person"], stored["frame"], strict=True))}
    speaking = 0
    for clip in all_clips(sample):
        for person, box in boxes(clip):
            row = rows[clip["clip_uid"], person, box["frame"]]
            assert speaks(clip, person, box["frame"]) == (stored["doing"][row] == Doing.SPEAKING)
            speaking += stored["doing"][row] == Doing.SPEAKING
            if min(box["width"], box["height"]) > 0:
                x, y, width, height = stored["mouth"][row]
                assert box["x"] < x - width / 2 < x + width / 2 < box["x"] + box["width"]
                assert 0.55 * box["height"] < y - box["y"] < box["height"] - height / 4
    assert speaking > 100


def test_csv_files_say_the_same_as_json(sample):
    for split in SPLITS:
        for clip in clips(sample, split):
            path = sample / "csv" / split / f"{clip['clip_uid']}-activespeaker.csv"
            with path.open(newline="") as stream:
                rows = list(csv.reader(stream))
            wanted = [(person, box) for person, box in boxes(clip) if min(box["width"], box["height"]) > 0]
            assert len(rows) == len(wanted) > 0
            for row, (person, box) in zip(rows, wanted, strict=True):
                assert row[0] == clip["clip_uid"]
                assert row[7].startswith(f"{clip['clip_uid']}_0000_0005:")
                assert round(float(row[1]) * FPS) == box["frame"]
                x1, y1, x2, y2 = map(float, row[2:6])
                assert 0 <= x1 < x2 <= 1
                assert 0 <= y1 < y2 <= 1
                assert x1 == pytest.approx(max(0, box["x"] / SIZE[1]), abs=1e-6)
                assert (row[6] == "SPEAKING_AUDIBLE") == speaks(clip, person, box["frame"])
    text = "".join(path.read_text() for path in sample.glob("csv/*/*.csv"))
    assert {"NOT_SPEAKING", "SPEAKING_NOT_AUDIBLE", "SPEAKING_AUDIBLE"} <= set(text.replace("\n", ",").split(","))


def test_anchors_are_in_every_second_clip(sample):
    found = [len(boxes(clip, anchors=True)) > len(boxes(clip)) for clip in all_clips(sample)]
    assert found == [True, False, True, False]


def test_trackers_lose_faces_for_a_while_and_leave_boxes_without_area():
    in_view = Sighting(0, (10.0, 20.0, 50.0, 60.0), 1.0, (35.0, 65.0, 15.0, 5.0), 0.0, 0.0, Doing.RESTING)
    tracks: list[Track] = []
    for seed in range(40):
        tracks += follow([in_view] * 300, np.random.default_rng(seed))
    gaps = [np.diff(sorted(track.boxes)) for track in tracks]
    assert any((gap > 1).any() for gap in gaps)
    assert len(tracks) > 50  # long losses begin a new one
    assert any(track.unmapped for track in tracks)
    assert all(frame not in track.boxes for track in tracks for frame in track.unmapped)
    flat = [min(box[2:]) <= 0 for track in tracks for box in track.boxes.values()]
    assert 0 < sum(flat) < 0.02 * len(flat)


def test_a_face_out_of_view_has_no_boxes(sample):
    stored = truth(sample)
    rows = {key: row for row, key in enumerate(zip(stored["clip"], stored["person"], stored["frame"], strict=True))}
    assert (stored["visible"] < 0.6).any()
    for clip in all_clips(sample):
        for person, box in boxes(clip):
            assert stored["visible"][rows[clip["clip_uid"], person, box["frame"]]] >= 0.6


def test_the_folder_says_that_it_is_generated(sample):
    text = (sample / "README.txt").read_text()
    assert text.startswith("THIS IS NOT THE EGO4D DATA SET")
    assert "5 s, 30 frames a second" in text
    for path in (path for path in sample.iterdir() if path.name != "README.txt"):
        assert path.name in text


# What is seen and heard -----------------------------------------------------------------------------------------------


def best_lag(first: np.ndarray, second: np.ndarray, far: int) -> int:
    """By how many places ``second`` is late."""
    lags = range(-far, far + 1)
    core = slice(far, len(first) - far)
    scores = [np.corrcoef(first[core], np.roll(second, -lag)[core])[0, 1] for lag in lags]
    return lags[int(np.argmax(scores))]


def test_the_sound_in_the_video_is_that_of_the_wave_file_at_the_same_time(sample):
    for clip in all_clips(sample):
        stored = waveform(sample, clip["clip_uid"])
        found = np.zeros(len(stored) + 4096)
        with av.open(str(sample / "videos" / f"{clip['clip_uid']}.mp4")) as container:
            for frame in container.decode(audio=0):
                block, begin = frame.to_ndarray()[0], round(float(frame.pts * frame.time_base) * SAMPLE_RATE)
                block = block[max(0, -begin) :]
                found[max(0, begin) : max(0, begin) + len(block)] = block
        found = found[: len(stored)]
        assert best_lag(stored, found, 100) == 0
        assert np.corrcoef(stored, found)[0, 1] > 0.95


def test_mouths_open_in_the_picture_when_the_truth_says_so(sample):
    stored, agreement = truth(sample), []
    for clip in all_clips(sample):
        with av.open(str(sample / "videos" / f"{clip['clip_uid']}.mp4")) as container:
            frames = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
        for person in set(stored["person"][stored["clip"] == clip["clip_uid"]]):
            mine = (stored["clip"] == clip["clip_uid"]) & (stored["person"] == person) & (stored["visible"] == 1)
            if mine.sum() < 60 or np.ptp(stored["opening"][mine]) < 0.5:
                continue
            contrast = []
            for frame, (x, y, width, height) in zip(stored["frame"][mine], stored["mouth"][mine], strict=True):
                patch = frames[frame][
                    int(y - height / 2) : int(y + height / 2) + 1, int(x - width / 4) : int(x + width / 4)
                ]
                contrast.append(patch.std() / patch.mean())
            agreement.append(np.corrcoef(contrast, stored["opening"][mine])[0, 1])
    assert len(agreement) >= 6
    assert np.median(agreement) > 0.6


@pytest.fixture(scope="module")
def conversations() -> list[dict[str, np.ndarray]]:
    """Frames of 16 clips of 10 s that need no pictures: opening of a mouth, loudness, what it does, for every face."""
    found = []
    times = (np.arange(10 * FPS) + 0.5) / FPS
    for seed in range(16):
        rng = np.random.default_rng([7, seed])
        story = tell(2 + seed % 3, 10, rng)
        sound = mix(story, 10, rng)
        edges = np.linspace(0, len(sound), 10 * FPS + 1).round().astype(int)
        level = np.array([np.sqrt((sound[a:b] ** 2).mean()) for a, b in pairwise(edges)])
        for part in story.faces:
            opening, spread, doing = part.mouth(times)
            found.append({"opening": opening.astype(float), "level": level, "doing": doing, "spread": spread})
    return found


def smooth(values: np.ndarray, half: int) -> np.ndarray:
    return np.convolve(np.pad(values, half, mode="edge"), np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")


def agreement(face: dict[str, np.ndarray]) -> np.ndarray:
    """Correlation of opening and loudness within about a second, weighted with how much the mouth moves."""
    mouth, sound = (values - smooth(values, 12) for values in (face["opening"], np.log(face["level"] + 0.003)))
    power = smooth(mouth**2, 12) * smooth(sound**2, 12)
    return smooth(mouth * sound, 12) / np.sqrt(power + 1e-4) * np.sqrt(smooth(face["opening"], 8))


def average_precision(scores: list[np.ndarray], labels: np.ndarray) -> float:
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.cumsum(labels[order])
    return float((hits / np.arange(1, len(hits) + 1))[labels[order] == 1].mean())


def test_neither_sound_nor_picture_tells_alone_who_speaks_but_both_do(conversations):
    labels = np.concatenate([face["doing"] == Doing.SPEAKING for face in conversations]).astype(int)
    rate = labels.mean()
    assert 0.15 < rate < 0.3
    by_sound = average_precision([smooth(face["level"], 8) for face in conversations], labels)
    by_mouth = average_precision([smooth(face["opening"], 8) for face in conversations], labels)
    by_both = average_precision([agreement(face) for face in conversations], labels)
    assert by_sound < rate + 0.2
    assert by_mouth < rate + 0.3
    assert by_both > 0.85
    assert by_both > max(by_sound, by_mouth) + 0.35


def test_mouths_move_alike_whether_they_are_heard_or_not(conversations):
    def seen(doing: Doing) -> np.ndarray:
        chosen = [face["doing"] == doing for face in conversations]
        values = [
            np.stack([face["opening"], face["opening"] ** 2, face["spread"], abs(np.gradient(face["opening"]))])[
                :, mine
            ]
            for face, mine in zip(conversations, chosen, strict=True)
        ]
        return np.concatenate(values, axis=1)

    speaking, mouthing = seen(Doing.SPEAKING), seen(Doing.MOUTHING)
    assert min(speaking.shape[1], mouthing.shape[1]) > 2000
    assert abs(speaking.mean(1) - mouthing.mean(1)).max() < 0.04
    assert np.std(speaking, axis=1) == pytest.approx(np.std(mouthing, axis=1), rel=0.15)


def test_loudness_follows_the_mouth_of_the_speaker_without_delay(conversations):
    lags = []
    for face in conversations:
        mine = face["doing"] == Doing.SPEAKING
        if mine.sum() > 60:
            lags.append(best_lag(face["opening"] * mine, face["level"] * mine, 4))
    assert len(lags) > 10
    assert abs(np.median(lags)) < 1
    assert np.mean(np.abs(lags) <= 1) > 0.9


def test_somebody_is_mostly_heard_also_when_a_face_is_silent(conversations):
    heard = [face["level"][face["doing"] != Doing.SPEAKING] > 0.02 for face in conversations]
    assert np.concatenate([smooth(part.astype(float), 6) > 0.2 for part in heard]).mean() > 0.6


# Making it ------------------------------------------------------------------------------------------------------------


def test_one_seed_makes_the_same_files_and_another_seed_others(tmp_path):
    first, again, other = (
        contents_of(generate(tmp_path / str(place), seed=seed, **TINY)) for place, seed in enumerate((3, 3, 4))
    )
    assert first == again
    assert not set(first) & {name for name in other if name.startswith(("videos/", "wave/"))}
    assert first["json/av_train.json"] != other["json/av_train.json"]
