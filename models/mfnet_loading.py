"""Loading published weights into an MFNet, strictly."""

import re
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from models.checkpoint_formats import CheckpointError, Weights, read_file, some, unwrapped
from models.load_report import LoadReport
from models.weights_family import Family, Reasons, Tensors, batch_counts, last_layer

WRAPPERS = ("_orig_mod.", "module.", "model.")  # torch.compile, upstream's DataParallel, Lightning
FIRST_UNIT = "conv2.B01.conv_m1.conv.weight"
UNIT = re.compile(r"conv([2-5])\.(B\d+)\.")


def has_mfnet(names: Iterable[str]) -> bool:
    """Whether tensors of these names belong to an MFNet."""
    return FIRST_UNIT in names


class MultiFiberWeights(Family):
    """Weights of an MFNet, as cypw/PyTorch-MFNet or a run here have stored them; names are the same.

    What may be missing:

    - the classifier, for another number of classes, or where one side has none;
    - the counts of batches of batch norms, when the file has none at all.
    """

    def read(self, path: str | Path) -> Weights:
        path = Path(path)
        tensors, packing, left_out = read_file(path)
        tensors = unwrapped(tensors, WRAPPERS, path)
        if not has_mfnet(tensors):
            raise CheckpointError(f"{path}: expected an MFNet, found no {FIRST_UNIT} among {some(tensors)}")
        return Weights(path, "MFNet", tensors, f"MFNet, {packing}", left_out)

    def named(self, weights: Weights) -> dict[str, Tensor]:
        return dict(weights.tensors)

    def exceptions(self, weights: Weights, theirs: Tensors) -> tuple[Reasons, Reasons]:
        dropped, fresh = last_layer(theirs, self.own, "classifier.")
        return dropped, fresh | batch_counts(theirs, self.own)

    def advice(self, weights: Weights, theirs: Tensors, report: LoadReport) -> str:
        layers, own_layers = _layers(theirs), _layers(self.own)
        if layers != own_layers:
            return f"The stages in the file have {layers} units, those of the model {own_layers}: set layers."
        if FIRST_UNIT in report.mismatched:
            shape, own_shape = report.mismatched[FIRST_UNIT]
            return f"{FIRST_UNIT} has {shape} in the file, {own_shape} here: set width, stem_width and fibers."
        return "Expected the tensors of MFNet with the model's sizes."


def _layers(names: Iterable[str]) -> tuple[int, ...]:
    """Number of units of each stage of a network whose tensors are called ``names``."""
    units = {match.groups() for name in names if (match := UNIT.match(name))}
    return tuple(sum(stage == number for stage, _ in units) for number in "2345")
