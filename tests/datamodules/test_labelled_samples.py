"""Classes of clips of AVA and Ego4D, on small generated samples, against what their files say."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from datamodules.labelled_videos import LabelledVideos
from datamodules.samples import ava, ego4d

SMALL = {"image_size": (32, 48), "crop": "none", "num_frames": 8, "frame_step": 2, "eval_clips": 1, "num_workers": 0}
LENGTH = 15  # frames that a clip takes up


def made(root: Path, cache: Path, **options: object) -> LabelledVideos:
    return LabelledVideos(root=str(root), cache=str(cache), batch_size=2, **SMALL | options)


@pytest.fixture(scope="module")
def actions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ava.generate(
        tmp_path_factory.mktemp("ava") / "sample", num_training=2, num_validation=1, seconds=6, size=(64, 96)
    )


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ego4d") / "sample"
    return ego4d.generate(folder, num_training=2, num_validation=2, seconds=4, size=(120, 214))


def poses(file: Path, names: dict[int, str]) -> dict[str, str]:
    """Pose of the person with the largest box of every key frame in which it is one."""
    persons: dict[tuple[str, int], dict[tuple, list[int]]] = {}
    with file.open() as rows:
        for video, second, *box, action, _ in csv.reader(rows):
            persons.setdefault((video, int(second)), {}).setdefault(tuple(map(float, box)), []).append(int(action))
    found = {}
    for (video, second), boxes in persons.items():
        _, does = max(boxes.items(), key=lambda item: (item[0][2] - item[0][0]) * (item[0][3] - item[0][1]))
        shown = [names[each] for each in does if each <= 14]  # the last pose of AVA
        found |= {f"{video}/{second}": shown[0]} if len(shown) == 1 else {}
    return found


def test_a_key_frame_of_ava_is_what_its_most_prominent_person_does(actions: Path, tmp_path: Path) -> None:
    datamodule = made(actions, tmp_path)
    text = (actions / "annotations" / "ava_action_list_v2.2.pbtxt").read_text().split("label {")[1:]
    names = {int(each.split("label_id: ")[1].split()[0]): each.split('"')[1] for each in text}
    for part, file in (("train", "ava_train_v2.2.csv"), ("val", "ava_val_v2.2.csv")):
        expected = poses(actions / "annotations" / file, names)
        with (actions / "annotations" / file.replace("_v2.2", "_excluded_timestamps_v2.2")).open() as rows:
            for video, second in csv.reader(rows):
                expected.pop(f"{video}/{int(second)}", None)
        found = {each.video.name: each.label for each in datamodule.parts[part]}
        assert found == expected and expected
    assert datamodule.classes == sorted(datamodule.classes) and len(datamodule.classes) > 1
    for each in datamodule.parts["train"]:  # 15 frames a second from second 900 on
        middle = each.video.first + LENGTH // 2
        assert each.video.count == LENGTH and abs(900 + middle / 15 - float(each.video.name.partition("/")[2])) < 0.1


def test_parts_of_ego4d_are_those_in_which_somebody_or_nobody_is_heard(voices: Path, tmp_path: Path) -> None:
    datamodule = made(voices, tmp_path)
    assert datamodule.classes == ["quiet", "speech"]
    assert Counter(each.label for part in ("train", "val") for each in datamodule.parts[part])["speech"] > 1
    for part in ("train", "val"):
        content = json.loads((voices / "json" / f"av_{part}.json").read_text())
        clips = {clip["clip_uid"]: clip for video in content["videos"] for clip in video["clips"]}
        assert {each.video.path.stem for each in datamodule.parts[part]} <= clips.keys()
        for each in datamodule.parts[part]:
            clip = clips[each.video.path.stem]
            heard = np.zeros(clip["clip_end_frame"], dtype=bool)
            for person in [*clip["persons"], clip["camera_wearer"]]:
                for segment in person.get("voice_segments") or ():
                    heard[segment["start_frame"] : segment["end_frame"] + 1] = True
            inside = heard[each.video.first : each.video.first + each.video.count]
            assert each.video.count >= LENGTH and (inside == (each.label == "speech")).all()


def test_both_make_batches_with_classes(actions: Path, voices: Path, tmp_path: Path) -> None:
    for root in (actions, voices):
        datamodule = made(root, tmp_path)
        datamodule.prepare_data()
        datamodule.setup("fit")
        labels = {each.video.name: datamodule.classes.index(each.label) for each in datamodule.parts["val"]}
        for batch in datamodule.val_dataloader():
            assert batch["class_id"].tolist() == [labels[name] for name in batch["name"]]
            assert batch["video"].shape[1:] == (3, 8, 32, 48)
