"""What is to be done before features are computed: which videos are there, and whether the others may join them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning import Trainer

from callbacks.feature_files import FeatureFolder

_MOST_LISTED = 8


@dataclass
class Plan:
    """What a folder holds already.

    Attributes:
        skipped: Videos that are there, whole and made in the same way.
        again: Why others that are there will be computed again, a line for each.
        refusal: Why nothing can be computed into this folder; None when it can.
    """

    skipped: set[str] = field(default_factory=set)
    again: list[str] = field(default_factory=list)
    refusal: str | None = None


def agreed_plan(
    trainer: Trainer, files: FeatureFolder, sources: Mapping[str, Any], recipe: Mapping[str, Any], overwrite: bool
) -> Plan:
    """Look at the folder on the first rank and tell all: one that looked later would find what others have written.

    Args:
        trainer: With its processes connected.
        files: The folder.
        sources: What each video is made from, by name.
        recipe: How it is made.
        overwrite: Whether features of other settings are computed again; else they are refused.
    """
    weights = recipe["model"]["weights_sha256"]
    plan = make_plan(files, sources, recipe, overwrite) if trainer.is_global_zero else None
    if plan is not None and plan.refusal is None:
        files.clear()  # now, while no other rank can be writing
    plan, weights_of_the_first = trainer.strategy.broadcast((plan, weights))
    if weights != weights_of_the_first:
        raise ValueError(
            f"callbacks.features: rank {trainer.global_rank} has other weights ({weights[:12]}) than rank 0 "
            f"({weights_of_the_first[:12]}); give all of them one file with ckpt_path or model.pretrained"
        )
    return plan


def make_plan(files: FeatureFolder, sources: Mapping[str, Any], recipe: Mapping[str, Any], overwrite: bool) -> Plan:
    """Examine what is there of every video."""
    plan, others = Plan(), []
    for name, source in sources.items():
        existing = files.examine(name, recipe, source)
        if existing.state == "whole":
            plan.skipped.add(name)
        elif existing.state == "damaged":
            plan.again.append(f"{name}: {existing.details[0]}")
        elif existing.state == "other":
            others.append((name, existing.details))
    if others and overwrite:
        plan.again.append(f"{len(others)} videos with features of other settings (callbacks.features.overwrite=true)")
    elif others:
        plan.refusal = _refusal(files, others)
    return plan


def _refusal(files: FeatureFolder, others: list[tuple[str, tuple[str, ...]]]) -> str:
    name, details = others[0]
    lines = [*details[:_MOST_LISTED], *(["..."] if len(details) > _MOST_LISTED else [])]
    return "\n  ".join(
        [
            f"callbacks.features.folder={files.folder} holds features of other settings ({len(others)} videos); "
            f"of {name}:",
            *lines,
            "give another folder, or replace them with callbacks.features.overwrite=true",
        ]
    )
