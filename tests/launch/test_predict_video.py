"""A command line turns a video file into scores of its faces and a film, on any number of processes."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.datamodules.face_films import wandering, write_film
from tests.launch.command import train_py
from tests.toy_project import run_python

pytestmark = pytest.mark.slow
FRAMES, CUT, NOISE = 30, 14, 3  # of the film; the frame before which some frames of noise lie


def run(folder: Path, *arguments: str) -> str:
    """Run a command line of ``task=talknet`` on CPUs; return what it printed."""
    return train_py(folder, "task=talknet", f"paths.data={folder / 'cache'}", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with a face, and a model that has seen a few others for a moment."""
    folder = tmp_path_factory.mktemp("predict")
    frames, boxes = wandering(FRAMES)
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, *frames.shape[1:]), dtype=np.uint8)
    write_film(folder / "talk.mp4", np.concatenate([frames[:CUT], noise, frames[CUT:]]))
    data = folder / "data"
    data.mkdir()
    rows = ["video_id,frame,x1,y1,x2,y2,entity_id,label"]
    for name in ("one", "two", "three"):
        write_film(data / f"{name}.mp4", frames)
        sides = (",".join(f"{side:.1f}" for side in box) for box in boxes)
        rows += [f"{name},{number},{box},anna,{number // 10 % 2}" for number, box in enumerate(sides)]
    (data / "tracks.csv").write_text("\n".join(rows))
    small = ("datamodule=speakers", f"datamodule.root={data}", "datamodule.num_workers=0", "trainer.max_epochs=1")
    run(folder, *small, "trainer.devices=1", "run_id=fit")
    return folder


def predict(folder: Path, name: str, *arguments: str) -> tuple[Path, str]:
    """Predict on the film; the folder of what was written, and what was printed."""
    line = ("mode=predict", "datamodule=video", f"datamodule.path={folder / 'talk.mp4'}", "datamodule.num_workers=0")
    checkpoint = folder / "talknet" / "fit" / "checkpoints" / "last.ckpt"
    said = run(folder, *line, f"ckpt_path={checkpoint}", f"run_id={name}", *arguments)
    return folder / "talknet" / name / "speakers", said


def test_a_video_becomes_scores_and_a_film_with_its_sound(folder: Path) -> None:
    found, said = predict(folder, "alone", "trainer.devices=1")
    assert "scores of 2 faces in 1 videos" in said and "the weights are random" not in said
    tracks = json.loads((found / "talk.json").read_text())["tracks"]
    assert [track["frames"] for track in tracks] == [[*range(CUT)], [*range(CUT + NOISE, FRAMES + NOISE)]]
    assert all(np.isfinite(track["scores"]).all() and len(set(track["scores"])) > 5 for track in tracks)
    with (found / "talk.csv").open() as file:
        assert len(list(csv.reader(file))) == FRAMES
    with av.open(str(found / "talk.mp4")) as film:
        assert film.streams.audio and sum(1 for _ in film.decode(video=0)) == FRAMES + NOISE


def test_two_processes_write_the_same_files(folder: Path) -> None:
    alone, _ = predict(folder, "first", "trainer.devices=1")
    together, _ = predict(folder, "second", "trainer.devices=2")
    for name in ("talk.csv", "talk.json", "speakers.json"):
        assert (together / name).read_bytes() == (alone / name).read_bytes()
    assert sorted(path.name for path in together.iterdir()) == ["speakers.json", "talk.csv", "talk.json", "talk.mp4"]


def test_tracks_of_ones_own_are_scored_under_their_names(folder: Path) -> None:
    _, boxes = wandering(FRAMES)
    rows = [f"{number},{','.join(f'{side:.1f}' for side in box)},ben" for number, box in enumerate(boxes[:12])]
    (folder / "own.csv").write_text("\n".join(["frame,x1,y1,x2,y2,entity_id", *rows]))
    found, _ = predict(folder, "own", "trainer.devices=1", f"datamodule.tracks={folder / 'own.csv'}")
    (track,) = json.loads((found / "talk.json").read_text())["tracks"]
    assert (track["entity"], track["frames"]) == ("ben", list(range(12)))


def test_a_mistyped_path_is_answered_at_once(folder: Path) -> None:
    line = ("task=talknet", "mode=predict", "datamodule=video", f"datamodule.path={folder / 'tolk.mp4'}")
    done = run_python(REPOSITORY, "train.py", *line, timeout=60, COLUMNS="300")
    assert done.returncode != 0 and "datamodule.path" in done.stderr and "talk.mp4" in done.stderr
