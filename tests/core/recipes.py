"""Parts of composed recipes, as their tests build them."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def part(cfg: DictConfig, key: str, *without: str) -> dict[str, Any]:
    """A node of a config as plain values, without some of its keys."""
    node = OmegaConf.to_container(cfg[key], resolve=True)
    return {name: value for name, value in node.items() if name not in without}
