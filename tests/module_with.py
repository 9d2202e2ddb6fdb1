"""Modules made of nothing but parameter names, for rules that look at names and shapes."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn


def module_with(shapes: Mapping[str, Sequence[int]]) -> nn.Module:
    """A module whose parameters have exactly these names and shapes, in this order; all zeros."""
    root = nn.Module()
    for name, shape in shapes.items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, nn.Module())
            module = getattr(module, part)
        module.register_parameter(leaf, nn.Parameter(torch.zeros(tuple(shape))))
    return root
