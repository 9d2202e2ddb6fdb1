"""A small data set in AVA's official files, of videos whose frames say which one they are."""

from pathlib import Path

from tests.datamodules import counters

FPS = 25
SECONDS = 12
CLASSES = {1: "bend/bow (at the waist)", 12: "stand", 17: "carry/hold (an object)", 80: "watch (a person)"}
TRAINING, VALIDATION = ("-train_one", "train_two"), ("val_three",)
KEY_SECONDS = range(902, 911)
BOXES = ("0.100,0.200,0.300,0.800", "0.500,0.250,0.700,0.900")
SEEN = ("0.110,0.210,0.310,0.790", "0.050,0.050,0.200,0.500")  # by the detector: the second one is nobody


def write_ava(root: Path, fps: int = FPS, first: int = 0) -> Path:
    """Videos, annotations, proposals, excluded timestamps and label map; nothing is wrong with them."""
    (root / "videos").mkdir(parents=True)
    (root / "annotations").mkdir()
    for place, video in enumerate((*TRAINING, *VALIDATION)):
        number = first + place * SECONDS * fps
        counters.encode(root / f"videos/{video}.mp4", "libx264", SECONDS * fps, fps=fps, first=number)
    write_annotations(root / "annotations", "train", TRAINING)
    write_annotations(root / "annotations", "val", VALIDATION)
    write_label_map(root / "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt")
    return root


def write_annotations(folder: Path, split: str, videos: tuple[str, ...]) -> None:
    """Two persons in every key frame, of whom the second does two things; the detector finds one, and one too many."""
    annotated, proposed = [], []
    for video in videos:
        for second in KEY_SECONDS:
            at = f"{video},{second:04}"
            annotated += [f"{at},{BOXES[0]},{12},0", f"{at},{BOXES[1]},17,1", f"{at},{BOXES[1]},80,1"]
            proposed += [f"{at},{SEEN[0]},{'12' if split == 'train' else ''},0.95", f"{at},{SEEN[1]},,0.85"]
    write(folder / f"ava_{split}_v2.2.csv", annotated)
    write(folder / f"ava_{split}_predicted_boxes.csv", proposed)
    write(folder / f"ava_{split}_excluded_timestamps_v2.2.csv", [f"{videos[0]},0905"])


def write_label_map(path: Path, classes: dict[int, str] = CLASSES) -> None:
    write(path, [f'item {{\n  name: "{name}"\n  id: {number}\n}}' for number, name in classes.items()])


def write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def change(path: Path, line: int, text: str | None) -> None:
    """Put another text into a line, counted from 1, or add one after the last (line 0)."""
    lines = path.read_text().splitlines()
    lines[line - 1 if line else len(lines) :] = [text, *(lines[line:] if line else [])]
    write(path, lines)
