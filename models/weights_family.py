"""What loading has to know of one kind of network, whose published weights have names and gaps of their own."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from models.checkpoint_formats import Weights
from models.load_report import LoadReport

Tensors = Mapping[str, Tensor]
Reasons = dict[str, str]
BATCH_COUNT = "num_batches_tracked"


class Family(ABC):
    """Reads weights of one kind of network and says what may be missing when they are loaded into a model.

    ``theirs`` are always the tensors of a file under the names they have in the model.

    Args:
        model: The model.
        own: Its parameters and persistent buffers.
    """

    def __init__(self, model: nn.Module, own: Tensors) -> None:
        self.model, self.own = model, own

    @abstractmethod
    def read(self, path: str | Path) -> Weights:
        """Read a file.

        Raises:
            CheckpointNotFoundError: When there is no such file.
            CheckpointError: When it cannot be read or holds no network of this kind.
        """

    @abstractmethod
    def named(self, weights: Weights) -> dict[str, Tensor]:
        """Give tensors the names they have in the model; what has no place there keeps its own."""

    @abstractmethod
    def exceptions(self, weights: Weights, theirs: Tensors) -> tuple[Reasons, Reasons]:
        """Tensors of the file that may be left out and of the model that may stay as they are, each with the reason.

        An exception covers a part that one side lacks altogether; a part that is there in pieces is an error.
        """

    def resized(self, weights: Weights, name: str, value: Tensor) -> Tensor | None:
        """Bring a tensor to the shape it has in the model, where there is a way that keeps its meaning."""
        return None

    def objection(self, weights: Weights) -> str | None:
        """Why weights whose tensors all fit would still compute something else in this model, and what to do."""
        return None

    @abstractmethod
    def advice(self, weights: Weights, theirs: Tensors, report: LoadReport) -> str:
        """What to do about a misfit, for the common causes."""


def part(names: Iterable[str], *prefixes: str) -> list[str]:
    """Those of ``names`` that begin with one of ``prefixes``."""
    return [name for name in names if name.startswith(prefixes)]


def last_layer(theirs: Tensors, own: Tensors, prefix: str) -> tuple[Reasons, Reasons]:
    """Exceptions for the layer called ``prefix``, whose weight and bias have a row per class."""
    their_layer, own_layer = part(theirs, prefix), part(own, prefix)
    if not own_layer:
        return dict.fromkeys(their_layer, "the model has no head"), {}
    if not their_layer:
        return {}, dict.fromkeys(own_layer, "the file has no head")
    if len(theirs[their_layer[0]]) == len(own[own_layer[0]]):
        return {}, {}
    classes = f"{len(theirs[their_layer[0]])} classes in the file, {len(own[own_layer[0]])} in the model"
    return dict.fromkeys(their_layer, classes), dict.fromkeys(own_layer, classes)


def batch_counts(theirs: Tensors, own: Tensors) -> Reasons:
    """Exceptions for the counts of batches of batch norms, which torch before 0.4.1 and Caffe2 do not store."""
    if any(name.endswith(BATCH_COUNT) for name in theirs):
        return {}
    return {name: "the file does not count batches" for name in own if name.endswith(BATCH_COUNT)}


def rename(name: str, pairs: Iterable[tuple[str, str]]) -> str | None:
    """Exchange the beginning of a name.

    Args:
        name: Of a tensor.
        pairs: Beginnings and what takes their place; ``#`` in both stands for one number.

    Returns:
        The name by the first pair that fits; None when there is none.
    """
    for old, new in pairs:
        if match := re.match(re.escape(old).replace(r"\#", r"(\d+)"), name):
            beginning = new.replace("#", match[1]) if match.groups() else new
            return beginning + name[match.end() :]
    return None
