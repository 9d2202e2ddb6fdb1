"""Loading published weights into detectors of active speakers, strictly."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from models.checkpoint_formats import CheckpointError, Weights, read_file, some, unwrapped
from models.light_keys import light_key, lr_key
from models.load_report import LoadReport
from models.talknet_keys import our_key
from models.weights_family import Family, Reasons, Tensors

WRAPPERS = ("_orig_mod.", "module.", "model.")  # torch.compile, DDP, Lightning and upstream's own module
CLASS_WEIGHTS = ".criterion.weight"


class Network(NamedTuple):
    """A network whose weights are published.

    Attributes:
        name: In words.
        tensor: The name here of a tensor that no other network has.
        theirs: Its name in published files, without wrappers.
        our_key: The name here of a tensor by that in a published file, without wrappers; None: there is none.
    """

    name: str
    tensor: str
    theirs: str
    our_key: Callable[[str], str | None]


NETWORKS = (
    Network("TalkNet", "video_encoder.frontend.conv.weight", "visualFrontend.frontend3D.0.weight", our_key),
    Network("Light-ASD", "video_encoder.blocks.0.mix.conv.weight", "GRU.gru_forward.weight_ih_l0", light_key),
    Network("LR-ASD", "fusion.project.weight", "fusion.attention.weight", lr_key),
)


def network_of(names: Iterable[str]) -> Network | None:
    """The network that tensors of these names belong to, named as they are here; None: none of these."""
    names = set(names)
    return next((network for network in NETWORKS if network.tensor in names), None)


class SpeakerWeights(Family):
    """Weights of a detector of active speakers, as their authors or a run here have stored them.

    What may be left out are the class weights of a loss, which Ego4D's files keep as ``criterion.weight``.
    """

    def __init__(self, model: nn.Module, own: Tensors) -> None:
        super().__init__(model, own)
        self.network = network_of(own)

    def read(self, path: str | Path) -> Weights:
        path = Path(path)
        tensors, packing, left_out = read_file(path)
        tensors = unwrapped(tensors, WRAPPERS, path)
        if self.network.theirs in tensors:
            return Weights(path, "upstream", tensors, f"{self.network.name} as published, {packing}", left_out)
        if self.network.tensor in tensors:
            return Weights(path, "vidzoo", tensors, f"{self.network.name} of a run, {packing}", left_out)
        raise CheckpointError(
            f"{path}: expected {self.network.name}, found no {self.network.theirs} among {some(tensors)}"
        )

    def named(self, weights: Weights) -> dict[str, Tensor]:
        if weights.layout != "upstream":
            return dict(weights.tensors)
        return {self.network.our_key(name) or name: tensor for name, tensor in weights.tensors.items()}

    def exceptions(self, weights: Weights, theirs: Tensors) -> tuple[Reasons, Reasons]:
        reasons = {
            name: f"class weights {theirs[name].tolist()} of a loss, no part of the model: see task.class_weights"
            for name in theirs
            if name.endswith(CLASS_WEIGHTS)
        }
        return reasons, {}

    def advice(self, weights: Weights, theirs: Tensors, report: LoadReport) -> str:
        for name, (shape, own_shape) in report.mismatched.items():
            return f"Expected the sizes of the published network: {name} has {shape} in the file, {own_shape} here."
        return f"Expected the tensors of {weights.source.partition(',')[0]}."
