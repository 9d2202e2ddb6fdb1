"""The lists of the AVA sample: annotations, excluded seconds, predicted boxes and names of actions."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.samples.campus.action_recording import PARTS, Settings


class Action(NamedTuple):
    """An action of AVA: its official number, name and type."""

    number: int
    name: str
    kind: str


ACTIONS = {
    "crouch": Action(3, "crouch/kneel", "PERSON_MOVEMENT"),
    "jump": Action(7, "jump/leap", "PERSON_MOVEMENT"),
    "run": Action(10, "run/jog", "PERSON_MOVEMENT"),
    "stand": Action(12, "stand", "PERSON_MOVEMENT"),
    "walk": Action(14, "walk", "PERSON_MOVEMENT"),
    "hold": Action(17, "carry/hold (an object)", "OBJECT_MANIPULATION"),
    "give": Action(65, "give/serve (an object) to (a person)", "PERSON_INTERACTION"),
    "wave": Action(69, "hand wave", "PERSON_INTERACTION"),
    "watch": Action(80, "watch (a person)", "PERSON_INTERACTION"),
}
"""What `acting.Act.actions` is called in AVA."""

EXCLUDED = 0.03  # share of the key frames whose annotation is incomplete
SAME = 0.75  # overlap from which a predicted box of the training split takes over a person's actions


def write_lists(folder: Path, settings: Settings) -> None:
    """Write ``folder/annotations`` from the notes below ``folder/parts``."""
    annotations = folder / "annotations"
    scale = np.array([settings.size[1], settings.size[0]] * 2, float)
    rng = np.random.default_rng([settings.seed, 14])
    lists: dict[str, list[str]] = {}

    def add(kind: str, *values: object) -> None:
        lists.setdefault(kind, []).append(",".join(str(value) for value in values) + "\n")

    for video in settings.videos():
        split = video.split
        for note in json.loads((folder / PARTS / f"{video.name}.json").read_text(encoding="utf-8")):
            where, people = (video.name, f"{note['second']:04d}"), note["people"]
            if rng.random() < EXCLUDED:
                add(f"{split}_excluded_timestamps_v2.2", *where)
                people = people[:1]
            for person in people:
                for action in person["actions"]:
                    add(
                        f"{split}_v2.2", *where, *_edges(person["box"], scale), ACTIONS[action].number, person["person"]
                    )
            for found in note["detected"]:
                for number in _taken_over(found["box"], people) if split == "train" else [""]:
                    add(f"{split}_predicted_boxes", *where, *_edges(found["box"], scale), number, found["score"])
    for split in ("train", "val"):
        for kind in ("v2.2", "excluded_timestamps_v2.2", "predicted_boxes"):
            lines = lists.get(f"{split}_{kind}", [])
            (annotations / f"ava_{split}_{kind}.csv").write_text("".join(lines), encoding="utf-8")
    typed = [f'label {{\n  name: "{a.name}"\n  label_id: {a.number}\n  label_type: {a.kind}\n}}\n' for a in _sorted()]
    plain = [f'item {{\n  name: "{a.name}"\n  id: {a.number}\n}}\n' for a in _sorted()]
    (annotations / "ava_action_list_v2.2.pbtxt").write_text("".join(typed), encoding="utf-8")
    path = annotations / "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    path.write_text("".join(plain), encoding="utf-8")


def _sorted() -> list[Action]:
    return sorted(ACTIONS.values())


def _edges(box: list[int], scale: np.ndarray) -> list[str]:
    """Three decimals, as in the official lists."""
    return [f"{edge:.3f}" for edge in np.array(box) / scale]


def _taken_over(box: list[int], people: list[dict]) -> list[int | str]:
    """Numbers of the actions of the person whom ``box`` overlaps well; one empty entry when there is none."""
    overlaps = [_overlap(box, person["box"]) for person in people]
    if not overlaps or max(overlaps) < SAME:
        return [""]
    return [ACTIONS[action].number for action in people[int(np.argmax(overlaps))]["actions"]]


def _overlap(first: list[int], second: list[int]) -> float:
    """Intersection over union."""
    width = max(0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0, min(first[3], second[3]) - max(first[1], second[1]))
    both = width * height
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - both)
