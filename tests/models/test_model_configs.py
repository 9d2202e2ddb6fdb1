"""Every model config builds and runs, without memory for its weights."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from tests.conftest import REPOSITORY

FILES = sorted(path.stem for path in (REPOSITORY / "conf/model").glob("*.yaml"))
DETECTORS = [name for name in FILES if name.startswith("vad_")]  # of features, not of clips
OF_CLIPS = [name for name in FILES if name.startswith("mfnet") or name in ("slowfast_r50", "slowfast_classifier_tiny")]
OF_ACTIONS = [name for name in FILES if name.startswith(("fbil_", "slowfast_")) and name not in OF_CLIPS]  # and boxes
OF_SPEAKERS = [name for name in FILES if name.startswith(("talknet", "light_asd", "lr_asd"))]  # of faces and sound
NAMES = [name for name in FILES if name not in DETECTORS + OF_CLIPS + OF_ACTIONS + OF_SPEAKERS]


def composed(repository: Path, name: str) -> DictConfig:
    with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
        return compose(f"model/{name}").model


@pytest.mark.parametrize("name", NAMES)
def test_a_config_builds_a_model_that_runs(repository: Path, name: str) -> None:
    config = composed(repository, name)
    with torch.device("meta"):
        model = instantiate(config, _convert_="all")
        sides = [config.image_size] * 2 if isinstance(config.image_size, int) else config.image_size
        output = model(torch.empty(2, 3, config.num_frames, *sides))
    if isinstance(output, dict):
        assert output["prediction"].shape[:2] == output["index"].shape == (2, model.num_decoded)
    else:
        assert output.shape == (2, model.num_features)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_config_builds_a_detector_that_runs(repository: Path, name: str) -> None:
    config = composed(repository, name)
    with torch.device("meta"):
        model = instantiate(config, _convert_="all").eval()
        output = model(torch.empty(2, 10, 7, config.dim), torch.empty(2, 7, dtype=torch.bool))
    assert output["logits"].shape == (2, 7)


@pytest.mark.parametrize("name", OF_CLIPS)
def test_a_config_builds_a_classifier_that_runs(repository: Path, name: str) -> None:
    config = composed(repository, name)
    with torch.device("meta"):
        model = instantiate(config, _convert_="all").eval()
        video = torch.empty(2, 3, config.num_frames, *model.image_size)
        features = instantiate(config, num_classes=0, _convert_="all").eval()(video)
        assert model(video).shape == (2, config.num_classes)
    assert features.shape == (2, model.num_features)


@pytest.mark.parametrize("name", OF_ACTIONS)
def test_a_config_builds_a_detector_of_actions(repository: Path, name: str) -> None:
    config = composed(repository, name)
    with torch.device("meta"):
        model = instantiate(config, _convert_="all")  # which compares the head with the backbone
    assert model.head.classifier.out_features == config.head.num_classes


@pytest.mark.parametrize("name", [name for name in OF_ACTIONS if name.endswith("_tiny")])
@torch.no_grad()
def test_a_small_detector_of_actions_runs(repository: Path, name: str) -> None:
    config = composed(repository, name)
    model = instantiate(config, _convert_="all").eval()
    video = torch.rand(2, 3, config.num_frames, 96, 144)
    rois, clip = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.6, 0.2, 0.9, 0.9]]), torch.tensor([0, 1])
    output = model(video, rois, clip, torch.tensor([[96, 144], [80, 144]]))
    assert output["logits"].shape == (2, config.head.num_classes)


@pytest.mark.parametrize("name", OF_SPEAKERS)
def test_a_config_builds_a_detector_of_speakers_that_runs(repository: Path, name: str) -> None:
    config, frames = composed(repository, name), 3
    with torch.device("meta"):
        model = instantiate(config, _convert_="all").eval()
        faces, audio = torch.empty(2, frames, *[config.face_size] * 2), torch.empty(2, 4 * frames, 13)
        output = model(faces, audio, seconds=torch.empty(2, frames), boxes=torch.empty(2, frames, 4))
    assert output["logits"].shape == output["video_logits"].shape == (2, frames, 2)


@pytest.mark.parametrize("size", ["tiny", "vit_s", "vit_b", "vit_l", "vit_h", "vit_g"])
def test_encoders_of_one_name_have_one_size(repository: Path, size: str) -> None:
    """Weights of a pretraining config load into the encoder config of the same name."""
    encoder = composed(repository, size if size.startswith("vit") else f"vit_{size}")
    shared = ("num_frames", "image_size", "patch_size", "tubelet_size", "dim", "depth", "num_heads", "mlp_ratio")
    family = [name for name in NAMES if name in {f"{kind}_{size}" for kind in ("videomae", "videomae_v2", "focusmae")}]
    assert family
    for name in family:
        config = composed(repository, name)
        assert {key: config[key] for key in shared} == {key: encoder[key] for key in shared}, name
