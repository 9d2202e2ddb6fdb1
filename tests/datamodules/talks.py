"""A small data set in Ego4D's official files: every frame is of a grey that says which one it is, sound of bursts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules.ego4d_asd import Ego4DASD
from datamodules.samples.encoding import write_video
from tests.datamodules.sounds import write_sound

FPS, HEIGHT, WIDTH, FRAMES = 30, 96, 128, 48
RATE = 16_000
DARKEST, STEP = 20, 4  # grey of frame 0, and from frame to frame
BOX = (40.0, 30.0, 24.0, 28.0)  # x, y, width, height
LOUD, QUIET = 0.4, 0.001
MARKED = 80  # from this row on

Track = Mapping[int, Sequence[float]]


def grey(frame: int) -> int:
    return DARKEST + STEP * frame


def frames_of(faces: np.ndarray) -> list[int]:
    """Which frames faces, (T, S, S), are cut out of; compression moves a grey by less than half a step."""
    middle = faces[:, faces.shape[1] // 2, faces.shape[2] // 2].astype(float)
    return np.rint((middle - DARKEST) / STEP).astype(int).tolist()


def picture(frame: int, clip: str = "") -> np.ndarray:
    """A frame of its grey, with the mark of its clip in the lowest rows."""
    pixels = np.full((HEIGHT, WIDTH, 3), grey(frame), np.uint8)
    pixels[MARKED:] = sum(clip.encode()) % 256
    return pixels


def track(frames: Sequence[int], box: Sequence[float] = BOX) -> Track:
    """A face that stays where it is."""
    return dict.fromkeys(frames, box)


def person(name: str, tracks: Mapping[str, Track] | None = None, voice: Sequence[tuple[int, int]] = ()) -> dict:
    """Somebody with face tracks, who is heard from first to last frames."""
    paths = [
        {
            "track_id": key,
            "track": [
                {"frame": frame, **dict(zip(("x", "y", "width", "height"), box, strict=True))}
                for frame, box in boxes.items()
            ],
        }
        for key, boxes in (tracks or {}).items()
    ]
    segments = [{"start_frame": first, "end_frame": last, "person": name} for first, last in voice]
    return {"person_id": name, "camera_wearer": False, "tracking_paths": paths, "voice_segments": segments}


def usual_persons() -> list[dict]:
    """Two who are seen, of whom one has a gap and speaks, and the wearer, who is heard."""
    gapped = [frame for frame in range(FRAMES) if frame not in range(10, 14)]
    wearer = person("camera_wearer", voice=[(40, 44)]) | {"camera_wearer": True}
    return [
        person("1", {"a": track(gapped)}, [(8, 20)]),
        person("2", {"a": track(range(5, 30), (90, 20, 30, 40))}),
        wearer,
    ]


def write_talks(
    root: Path,
    clips: Mapping[str, Sequence[str]] | None = None,
    persons: Mapping[str, list[dict]] | None = None,
    frames: int = FRAMES,
    folders: bool = False,
    sound: bool = True,
) -> Path:
    """Write clips, their sound and their annotations.

    Args:
        root: The folder.
        clips: Clips of each split.
        persons: Who is in a clip; others have the usual ones.
        frames: Frames of a clip.
        folders: Write folders of images, not videos.
        sound: Write sound.
    """
    clips = clips or {"train": ("one", "two", "three"), "val": ("four", "five")}
    for folder in ("json", "wave", "video_imgs" if folders else "videos"):
        (root / folder).mkdir(parents=True)
    for split, names in clips.items():
        listed = []
        for name in names:
            pictures = [picture(frame, name) for frame in range(frames)]
            if folders:
                write_images(root / "video_imgs" / name, dict(enumerate(pictures, start=1)))
            else:
                write_video(root / "videos" / f"{name}.avi", pictures, FPS)
            if sound:
                write_bursts(root / "wave" / f"{name}.wav", frames)
            inside = (persons or {}).get(name, usual_persons())
            listed.append({"clip_uid": name, "clip_start_frame": 0, "clip_end_frame": frames, "persons": inside})
        content: dict[str, Any] = {"videos": [{"video_uid": f"video_{split}", "split": split, "clips": listed}]}
        (root / "json" / f"av_{split}.json").write_text(json.dumps(content))
    return root


def write_images(folder: Path, pictures: Mapping[int, np.ndarray]) -> None:
    """Write images under their numbers."""
    folder.mkdir(parents=True)
    for number, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"img_{number:05d}.jpg", quality=95)


def bursts(frames: int) -> np.ndarray:
    """A tone that is loud in every fifth frame, and otherwise nearly silent."""
    time = np.arange(round(frames * RATE / FPS)) / RATE
    loud = np.floor(time * FPS + 1e-6).astype(int) % 5 == 0
    return np.where(loud, LOUD, QUIET) * np.sin(2 * np.pi * 700 * time)


def write_bursts(path: Path, frames: int) -> None:
    write_sound(path, bursts(frames), RATE)


def talks(root: Path, stage: str | None = "fit", **options: Any) -> Ego4DASD:
    """The datamodule of such a folder, set up, without anything that is drawn."""
    quiet = {"face_augment": False, "other_voice": 0.0, "num_workers": 0, "face_size": 28, "crop": "ava", "min_len": 1}
    made = Ego4DASD(str(root), **{"cache": str(root.parent / "cache")} | quiet | options)
    made.prepare_data()
    if stage is not None:
        made.setup(stage)
    return made
