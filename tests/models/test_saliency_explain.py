"""The one call: maps from 0 to 1 for clips and tasks, streams together, targets that are told what is wrong."""

import pytest
import torch
from torch import Tensor, nn

from models.saliency import SaliencySpec, evidence_of, explain
from models.saliency.evidence import Evidence, stretch
from tests.models.saliency_networks import GRID, POOLED, Pooled, clips


class Zoo(Pooled):
    def saliency_spec(self) -> SaliencySpec:
        return POOLED


class Task(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = Zoo()


def made(**maps: Tensor) -> Evidence:
    zeros = torch.zeros(len(next(iter(maps.values()))))
    return Evidence(maps, zeros, zeros, (4, 6, 8), "made")


def test_a_clip_has_a_map_of_its_size_from_0_to_1() -> None:
    found = explain(Zoo(), clips()[0], target=1)
    assert found.shape == GRID
    assert (float(found.min()), float(found.max())) == (0, 1)


def test_clips_of_a_batch_and_the_network_of_a_task_have_the_same_maps() -> None:
    whole = explain(Task(), clips(), target=1, method="grad_cam", layer="body.0")
    for i, clip in enumerate(clips()):
        assert torch.allclose(explain(Zoo(), clip, 1, "grad_cam", "body.0"), whole[i], atol=1e-4)


def test_a_model_is_explained_by_its_own_choice_unless_another_is_made() -> None:
    assert evidence_of(Zoo(), clips()).method == "tube"
    chosen = SaliencySpec({"clip": "body"}, method="layer_cam")
    assert evidence_of(Zoo(), clips(), spec=chosen).method == "layer_cam"
    assert evidence_of(Zoo(), clips(), spec=SaliencySpec({"clip": "body"})).method == "grad_cam"


def test_positive_maps_show_nothing_where_nothing_speaks_for_the_target() -> None:
    model = Zoo()
    model.head.weight.data[1] = -1
    assert (explain(model, clips(), 1, positive=True) == 0).all()
    assert explain(model, clips(), 1).max() == 1


def test_a_map_that_is_the_same_everywhere_becomes_0() -> None:
    assert stretch(torch.full((2, 1, 2, 2), 3.0), torch.tensor([3.0, 1.0]), torch.tensor([3.0, 5.0])).sum(
        (1, 2, 3)
    ).tolist() == [0, 2]
    assert (made(clip=torch.full((1, 2, 2, 2), 7.0)).tubes().total() == 0).all()


def test_streams_share_one_range_and_add_up_at_the_size_of_the_clip() -> None:
    slow, fast = torch.zeros(1, 1, 2, 2), torch.zeros(1, 4, 2, 2)
    slow[0, 0, 0, 0], fast[0, 3, 1, 1], fast[0, 0, 0, 1] = 4, 1, -1
    evidence = made(slow=slow, fast=fast)
    normalised = evidence.normalised()
    assert float(normalised.maps["slow"].max()) == 1
    assert float(normalised.maps["fast"].max()) == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match="upsample them first"):
        evidence.total()
    whole = evidence.upsample(mode="nearest").total()
    assert whole.shape == (1, 4, 6, 8)
    assert whole[0, :, 0, 0].tolist() == [4] * 4 and float(whole[0, 3, 5, 7]) == 1
    assert [float(each) for each in evidence.contributions().values()] == [1, 0]
    assert [float(each) for each in evidence.shares().values()] == pytest.approx([1 / 1.125, 0.125 / 1.125])


def test_tubes_are_zoomed_and_then_normalised() -> None:
    evidence = made(clip=torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0)))
    for mode in ("spline", "trilinear", "nearest"):
        expected = evidence.upsample(mode=mode).normalised().maps["clip"]
        assert torch.equal(evidence.tubes(mode=mode).maps["clip"], expected)
        assert torch.equal(evidence.of_clip(1).tubes(mode=mode).maps["clip"], expected[1:])


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (4, "classes from 0 to 3, found 4"),
        ([0, -1, 2], "classes from 0 to 3"),
        ([0, 1], "one of each of 3 clips"),
        (torch.ones(5), "weights of 4 outputs"),
        ("true", "found 'true'"),
        (lambda logits: logits, r"a number per clip, \(3,\), found \(3, 4\)"),
    ],
)
def test_targets_that_are_not_there_are_refused(target: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evidence_of(Zoo(), clips(), target, "grad_cam")


def test_what_cannot_be_explained_is_told() -> None:
    with pytest.raises(ValueError, match=r"method: expected one of tube, grad_cam, .* found 'lime'"):
        explain(Zoo(), clips(), method="lime")
    with pytest.raises(ValueError, match=r"clips: expected \(B, C, T, H, W\)"):
        evidence_of(Zoo(), clips()[0])
    with pytest.raises(ValueError, match="or a dict with 'logits', found tuple"):
        evidence_of(Zoo(), clips(), 1, run=lambda video: (video,))
    found = evidence_of(model := Zoo(), clips(), 1, run=lambda video: {"logits": model(video)})
    assert torch.equal(found.total(), evidence_of(model, clips(), 1).total())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"layers": {}}, "at least one stream"),
        ({"head": "linear"}, "found 'linear'"),
        ({"head": "tokens"}, "needs norm"),
        ({"summary": "last"}, "found 'last'"),
    ],
)
def test_a_spec_that_says_too_little_is_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SaliencySpec(**{"layers": {"clip": "body"}} | arguments)
