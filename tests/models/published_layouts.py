"""Published checkpoint layouts, made from small models of ours the way their authors' code saves them."""

import re
from argparse import Namespace

import torch
from torch import Tensor

from models.focusmae import FocusMAE
from models.masked_autoencoder import MaskedAutoencoder
from models.vit import VisionTransformer

SIZE = {"num_frames": 4, "image_size": 16, "patch_size": 8, "depth": 2}  # 2 x 2 x 2 tokens
DECODER = {"decoder_dim": 16, "decoder_depth": 2, "decoder_num_heads": 2}

State = dict[str, Tensor]


def randomised(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """``model`` with parameters that differ from each other and from any initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model.eval()


def encoder(dim: int = 32, **options) -> VisionTransformer:
    return randomised(VisionTransformer(**{**SIZE, "dim": dim, "num_heads": 4, **options}))


def videomae(dim: int = 32, **options) -> MaskedAutoencoder:
    return randomised(
        MaskedAutoencoder(**{**SIZE, **DECODER, "dim": dim, "num_heads": 4, "mask_ratio": 0.5, **options})
    )


def focusmae(dim: int = 32, **options) -> FocusMAE:
    return randomised(
        FocusMAE(
            **{**SIZE, **DECODER, "dim": dim, "num_heads": 4, "sampler_num_heads": 2, "mask_ratio": 0.5, **options}
        )
    )


def training_file(state: State) -> dict:
    """What the training scripts save: the arguments are an argparse.Namespace, the optimizer is at hand."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])
    return {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "epoch": 799,
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
        "args": Namespace(model="pretrain_videomae_base_patch16_224", opt_betas=[0.9, 0.95], window_size=(8, 14, 14)),
    }


def deepspeed_file(state: State) -> dict:
    """What DeepSpeed saves: half precision under ``module``."""
    return {"module": {name: tensor.half() for name, tensor in state.items()}, "ds_version": "0.9.0", "global_steps": 7}


def lightning_file(state: State) -> dict:
    """What a run of this project saves, with a tensor that belongs to the task."""
    named = {f"model.{name}": tensor for name, tensor in state.items()}
    return {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {**named, "losses.val_loss.mean_value": torch.zeros(())},
        "hyper_parameters": {"seed": 0},
        "config": {"model": {"_target_": "models.vit.VisionTransformer"}},
    }


def hugging_face(state: State) -> State:
    """The state dict that transformers' VideoMAE would have with these weights."""
    converted = {}
    for name, tensor in state.items():
        name = name.removeprefix("encoder.")
        if name.endswith("attn.qkv.weight"):
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                converted[_transformers_name(name.replace("qkv", part))] = rows.clone()
        else:
            converted[_transformers_name(name)] = tensor
    return converted


def _transformers_name(name: str) -> str:
    for ours, theirs in (
        (r"^decoder\.blocks\.", "decoder.decoder_layers."),
        (r"^blocks\.", "videomae.encoder.layer."),
        (r"attn\.proj\.", "attention.output.dense."),
        (r"attn\.", "attention.attention."),
        (r"norm1\.", "layernorm_before."),
        (r"norm2\.", "layernorm_after."),
        (r"mlp\.fc1\.", "intermediate.dense."),
        (r"mlp\.fc2\.", "output.dense."),
        (r"^patch_embed\.proj\.", "videomae.embeddings.patch_embeddings.projection."),
        (r"^norm\.", "videomae.layernorm."),
        (r"^head\.", "classifier."),
    ):
        name = re.sub(ours, theirs, name)
    return name
