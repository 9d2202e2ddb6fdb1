"""Parameter groups: who is exempt from weight decay, and learning rates that fall towards the input."""

import re

import torch
from torch import nn
from torch.optim import Optimizer

POSITIONS_AND_TOKENS = frozenset({"pos_embed", "cls_token", "mask_token"})
EXEMPT_SUFFIXES = (".bias", ".scale")  # .scale: learned temperature of cosine attention, shape (heads, 1, 1)
STEM = frozenset({"patch_embed", *POSITIONS_AND_TOKENS})


def parameter_groups(model: nn.Module, layer_decay: float | None = None, *, full_names: bool = False) -> list[dict]:
    """Sort the trainable parameters of a vision transformer into groups for AdamW.

    No weight decay for tensors of at most one dimension (norms, biases, layer scale), for names that end in ``.bias``
    or ``.scale``, and for ``pos_embed``, ``cls_token`` and ``mask_token``. The rule of OpenGVLab/VideoMAEv2 and
    MCG-NJU/VideoMAE (``optim_factory``), with one difference: they compare these three with the full name, so that a
    learned ``encoder.pos_embed`` decays although ``pos_embed`` does not; here they are exempt wherever they sit. As
    published, FocusMAE's ``encoder.pos_embed_probs`` decays under both rules.

    With layer decay g, block i of L blocks (0 first) gets learning-rate scale g^(L - i), patch embedding, positions and
    tokens g^(L + 1), everything after the blocks (final norm, head, a decoder, a token sampler) 1 (Bao et al., BEiT,
    2022; Clark et al., ELECTRA, 2020).

    Args:
        model: Blocks are recognised by names that contain ``blocks.<i>.``; parameters without gradient are left out.
        layer_decay: g in (0, 1]; None for one learning rate.
        full_names: Compare positions and tokens by full name, exactly as published.

    Returns:
        Groups with ``params``, ``name``, ``weight_decay`` = 0 in those that do not decay (the others take the
        optimizer's value) and, with layer decay, ``lr_scale``, which ``scale_learning_rates`` applies.

    Raises:
        ValueError: When ``layer_decay`` is outside (0, 1], or the model has no ``blocks.<i>.`` to apply it to.
    """
    depth = None
    if layer_decay is not None:
        if not 0 < layer_decay <= 1:
            raise ValueError(f"layer_decay: expected a number in (0, 1], found {layer_decay}")
        depth = 1 + max((_block(name) for name, _ in model.named_parameters()), default=-1)
        if depth == 0:
            named = f"{type(model).__name__} has no parameters named blocks.<i>.*"
            raise ValueError(f"layer_decay={layer_decay}: {named} to tell its layers by; use task.layer_decay=null")
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = not _exempt(name, parameter, full_names)
        label, options = ("decay", {}) if decays else ("no_decay", {"weight_decay": 0.0})
        if depth is not None:
            layer = layer_id(name, depth)
            label = f"layer_{layer}_{label}"
            options["lr_scale"] = layer_decay ** (depth + 1 - layer)
        groups.setdefault(label, {"name": label, "params": [], **options})["params"].append(parameter)
    return list(groups.values())


def scale_learning_rates(optimizer: Optimizer) -> None:
    """Give every group with an ``lr_scale`` the optimizer's learning rate times that scale.

    To be called once the optimizer is made and before the schedule is: the schedule takes the rates it finds as its
    peaks, and both they and ``lr_scale`` are part of the optimizer's state, so that a resume keeps them. Calling it
    again changes nothing.
    """
    for group in optimizer.param_groups:
        if "lr_scale" in group:
            group["lr"] = optimizer.defaults["lr"] * group["lr_scale"]


def layer_id(name: str, depth: int) -> int:
    """Place of a parameter between input (0) and output (``depth`` + 1) for layer-wise learning rates.

    Args:
        name: Name of the parameter within its model, any prefix allowed.
        depth: L, number of blocks of the encoder.

    Returns:
        0 for patch embedding, positions and tokens, i + 1 for block i, L + 1 for everything else.
    """
    block = _block(name)
    if block >= 0:
        return block + 1
    return 0 if STEM & set(name.split(".")) else depth + 1


def _block(name: str) -> int:
    """Index i of the encoder block that a parameter belongs to, -1 for none; a decoder's blocks do not count."""
    match = re.search(r"(?:^|\.)blocks\.(\d+)\.", name)
    return int(match[1]) if match and "decoder" not in name.split(".") else -1


def _exempt(name: str, parameter: torch.Tensor, full_names: bool) -> bool:
    return (
        parameter.ndim <= 1
        or name.endswith(EXEMPT_SUFFIXES)
        or (name if full_names else name.rpartition(".")[2]) in POSITIONS_AND_TOKENS
    )
