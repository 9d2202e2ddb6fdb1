"""Features that the callback writes are those of VideoMAE V2, and those of the toolkit, to the last rounding."""

import json
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import torch
from lightning import Trainer
from safetensors.torch import load_file
from torch import Tensor

from callbacks.features import Features
from models.pretrained import load_pretrained
from models.vit import VisionTransformer
from tasks.features import FeatureExtraction
from tests.callbacks.clip_batches import HandMade
from tests.conftest import fixtures_root
from tests.reference.focusmae.numbers import clip_settings

TOLERANCE, TOOLKIT_TOLERANCE = 1e-5, 1e-4
NUMBERS = {"input", "features", "logits", "toolkit_mean_std_max", "last_block_tokens"}
VIDEO = "scene 1/video"


class GivenClips(HandMade):
    """One video whose rows are given clips.

    Args:
        clips: (rows, 3, T, H, W).
    """

    def __init__(self, clips: Tensor) -> None:
        super().__init__({VIDEO: len(clips)})
        self.given = clips

    def batch(self, clips: list[tuple[str, int, int]]) -> dict:
        batch = super().batch(clips)
        return batch | {"video": self.given[batch["row"]]}


def encoders() -> list[tuple[dict[str, np.ndarray], dict, Path]]:
    """Numbers of an encoder with its settings and its weights, which belong together by their shapes and names."""
    folder = fixtures_root() / "shanghaitech"
    numbers = {path: dict(np.load(path)) for path in sorted(folder.glob("*.npz"))}
    numbers = {path: arrays for path, arrays in numbers.items() if set(arrays) >= NUMBERS}
    documents = {path: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    configs = {path: content for path, content in documents.items() if "embed_dim" in content}
    weights = {path: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
    assert numbers, f"no numbers of an encoder in {folder}"
    found = []
    for path, arrays in numbers.items():
        suited = [one for one, config in configs.items() if config_fits(config, arrays)]
        config = configs[nearest(path, suited)]
        shapes = {name: tuple(shape) for name, shape in config["keys"]}
        same = [one for one, tensors in weights.items() if {k: tuple(v.shape) for k, v in tensors.items()} == shapes]
        found.append((arrays, config, nearest(path, same)))
    return found


def config_fits(config: dict, arrays: dict[str, np.ndarray]) -> bool:
    classes, width = arrays["logits"].shape[1], arrays["features"].shape[1]
    side = config["img_size"]
    height, width_px = (side, side) if isinstance(side, int) else side
    is_same_model = (config["num_classes"], config["embed_dim"]) == (classes, width)
    return is_same_model and (config["all_frames"], height, width_px) == arrays["input"].shape[2:]


def nearest(path: Path, others: list[Path]) -> Path:
    """The file that is called most like this one."""
    assert others, f"nothing belongs to {path}"
    return max(others, key=lambda other: SequenceMatcher(None, path.stem, other.stem).ratio())


def written(
    folder: Path, config: dict, weights: Path, clips: np.ndarray, classes: int = 0, **options: str
) -> np.ndarray:
    """Features of a video as they are on the disk."""
    sizes = {"dim": config["embed_dim"], "depth": config["depth"], "num_heads": config["num_heads"]}
    model = VisionTransformer(**clip_settings(config), **sizes, num_classes=classes)
    load_pretrained(model, weights)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    callback = Features(str(folder), **options)
    trainer = Trainer(accelerator="cpu", devices=1, callbacks=callback, default_root_dir=folder, **quiet)
    data = GivenClips(torch.from_numpy(clips))
    trainer.predict(FeatureExtraction(model), datamodule=data, return_predictions=False)
    return np.load(folder / f"{VIDEO}.npy", allow_pickle=False)


def close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    return found.shape == expected.shape and np.allclose(found, expected, rtol=0, atol=tolerance)


def test_features_and_logits_are_the_published_ones(tmp_path: Path) -> None:
    for place, (numbers, config, weights) in enumerate(encoders()):
        given, folder = (config, weights, numbers["input"]), tmp_path / str(place)
        assert close(written(folder / "features", *given), numbers["features"], TOLERANCE)
        logits = written(folder / "logits", *given, classes=config["num_classes"])
        assert close(logits, numbers["logits"], TOLERANCE)


def test_tokens_of_the_last_block_are_the_published_ones(tmp_path: Path) -> None:
    for place, (numbers, config, weights) in enumerate(encoders()):
        given = config, weights, numbers["input"]
        tokens = written(tmp_path / str(place), *given, layer=f"blocks.{config['depth'] - 1}", pool="tokens")
        assert close(tokens, numbers["last_block_tokens"], TOLERANCE)


def test_mean_deviation_and_maximum_over_tokens_are_those_of_the_toolkit(tmp_path: Path) -> None:
    for place, (numbers, config, weights) in enumerate(encoders()):
        given = config, weights, numbers["input"]
        rows = written(tmp_path / str(place), *given, layer="blocks", pool="mean_std_max")
        assert close(rows, numbers["toolkit_mean_std_max"], TOOLKIT_TOLERANCE)
