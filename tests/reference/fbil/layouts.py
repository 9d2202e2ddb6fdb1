"""The head has the parameters of the published models, under names that lead both ways."""

import torch

from models.fbil import FBILHead
from models.fbil_keys import our_key, upstream_key
from tests.reference.fbil.numbers import arguments, objects

HEAD = "head.module."


def test_the_head_has_the_published_parameters() -> None:
    for path, content in objects("entries", "head_kwargs", "n_parameters"):
        published = {name.removeprefix(HEAD): shape for name, shape, _ in content["entries"] if name.startswith(HEAD)}
        given = content["head_kwargs"]
        with torch.device("meta"):
            head, default = FBILHead((given["width"],), **arguments(given)), FBILHead()
        shapes = {name: list(tensor.shape) for name, tensor in head.state_dict().items()}
        assert {our_key(name): shape for name, shape in published.items()} == shapes, path.name
        assert [upstream_key(our_key(name)) for name in published] == list(published)
        assert sum(each.numel() for each in head.parameters()) == content["n_parameters"]["head"]
        assert default.blocked == head.blocked and default.aggregation == head.aggregation
        assert {name: list(tensor.shape) for name, tensor in default.state_dict().items()} == shapes
