"""Windows of clips are those of the contract: names, missing frames, samples, and labels frame by frame."""

import json
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.reading import probe
from datamodules.speech_windows import ClipSource, WindowSettings, prepare_windows
from datamodules.tracks import Medium
from datamodules.tracks.ego4d import read_ego4d
from tests.reference.asd.ego4d_files import annotation_with, clips_of, contract, documents

SIZE = (64, 48)
PERIOD = 30_000  # of the sample values: sample k is k mod 30000


def workflows() -> list[dict]:
    return [content for _, content in documents(lambda content: "contract" in content, "clip workflow")]


def source_of(workflow: dict, folder: Path) -> ClipSource:
    """The media of a workflow, made anew: images as listed, and sound whose samples tell their place."""
    given, uid = workflow["input"], workflow["clip_uid"]
    for name in given["frames_1_based"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(folder / name)
    sound = folder / given["wav"]
    sound.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(workflow["sample_rate"])
        file.writeframes((np.arange(given["wav_samples"]) % PERIOD).astype("<i2").tobytes())
    clip = clips_of(json.loads(annotation_with(uid).read_text()))[uid]
    declared = clip["clip_end_frame"] - clip["clip_start_frame"]
    facts = probe((folder / given["frames_1_based"][0]).parent, workflow["fps"])
    return ClipSource(uid, workflow["split"], facts, sound, declared, first_image=1)


def cut(workflow: dict, folder: Path, **options: str) -> Path:
    """Windows of a workflow; the folder they are in."""
    source = source_of(workflow, folder / "media")
    medium = Medium(*SIZE, workflow["fps"], source.length)
    annotations = {source.split: read_ego4d(annotation_with(source.name), {source.name: medium})}
    settings = WindowSettings(float(Fraction(workflow["clip_length"], workflow["fps"])), **options)
    (product,) = prepare_windows([source], annotations, folder / "windows", settings)
    assert product.state == "made", product.detail
    return folder / "windows"


@pytest.mark.parametrize("files", ["link", "copy"])
def test_windows_are_those_of_the_contract(tmp_path: Path, files: str) -> None:
    for number, workflow in enumerate(workflows()):
        root = cut(workflow, tmp_path / str(number), files=files)
        assert sorted(str(note.parent.relative_to(root)) for note in root.rglob("clip.json")) == sorted(
            window["dir"] for window in workflow["contract"]
        )
        for window in workflow["contract"]:
            folder = root / window["dir"]
            note = json.loads((folder / "clip.json").read_text())
            assert {name: note[name] for name in window if name != "dir"} == {
                name: value for name, value in window.items() if name != "dir"
            }
            assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg")) == sorted(window["frames"])
            with wave.open(str(folder / window["audio"])) as file:
                assert file.getframerate() == workflow["sample_rate"]
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            place = np.arange(len(samples)) + window["audio_first_sample"]
            assert len(samples) == window["audio_num_samples"]
            assert (samples == np.where(place < workflow["input"]["wav_samples"], place % PERIOD, 0)).all()


def test_labels_are_the_seeds_without_reference_boxes_and_boxes_without_area(tmp_path: Path) -> None:
    found = documents(lambda content: all("/clip_f" in name for name in content) and content, "labels of windows")
    for number, workflow in enumerate(workflows()):
        root = cut(workflow, tmp_path / str(number), layout="dataset_clips")
        usable = {
            (row["person_id"], row["frame"], *(row[side] for side in ("x", "y", "width", "height")))
            for row in contract(workflow["clip_uid"])
        }
        names, left_out = set(), 0
        for name, expected in ((name, rows) for _, content in found for name, rows in content.items()):
            folder = root / Path(name).parent
            if Path(name).parts[1] != workflow["clip_uid"]:
                continue
            (path,) = (path for path in folder.glob("*.json") if path.name != "clip.json")
            names.add(path.name)
            for frame, persons in expected.items():
                for person, labels in persons.items():
                    boxes = labels["face"] or []
                    kept = [box for box in boxes if (person, int(frame), *box.values()) in usable]
                    left_out += len(boxes) - len(kept)
                    labels["face"] = kept or 0
            assert json.loads(path.read_text()) == expected
        assert len(names) == len(workflow["contract"]), "names of labels are unique"
        assert left_out
