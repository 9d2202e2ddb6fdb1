"""The video encoder gives the numbers of VideoMAE V2, and its configs have the shapes of the published sizes."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.vit import VisionTransformer
from tests.reference.focusmae.numbers import build_encoder, documents, settings, some, tensor_files

TOLERANCE = 1e-5
OPERATIONS_PER_MAC = 2


@torch.no_grad()
def outputs(model: VisionTransformer, video: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a model makes of a video, step by step, under the names of the reference numbers."""
    steps = {"aux.pos_embed": model.pos_embed, "out.patch_embed": model.patch_embed(video)}
    tokens = model.embed(video)
    for i, block in enumerate(model.blocks):
        tokens = steps[f"out.block_{i}"] = block(tokens)
    return {**steps, "out.features": model.forward_features(video), "out.logits": model(video)}


def test_encoders_give_the_published_numbers() -> None:
    for path, tensors in tensor_files("in.video", "out.features", "out.logits"):
        seen = outputs(build_encoder(settings(path), tensors), tensors["in.video"])
        expected = {key: value for key, value in tensors.items() if not key.startswith(("in.", "param."))}
        assert set(seen) == set(expected)
        for key, value in expected.items():
            # The large numbers inside are there to show where a difference begins; their last digits are rounding.
            relative = 0.0 if key in ("out.features", "out.logits") else TOLERANCE
            assert torch.allclose(seen[key], value, atol=TOLERANCE, rtol=relative), f"{path.name}: {key}"


def test_encoders_have_the_published_number_of_parameters() -> None:
    for path, tensors in tensor_files("in.video", "out.features", "out.logits"):
        content = settings(path)
        model = build_encoder(content, tensors)
        assert parameters(model) == content["n_params"]
        assert list(model.grid) == content["tokens_grid"]
        assert model.blocks[0].mlp.fc1.out_features == content["mlp_hidden"]


def builders(kind: str) -> list[tuple[str, dict]]:
    """Published builders and their shapes: fine-tuning models have a ``depth``, pretraining an ``encoder_depth``."""
    files = [content for _, content in documents() if isinstance(content, dict)]
    entries = [(name, entry) for content in files for name, entry in content.items() if isinstance(entry, dict)]
    return some([(name, entry) for name, entry in entries if "non_block" in entry and kind in entry], "shape lists")


def model_configs(repository: Path, target: str) -> list[dict]:
    with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
        configs = [compose(f"model/{path.stem}").model for path in sorted((repository / "conf/model").glob("*.yaml"))]
    return [config for config in configs if config.get("_target_") == target]


def fits(config: dict, patch: list[int], hidden: int, depth: int) -> bool:
    dim, _, tubelet, side, _ = patch
    sizes = (config.dim, config.depth, config.tubelet_size, config.patch_size, int(config.dim * config.mlp_ratio))
    return sizes == (dim, depth, tubelet, side, hidden)


def shapes(module: nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def repeated(block: dict[str, list[int]], prefix: str, depth: int) -> dict[str, list[int]]:
    return {f"{prefix}.{i}.{name}": shape for i in range(depth) for name, shape in block.items()}


def build_on_meta(config: dict, **options: int | str | None) -> tuple[nn.Module, float]:
    """Build a configured model without memory; count the GMACs of one clip."""
    with torch.device("meta"):
        model = instantiate(config, _convert_="all", **options)
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, config.num_frames, config.image_size, config.image_size))
    return model, counter.get_total_flops() / OPERATIONS_PER_MAC / 1e9


def test_every_published_encoder_has_a_config_of_the_same_shapes(repository: Path) -> None:
    configs = model_configs(repository, "models.vit.VisionTransformer")
    for name, entry in builders("depth"):
        patch, hidden = entry["non_block"]["patch_embed.proj.weight"], entry["mlp_hidden"]
        matching = [config for config in configs if fits(config, patch, hidden, entry["depth"])]
        assert matching, f"{name}: no config of its sizes"
        assert all(config == matching[0] for config in matching)  # one, or one under two names
        model, gmacs = build_on_meta(matching[0], num_classes=entry["num_classes"])
        assert shapes(model) == {**entry["non_block"], **repeated(entry["block_0"], "blocks", entry["depth"])}, name
        assert parameters(model) == entry["params"]
        assert parameters(model) - parameters(model.head) == entry["params_without_head"]
        assert len(model.state_dict()) == entry["tensors"]
        assert math.prod(model.grid) == entry["tokens"]
        assert matching[0].dim // matching[0].num_heads == entry["head_dim"]
        assert gmacs == pytest.approx(entry["gmacs_per_16x224_view"], rel=1e-3)


def test_every_published_autoencoder_has_a_config_of_the_same_shapes(repository: Path) -> None:
    configs = model_configs(repository, "models.masked_autoencoder.MaskedAutoencoder")
    for name, entry in builders("encoder_depth"):
        others, encoder, decoder = entry["non_block"], entry["encoder_block_0"], entry["decoder_block_0"]
        patch, (width,) = others["encoder.patch_embed.proj.weight"], encoder["mlp.fc1.bias"]
        matching = [
            config
            for config in configs
            if fits(config, patch, width, entry["encoder_depth"])
            and config.decoder_dim == others["mask_token"][-1]
            and config.decoder_depth == entry["decoder_depth"]
            and config.decoder_num_heads == entry["decoder_heads"]
        ]
        assert "running_cell" in [config.decoder_mask for config in matching], f"{name}: no config of its sizes"
        for config, decoder_mask in itertools.product(matching, (None, "running_cell")):
            model, gmacs = build_on_meta(config, decoder_mask=decoder_mask)
            blocks = repeated(encoder, "encoder.blocks", entry["encoder_depth"])
            blocks |= repeated(decoder, "decoder.blocks", entry["decoder_depth"])
            assert shapes(model) == {**others, **blocks}, name
            assert (parameters(model), parameters(model.encoder)) == (entry["params"], entry["encoder_params"])
            assert len(model.state_dict()) == entry["tensors"]
            assert (model.num_tokens, model.num_visible) == (entry["tokens"], entry["visible_at_0.9_tube"])
            assert gmacs == pytest.approx(published_gmacs(model, entry), rel=1e-3)


def published_gmacs(model: nn.Module, entry: dict) -> float:
    """The stored count embeds every token and leaves the layer between encoder and decoder out; we do neither."""
    dual = model.decoder_mask is not None
    stored = entry["gmacs_dual_masking_0.5" if dual else "gmacs_encoder_only_masking"]
    embedding = entry["masked_at_0.9_tube"] * model.encoder.patch_embed.proj.weight.numel()
    between = entry["visible_at_0.9_tube"] * model.encoder_to_decoder.weight.numel()
    return stored - (embedding - between) / 1e9
