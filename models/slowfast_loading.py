"""Loading published weights into a SlowFast, or into a model with one as ``backbone`` and a ``head``."""

import re
from collections.abc import Collection, Iterable
from itertools import count
from pathlib import Path

from torch import Tensor, nn

from models.checkpoint_formats import Weights
from models.fbil_keys import our_key
from models.load_report import LoadReport
from models.slowfast_checkpoints import (
    BACKGROUND_FIRST,
    CLASSIFIERS,
    FAST_FIRST,
    OF_CLIPS,
    OWN,
    foreign_names,
    read_slowfast,
)
from models.slowfast_classifier import SlowFastClassifier
from models.weights_family import Family, Reasons, Tensors, batch_counts, last_layer, part

STEM = "slow_conv1.weight"
HEAD = "head."
CLASSIFIER = "head.classifier."
LATERAL = re.compile(r"Tconv|_fuse\.|fusion|_lateral|_subsample")  # in any layout
LATERAL_NORM = re.compile(r"Tconv\d\.1|\.(?:bn|norm)\.|_bn_\w+$")
FIRST_CONVOLUTION = re.compile(r"_res[1-4]\.\d+\.conv1\.")
WRAPPED_HEAD = "head.module."  # of the training scripts of ACAR-Net and FBI-Learning
# What the code of others does in any case, and therefore what their weights expect.
SAMPLING = {"PySlowFast": "linspace", "Caffe2": "linspace", "PyTorchVideo": "linspace", "mmaction2": "strided"}
MMACTION2_LAST_DILATION = 1  # of its detectors
CLIP_CLASSIFIER = {"last_stride": 2, "last_dilation": 1}  # of everyone's


def has_slowfast(names: Iterable[str]) -> bool:
    """Whether tensors of these names belong to a SlowFast, or a detector or classifier with one."""
    return any(name in (STEM, f"backbone.{STEM}") for name in names)


class SlowFastWeights(Family):
    """Weights of a SlowFast, in any of the layouts of ``models/slowfast_checkpoints.py``.

    What may be missing:

    - the head, on either side: one only in the file is left out, one only in the model starts fresh. A head of another
      kind, such as the classifier of Kinetics' clips, counts as none. Heads are of one kind when they share tensors
      beside the last layer, or have nothing else;
    - the last layer of the head, ``head.classifier``, for another number of classes;
    - the counts of batches of batch norms, when the file has none at all.

    Nothing of the backbone may be missing.
    """

    def read(self, path: str | Path) -> Weights:
        return read_slowfast(path)

    @property
    def prefix(self) -> str:
        return "" if STEM in self.own else "backbone."

    def named(self, weights: Weights) -> dict[str, Tensor]:
        foreign = foreign_names(self._backbone_names(), weights.layout)
        names = {theirs: self.prefix + ours for ours, theirs in foreign.items() if theirs}
        found = {}
        for name, value in weights.tensors.items():
            ours = names.get(name) or self._head_name(name, weights.layout)
            if name.startswith(BACKGROUND_FIRST):
                value = value[1:]
            if name == FAST_FIRST:
                value = self._slow_first(value)
            found[ours] = _with_dimensions(value, self.own[ours].ndim) if ours in self.own else value
        return found

    def _slow_first(self, weight: Tensor) -> Tensor:
        """Let the columns for the slow features, behind those for the fast ones, come first."""
        return weight.roll(self._backbone().widths[0], -1)

    def _backbone(self) -> nn.Module:
        return self.model.get_submodule(self.prefix.rstrip("."))

    def _head_name(self, name: str, layout: str) -> str:
        """The name in the model of what is no tensor of the backbone, or the name it has."""
        for start in CLASSIFIERS.get(layout, ()):
            if name.startswith(start):
                return CLASSIFIER + {"w": "weight", "b": "bias"}.get(name.removeprefix(start), name.removeprefix(start))
        if not name.startswith(WRAPPED_HEAD):
            return name
        inner = name.removeprefix(WRAPPED_HEAD)
        return HEAD + (our_key(inner) or inner)

    def exceptions(self, weights: Weights, theirs: Tensors) -> tuple[Reasons, Reasons]:
        dropped, fresh = {}, batch_counts(theirs, self.own)
        their_head, own_head = part(theirs, HEAD), part(self.own, HEAD)
        inner = [{name for name in head if not name.startswith(CLASSIFIER)} for head in (their_head, own_head)]
        if their_head and own_head and any(inner) and not inner[0] & inner[1]:
            dropped |= dict.fromkeys(their_head, "a head of another kind")
            fresh |= dict.fromkeys(own_head, "the head in the file is of another kind")
            return dropped, fresh
        layers = [part(head, CLASSIFIER) for head in (their_head, own_head)]
        if their_head and own_head and not all(layers):  # in pieces
            return dropped, fresh
        head_dropped, head_fresh = last_layer(theirs, self.own, CLASSIFIER if all(layers) else HEAD)
        return dropped | head_dropped, fresh | head_fresh

    def objection(self, weights: Weights) -> str | None:
        backbone = self._backbone()
        expected = {"slow_sampling": SAMPLING.get(weights.layout)}
        if any(name.startswith(BACKGROUND_FIRST) for name in weights.tensors):
            expected["last_dilation"] = MMACTION2_LAST_DILATION
        model = getattr(self.model, "_orig_mod", self.model)  # without torch.compile
        classifier = part(weights.tensors, *OF_CLIPS)
        if classifier and isinstance(model, SlowFastClassifier):
            kept = len(weights.tensors[classifier[0]]) == model.num_classes
            expected |= CLIP_CLASSIFIER if kept else {}
        for name, value in expected.items():
            if value not in (None, found := getattr(backbone, name, value)):
                return (
                    f"weights of {weights.layout} are made for {name}={value!r}, found {found!r} in the model: "
                    f"build it with {self.prefix}{name}={value}"
                )
        return None

    def advice(self, weights: Weights, theirs: Tensors, report: LoadReport) -> str:
        if any("nonlocal" in name.lower() for name in report.unused):
            return "The file has non-local blocks, which this SlowFast has not: there is no model for it here."
        stem = self.prefix + STEM
        if stem in report.mismatched:
            return "The weights have base_width {}, the model {}.".format(*(s[0] for s in report.mismatched[stem]))
        blocks, own_blocks = _blocks(weights.tensors, weights.layout), _blocks(self._backbone_names(), OWN)
        if blocks != own_blocks:
            return f"The stages in the file have {blocks} blocks, those of the model {own_blocks}: set depth or layers."
        if any(LATERAL.search(name) for name in (*report.unused, *report.missing)):
            with_norm = any(LATERAL_NORM.search(name) for name in report.unused)
            fusion = "conv_norm" if with_norm else "conv"
            return f"The file has other lateral connections: build the model with {self.prefix}fusion={fusion}."
        for name, (theirs_shape, _) in report.mismatched.items():
            if LATERAL.search(name):
                return f"Build the model with {self.prefix}fusion_kernel={theirs_shape[2]}."
            if FIRST_CONVOLUTION.search(name):
                return f"Blocks in the file span {theirs_shape[2]} frames where others do here: set temporal_blocks."
        return f"Expected the tensors of {weights.source.partition(',')[0]} with the model's sizes."

    def _backbone_names(self) -> list[str]:
        return [name.removeprefix(self.prefix) for name in self.own if name.startswith(self.prefix)]


def _blocks(names: Collection[str], layout: str) -> tuple[int, ...]:
    """Number of blocks of each stage of a SlowFast whose tensors are called ``names``."""
    return tuple(next(i for i in count() if _first_of(stage, i, layout) not in names) for stage in range(1, 5))


def _first_of(stage: int, block: int, layout: str) -> str | None:
    """Name of the first tensor of a block of the slow pathway."""
    ours = f"slow_res{stage}.{block}.conv1.weight"
    return foreign_names([ours], layout)[ours]


def _with_dimensions(value: Tensor, dimensions: int) -> Tensor:
    """Add or take away dimensions of size 1 at the end, which Caffe2 is free with."""
    while value.ndim > dimensions and value.shape[-1] == 1:
        value = value.squeeze(-1)
    return value.reshape((*value.shape, *[1] * (dimensions - value.ndim)))
