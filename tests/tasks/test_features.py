"""Features of clips are what the encoder returns, and they are written as any other task's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer

from callbacks.features import Features
from core.command_line.check import check_overrides
from core.command_line.overrides import composed
from core.errors import ConfigError
from datamodules.videos import Videos
from models.focusmae import FocusMAE
from models.vit import VisionTransformer
from tasks.features import FeatureExtraction
from tasks.focusmae import MaskedPretraining
from tests.datamodules import counters

SIZES = {"num_frames": 4, "image_size": (32, 48), "dim": 24, "depth": 2, "num_heads": 2}
DECODER = {"decoder_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2, "sampler_num_heads": 2}
VIDEOS, CLIPS = {"v0": 20, "v1": 9, "v2": 4}, 3


def encoder(**options: object) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**SIZES, **options).eval()


@pytest.fixture
def video() -> torch.Tensor:
    return torch.randn(2, 3, 4, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("options", [{}, {"num_classes": 5}, {"pooling": "none"}])
@pytest.mark.parametrize("step", ["predict_step", "test_step"])
def test_a_step_returns_what_the_encoder_returns(video: torch.Tensor, options: dict, step: str) -> None:
    model = encoder(**options)
    assert torch.equal(getattr(FeatureExtraction(model), step)({"video": video}, 0), model(video))


def test_the_mode_is_predict_and_may_be_another_one() -> None:
    assert composed(["task=features"]).mode == "predict"
    assert composed(["task=features", "mode=test"]).mode == "test"
    check_overrides(["task=features", "mode=test"])
    with pytest.raises(ConfigError, match="FeatureExtraction has no training_step"):
        check_overrides(["task=features", "mode=fit"])


def test_a_detector_is_the_next_command_and_names_the_folder() -> None:
    cfg = composed(["task=features", "callbacks.features.folder=/tmp/features"])
    [hint] = cfg.next
    assert hint.endswith("python train.py task=vad datamodule.features=/tmp/features")
    [hint] = composed(["task=features", "callbacks=[default,saliency]"]).next  # which write no features
    assert hint.endswith("python train.py task=vad datamodule.features=<features>")


def test_the_command_of_the_issue_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    root = f"datamodule.root={tmp_path}"
    weights = f"model.pretrained={tmp_path}/weights.pth"
    check_overrides(["task=features", "model=videomae_vit_g", weights, "datamodule=shanghaitech", root])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library") / "videos"
    root.mkdir()
    for place, (name, frames) in enumerate(VIDEOS.items()):
        counters.encode(root / f"{name}.mp4", count=frames, first=50 * place)
    return root


def extract(
    library: Path, folder: Path, task: object, mode: str = "predict", **options: object
) -> dict[str, np.ndarray]:
    plain = {"resize": "squash", "crop": "none", "num_workers": 0, "frame_step": 1, "image_size": SIZES["image_size"]}
    data = Videos(root=str(library), cache=str(folder), num_frames=4, eval_clips=CLIPS, batch_size=2, **plain)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    callback = Features(str(folder / "features"), **options)
    trainer = Trainer(accelerator="cpu", devices=1, callbacks=callback, default_root_dir=folder, **quiet)
    getattr(trainer, mode)(task, datamodule=data, **({"return_predictions": False} if mode == "predict" else {}))
    return {path.stem: np.load(path) for path in (folder / "features").glob("*.npy")}


def test_clips_that_are_no_windows_are_written_with_the_frames_they_are_of(library: Path, tmp_path: Path) -> None:
    model = encoder()
    found = extract(library, tmp_path, FeatureExtraction(model))
    assert {name: array.shape for name, array in found.items()} == dict.fromkeys(VIDEOS, (CLIPS, SIZES["dim"]))
    sidecar = json.loads((tmp_path / "features" / "v0.json").read_text())
    assert sidecar["rows"]["frames"] == [[2, 5], [8, 11], [13, 16]]  # the middles of three equal parts
    assert sidecar["rows"]["seconds"] == [[first / 25, last / 25] for first, last in sidecar["rows"]["frames"]]
    assert sidecar["source"]["frames"] == VIDEOS["v0"]
    data = Videos(root=str(library), cache=str(tmp_path), num_frames=4, eval_clips=CLIPS, frame_step=1, crop="none")
    assert sidecar["recipe"]["data"].keys() == data.recipe().keys()


@pytest.mark.parametrize("mode", ["predict", "test"])
def test_a_layer_of_a_pretraining_can_be_written_too(library: Path, tmp_path: Path, mode: str) -> None:
    """In a test the encoder sees the visible tokens alone."""
    torch.manual_seed(0)
    model = FocusMAE(**SIZES, **DECODER)
    options = {"layer": "encoder.blocks.0", "pool": "tokens"}
    found = extract(library, tmp_path / "tokens", MaskedPretraining(model), mode, **options)
    tokens = model.num_tokens if mode == "predict" else model.num_visible
    assert found["v1"].shape == (CLIPS, tokens, SIZES["dim"])


def test_features_of_a_pretraining_are_what_it_predicts(library: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = MaskedPretraining(FocusMAE(**SIZES, **DECODER))
    features = extract(library, tmp_path / "features", task)
    mean = extract(library, tmp_path / "mean", task, layer="encoder.norm", pool="mean")
    assert all(np.allclose(features[name], mean[name], atol=1e-6) for name in VIDEOS)


def test_a_test_that_returns_nothing_is_refused_with_the_layers_there_are(library: Path, tmp_path: Path) -> None:
    task = MaskedPretraining(FocusMAE(**SIZES, **DECODER))
    with pytest.raises(ValueError, match=r"MaskedPretraining.test_step returned None; .*layer=NAME .*encoder, "):
        extract(library, tmp_path, task, "test")
