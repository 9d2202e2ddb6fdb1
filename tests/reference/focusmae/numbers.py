"""Finds the reference numbers of FocusMAE and VideoMAE by what files hold, and builds the models they belong to."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.focusmae import FocusMAE
from models.masked_autoencoder import MaskedAutoencoder
from models.vit import VisionTransformer
from tests.conftest import fixtures_root
from tests.prefixes import stripped

# The pixels of the reference videos are normalised with these (README of the numbers, "Common conventions").
IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1, 1)
LAYER_NORM_EPS = 1e-6


def folder() -> Path:
    return fixtures_root() / "focusmae"


def tensor_files(*keys: str) -> list[tuple[Path, dict[str, Tensor]]]:
    """Every safetensors file that holds all of ``keys``; there must be one."""
    files = [(path, load_file(path)) for path in sorted(folder().glob("*.safetensors"))]
    return some([(path, tensors) for path, tensors in files if set(keys) <= set(tensors)], f"tensors {keys}")


def array_files() -> list[tuple[Path, dict[str, np.ndarray]]]:
    """Every npz file; there must be one."""
    return some([(path, dict(np.load(path))) for path in sorted(folder().glob("*.npz"))], "arrays")


def documents() -> list[tuple[Path, Any]]:
    """Every JSON file; there must be one."""
    return some([(path, json.loads(path.read_text())) for path in sorted(folder().glob("*.json"))], "documents")


def some(found: list, kind: str) -> list:
    assert found, f"no {kind} in {folder()}"
    return found


def settings(path: Path) -> dict:
    """The JSON object that describes a tensor file: of the same name, or an entry of that name in another file."""
    beside = path.with_suffix(".json")
    if beside.exists():
        return json.loads(beside.read_text())
    return next(content[path.stem] for _, content in documents() if isinstance(content, dict) and path.stem in content)


def parameters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return stripped(tensors, "param.")


def pixels(video: Tensor) -> Tensor:
    return video * IMAGENET_STD + IMAGENET_MEAN


def clip_settings(config: dict) -> dict:
    assert config.get("layer_norm_eps", LAYER_NORM_EPS) == LAYER_NORM_EPS
    side = config["img_size"]
    return {
        "num_frames": config["all_frames"],
        "image_size": side if isinstance(side, int) else tuple(side),
        "patch_size": config["patch_size"],
        "tubelet_size": config["tubelet_size"],
        "mlp_ratio": config["mlp_ratio"],
        "qkv_bias": config["qkv_bias"],
        "layer_scale_init": config.get("init_values"),
        "cosine_attention": config.get("cos_attn", False),
        "positions": "learned" if config.get("use_learnable_pos_emb") else "sinusoid",
    }


def autoencoder_settings(config: dict) -> dict:
    return {
        **clip_settings(config),
        "dim": config["encoder_embed_dim"],
        "depth": config["encoder_depth"],
        "num_heads": config["encoder_num_heads"],
        "decoder_dim": config["decoder_embed_dim"],
        "decoder_depth": config["decoder_depth"],
        "decoder_num_heads": config["decoder_num_heads"],
    }


def build_encoder(config: dict, tensors: dict[str, Tensor]) -> VisionTransformer:
    model = VisionTransformer(
        **clip_settings(config),
        dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        num_classes=config["num_classes"],
        pooling="mean" if config["use_mean_pooling"] else "first",
    )
    model.load_state_dict(parameters(tensors), strict=True)
    return model.eval()


def build_autoencoder(content: dict, tensors: dict[str, Tensor], **options: Any) -> MaskedAutoencoder:
    ratios = {"mask_ratio": content["encoder_mask_ratio"], "decoder_mask_ratio": content["decoder_mask_ratio"]}
    model = MaskedAutoencoder(**autoencoder_settings(content["config"]), **ratios, **options)
    model.load_state_dict(parameters(tensors), strict=True)
    return model.eval()


def build_focusmae(content: dict, tensors: dict[str, Tensor], **options: Any) -> FocusMAE:
    config = content["config"]
    model = FocusMAE(
        **autoencoder_settings(config),
        mask_ratio=config["mask_ratio"],
        focus="visible",
        delta=content["delta"],
        sampler_num_heads=config["sampler_num_heads"],
        sampler_dropout=config["sampler_dropout_in_this_fixture"],
        **options,
    )
    model.load_state_dict(parameters(tensors), strict=True)
    return model
