"""A command line explains what a trained model says of a video file, and compares methods on the test split."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from datamodules.video_set import SAMPLE_FOLDER
from tests.conftest import REPOSITORY
from tests.toy_project import run_python

pytestmark = pytest.mark.slow
SMALL = ("model.dim=24", "model.depth=1", "model.num_heads=2", "model.pooling=mean", "datamodule.num_workers=0")


def run(cache: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command line of ``task=classify`` on one CPU; its status and what it printed."""
    places = [f"paths.logs={folder}", f"paths.data={cache}", "trainer.accelerator=cpu"]
    devices = [] if any(word.startswith("trainer.devices") for word in arguments) else ["trainer.devices=1"]
    line = ["train.py", "task=classify", *places, *devices, *SMALL, *arguments]
    done = run_python(REPOSITORY, *line, timeout=540, COLUMNS="300")
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample_cache: Path) -> Path:
    """A model that was trained for a moment."""
    folder = tmp_path_factory.mktemp("saliency")
    status, said = run(sample_cache, folder, "trainer.max_epochs=1", "datamodule.repeat=1", "run_id=fit")
    assert status == 0, said
    return folder


def explain(cache: Path, folder: Path, name: str, *arguments: str) -> tuple[int, str, Path]:
    checkpoint = folder / "classify" / "fit" / "checkpoints" / "last.ckpt"
    words = ("callbacks=[default,saliency]", f"ckpt_path={checkpoint}", f"run_id={name}", *arguments)
    return *run(cache, folder, *words), folder / "classify" / name / "saliency"


def test_a_video_file_becomes_maps_on_any_number_of_processes(folder: Path, sample_cache: Path) -> None:
    film = next((sample_cache / SAMPLE_FOLDER / "training" / "videos").glob("*.avi"))
    video = ("mode=predict", "datamodule=video", f"datamodule.path={film}", "datamodule.batch_size=1")
    status, said, alone = explain(sample_cache, folder, "alone", *video)
    assert status == 0 and "keeps nothing" not in said and "9 files of 3 answers" in said, said
    samples = json.loads((alone / "predict" / "samples.json").read_text())
    assert all(sample["name"] == film.stem and sample["method"] == "tube" for sample in samples)
    with np.load(alone / "predict" / samples[0]["files"][0]) as file:
        assert file["completeness_error"] < 1e-5 and file["shown/tube"].shape == (16, 64, 96)
    status, said, together = explain(sample_cache, folder, "together", *video, "trainer.devices=2")
    assert status == 0, said
    for path in alone.rglob("*.png"):
        assert (together / path.relative_to(alone)).read_bytes() == path.read_bytes()


def test_methods_are_compared_in_one_table(folder: Path, sample_cache: Path) -> None:
    few = ("callbacks.saliency.num_samples=1", "callbacks.saliency.formats=[png]")
    status, said, found = explain(sample_cache, folder, "methods", "mode=test", "experiment=saliency_methods", *few)
    assert status == 0 and "are the maps right?" in said, said
    rows = list(csv.DictReader((found / "test" / "faithfulness.csv").open()))
    methods = [row["method"] for row in rows]
    assert {"tube", "grad_cam", "rollout", "legrad", "integrated_gradients"} <= set(methods) and methods[-1] == "random"
    assert all(0 <= float(row["deletion"]) <= 1 and 0 <= float(row["insertion"]) <= 1 for row in rows)
    assert (found / "test" / "faithfulness.png").is_file()


def test_an_unknown_layer_is_answered_with_the_list_of_layers(folder: Path, sample_cache: Path) -> None:
    wrong = ("callbacks.saliency.method=grad_cam", "callbacks.saliency.layer=blocks.0.norm9")
    status, said, found = explain(sample_cache, folder, "wrong", "mode=test", *wrong)
    assert status != 0 and not found.exists()
    [line] = [line for line in said.splitlines() if "has no layer 'blocks.0.norm9'" in line]
    assert "did you mean blocks.0.norm" in line and "blocks.0.attn.dot_product" in line
    assert "Traceback" not in said
