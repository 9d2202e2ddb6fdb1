"""Two pathways: exact evidence adds up, and PySlowFast's Grad-CAM is reproduced."""

import torch
from torch import Tensor, nn

from models.saliency import SaliencySpec, evidence_of
from models.saliency.evidence import stretch
from tests.reference.saliency.numbers import arrays, close, convolution, weights

TOLERANCE, EXACT = 1e-5, 1e-6
ADDED = 1e-6  # to the range of a map, by PySlowFast
PATHS = ("slow", "fast")


class TwoPathways(nn.Module):
    def __init__(self, state: dict[str, Tensor], given: dict[str, Tensor]) -> None:
        super().__init__()
        for path in PATHS:
            sizes = (tuple(given[key].shape[2:]) for key in (path, f"{path}_features"))
            self.add_module(path, convolution(state[f"{path}.0.weight"], state[f"{path}.0.bias"], *sizes))
        self.fc = nn.Linear(*state["fc.weight"].shape[::-1])
        self.fc.load_state_dict({"weight": state["fc.weight"], "bias": state["fc.bias"]})

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        return self.fc(torch.cat([self.slow(slow).mean((2, 3, 4)), self.fast(fast).mean((2, 3, 4))], 1))


def networks() -> list[tuple[TwoPathways, dict[str, Tensor]]]:
    found = []
    for given in arrays("slow", "fast", "labels", "logits", "slow_map_strided", "fast_map_strided"):
        models = [TwoPathways(state, given) for state in weights("slow.0.weight", "fast.0.weight", "fc.weight")]
        found += [(model, given) for model in models if close(model(*inputs(given)).detach(), given["logits"], EXACT)]
    assert found, "no weights give the stored logits"
    return found


def inputs(given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return given["slow"], given["fast"]


SPEC = SaliencySpec({path: path for path in PATHS}, head="pooled_linear", classifier="fc")


def test_evidence_of_both_pathways_and_the_bias_are_the_logit() -> None:
    for model, given in networks():
        slow, fast = inputs(given)
        evidence = evidence_of(model, fast, given["labels"], spec=SPEC, run=lambda clip, m=model, s=slow: m(s, clip))
        assert {path: found.shape[1] for path, found in evidence.maps.items()} == {
            path: given[f"{path}_features"].shape[2] for path in PATHS
        }
        for path, clip in zip(PATHS, (slow, fast), strict=True):
            assert close(model.get_submodule(path)(clip).detach(), given[f"{path}_features"], EXACT)
        stored = given["logits"].gather(1, given["labels"].unsqueeze(1)).squeeze(1)
        assert close(sum(evidence.contributions().values()) + evidence.constant, stored, EXACT)
        assert close(evidence.constant, model.fc.bias.detach()[given["labels"]], EXACT)


def test_weights_per_frame_are_those_of_pyslowfast() -> None:
    for model, given in networks():
        slow, fast = inputs(given)
        options = {"spec": SPEC, "temporal_weights": "per_frame", "run": lambda clip, m=model, s=slow: m(s, clip)}
        evidence = evidence_of(model, fast, given["labels"], "grad_cam", **options).positive()
        for path in PATHS:
            stored = given[f"{path}_map_strided"]
            size = tuple(given[path].shape[2:])
            stride = size[1] // stored.shape[2]
            found = normalised(evidence.upsample(size, "trilinear").maps[path])
            assert close(found[..., ::stride, ::stride], stored, TOLERANCE)


def normalised(maps: Tensor) -> Tensor:
    """Of each clip and pathway by itself, as PySlowFast does."""
    least, most = maps.amin((1, 2, 3)), maps.amax((1, 2, 3))
    return stretch(maps, least, most + ADDED)
