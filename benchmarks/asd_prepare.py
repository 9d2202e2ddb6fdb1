"""How fast labels of windows are: ``python benchmarks/asd_prepare.py``, five minutes, nearly all of it for loops.

Clips of 9000 frames, annotated in the schema of Ego4D, become labels of windows of 15 s: by
`datamodules.speech_windows`, reading of the annotations included, in both layouts (``contract``: columns in
``clip.json``; ``dataset_clips``: with a JSON of faces and voices frame by frame), and by nested loops over persons,
windows, frames and boxes with every JSON read and written once per person, as the seed's ``genejson`` goes about it.
The JSON files of both ways must be equal. Images and sound have no part in it. Ours works on as many clips at once as
there are cores, as ``mode=prepare`` does; the loops are a script of one process. The table gives seconds of the wall,
and beside them those of processors, all processes together.
"""

import argparse
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from datamodules.reading import VideoFacts
from datamodules.speech_windows import ClipSource, WindowSettings, prepare_windows
from datamodules.speech_windows.settings import DATASET_CLIPS, LAYOUTS, MANIFEST
from datamodules.tracks import Medium
from datamodules.tracks.ego4d import read_ego4d

FPS, WINDOW_S, FRAMES = 30, 15, 9000
PERSONS, SEEN = 5, 0.5  # in a clip, and the share of its frames that each is seen in
TRACK_FRAMES, SPEECH_FRAMES = 150, 60
WIDTH, HEIGHT = 1920, 1080
SPLIT = "val"


def annotation(num_clips: int) -> dict:
    """Made-up persons, tracks and voices, in the schema of Ego4D."""
    drawn = random.Random(0)
    clips = [
        {
            "clip_uid": f"clip-{number:03d}",
            "clip_start_frame": 0,
            "clip_end_frame": FRAMES,
            "camera_wearer": {"person_id": "0", "camera_wearer": True, "voice_segments": segments(drawn)},
            "persons": [person(str(name), drawn) for name in range(1, PERSONS + 1)],
        }
        for number in range(num_clips)
    ]
    return {"videos": [{"video_uid": "video", "split": SPLIT, "clips": clips}]}


def person(name: str, drawn: random.Random) -> dict:
    """A person who is seen and heard now and then."""
    starts = [start for start in range(0, FRAMES - TRACK_FRAMES + 1, TRACK_FRAMES) if drawn.random() < SEEN]
    tracks = [{"track_id": f"track_{start}", "track": track(start, drawn)} for start in starts]
    return {"person_id": name, "camera_wearer": False, "tracking_paths": tracks, "voice_segments": segments(drawn)}


def track(start: int, drawn: random.Random) -> list[dict]:
    """Boxes in consecutive frames."""
    x, y = drawn.randrange(WIDTH // 2), drawn.randrange(HEIGHT // 2)
    frames = range(start, start + TRACK_FRAMES)
    return [{"x": x + 0.5 * n, "y": float(y), "width": 90.0, "height": 120.0, "frame": f} for n, f in enumerate(frames)]


def segments(drawn: random.Random) -> list[dict]:
    """Voice segments, apart."""
    starts = range(0, FRAMES - SPEECH_FRAMES, 3 * SPEECH_FRAMES)
    return [{"start_frame": s, "end_frame": s + drawn.randrange(SPEECH_FRAMES)} for s in starts if drawn.random() < 0.4]


def by_windows(path: Path, folder: Path, layout: str) -> None:
    """Our way."""
    content = read_ego4d(path, lambda _: Medium(WIDTH, HEIGHT, FPS, FRAMES))
    facts = VideoFacts(path, "file", FRAMES, FPS, HEIGHT, WIDTH, "h264")
    sources = [ClipSource(name, SPLIT, facts, None, clip.num_frames) for name, clip in content.clips.items()]
    settings = WindowSettings(WINDOW_S, MANIFEST, layout)
    for product in prepare_windows(sources, {SPLIT: content}, folder, settings, processes=os.cpu_count()):
        if product.state != "made":
            raise SystemExit(f"{product.path}: {product.detail}")


def by_loops(path: Path, folder: Path) -> None:
    """Persons, windows, frames and boxes, one in the other; each JSON is read and written for every person."""
    length = WINDOW_S * FPS
    for clip in (clip for video in json.loads(path.read_text())["videos"] for clip in video["clips"]):
        for one in [*clip["persons"], clip["camera_wearer"]]:
            for first in range(0, clip["clip_end_frame"], length):
                stop = min(first + length, clip["clip_end_frame"])
                name = f"clip_f{first:06d}/{clip['clip_uid']}_f{first:06d}_f{stop - 1:06d}.json"
                file = folder / SPLIT / clip["clip_uid"] / name
                rows = json.loads(file.read_text()) if file.is_file() else {}
                for frame in range(first, stop):
                    faces = []
                    for found in one.get("tracking_paths", ()):
                        for box in found["track"]:
                            if box["frame"] == frame:
                                faces.append({side: box[side] for side in ("x", "y", "width", "height")})
                    voice = 0
                    for segment in one["voice_segments"]:
                        if segment["start_frame"] <= frame <= segment["end_frame"]:
                            voice = 1
                    labels = {"camera_wearer": one["camera_wearer"], "face": faces or 0, "voice": voice}
                    rows.setdefault(str(frame), {})[one["person_id"]] = labels
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(rows))


def timed(way: Callable[..., None], *arguments: object) -> np.ndarray:
    """Seconds of the wall, and those of processors, of this process and of those that it has started: (2,)."""
    before = os.times()
    way(*arguments)
    after = os.times()
    return np.array([after.elapsed - before.elapsed, sum(after[:4]) - sum(before[:4])])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--looped", type=int, help="clips for the loops, if fewer; their time is scaled, and says so")
    arguments = parser.parse_args()
    looped = arguments.looped or arguments.clips
    with TemporaryDirectory() as name:
        root = Path(name)
        for kind, clips in (("windows", arguments.clips), ("loops", looped)):
            (root / f"{kind}.json").write_text(json.dumps(annotation(clips)))
        fast = {layout: timed(by_windows, root / "windows.json", root / layout, layout) for layout in LAYOUTS}
        slow = timed(by_loops, root / "loops.json", root / "loops") * arguments.clips / looped
        files = sorted(path.relative_to(root / "loops") for path in (root / "loops").rglob("*.json"))
        for file in files:
            ours, theirs = (json.loads((root / way / file).read_text()) for way in (DATASET_CLIPS, "loops"))
            if ours != theirs:
                raise SystemExit(f"{file}: labels differ")
    table = Table("clips", "frames", "windows", "layout", "s", "s by loops", "ratio", "processor s", "ratio")
    note = "" if looped == arguments.clips else f" ({looped} clips, scaled)"
    counts = arguments.clips, arguments.clips * FRAMES, arguments.clips * len(files) // looped
    for layout, seconds in fast.items():
        (wall, cpu), (ratio, ratio_of_cpu) = seconds, slow / seconds
        times = f"{wall:.1f}", f"{slow[0]:.0f}{note}", f"{ratio:.0f}", f"{cpu:.1f}", f"{ratio_of_cpu:.0f}"
        table.add_row(*map(str, counts), layout, *times)
    Console().print(table)


if __name__ == "__main__":
    main()
