"""Exact evidence adds up to the logit, places are those it came from, and a head that is another is noticed."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.mil import MIL
from models.rtfm import RTFM
from models.saliency import SaliencySpec, evidence_of, evidence_of_each
from models.saliency.exact import chosen_rows, pooled_linear, pooled_tokens
from tests.models.saliency_networks import GRID, POOLED, Pooled, clips

COMPLETE = 1e-5


@pytest.mark.parametrize("target", ["predicted", 2, [0, 3, 1], torch.tensor([1.0, -1.0, 0.0, 0.5])])
def test_tubes_add_up_to_what_is_explained(target: object) -> None:
    model, video = Pooled(), clips()
    evidence = evidence_of(model, video, target, spec=POOLED)
    assert evidence.exact and evidence.method == "tube"
    assert evidence.completeness_error().max() < COMPLETE
    logits = model.eval()(video)
    if isinstance(target, Tensor):
        assert torch.allclose(evidence.logit, logits @ target, atol=1e-5)
        assert evidence.classes is None
    else:
        expected = logits.argmax(1) if target == "predicted" else torch.tensor(target).expand(3)
        assert evidence.classes.tolist() == expected.tolist()
        assert torch.allclose(evidence.logit, logits.gather(1, expected.unsqueeze(1)).squeeze(1), atol=1e-5)


def test_why_one_class_rather_than_another_is_the_difference_of_their_maps() -> None:
    model, video = Pooled(), clips()
    one, other, both = evidence_of_each(model, video, [1, 2, torch.tensor([0.0, 1.0, -1.0, 0.0])], spec=POOLED)
    assert torch.allclose(one.maps["clip"] - other.maps["clip"], both.maps["clip"], atol=1e-6)


def test_a_tube_is_the_weighted_sum_of_the_channels_at_each_place() -> None:
    model, video = Pooled(), clips()
    features = model.eval().body(video)
    expected = torch.einsum("c, bcthw -> bthw", model.head.weight[2], features)
    assert torch.allclose(evidence_of(model, video, 2, spec=POOLED).maps["clip"], expected, atol=1e-5)


def test_a_mirrored_clip_has_the_mirrored_tube_if_the_network_does_not_know_left_from_right() -> None:
    model, video = Pooled(), clips()
    kernel = model.body[0].weight
    kernel.data = (kernel + kernel.flip(-1)).detach() / 2
    plain, mirrored = (evidence_of(model, each, 1, spec=POOLED).maps["clip"] for each in (video, video.flip(-1)))
    assert torch.allclose(plain.flip(-1), mirrored, atol=1e-6)
    assert not torch.allclose(plain, mirrored, atol=1e-3)


def test_a_head_that_is_not_what_is_said_of_it_is_refused() -> None:
    class Skewed(Pooled):
        def forward(self, video: Tensor) -> Tensor:
            return super().forward(video).square()

    with pytest.raises(ValueError, match="Skewed does not compute what its saliency_spec says"):
        evidence_of(Skewed(), clips(), 1, spec=POOLED)


def test_tubes_need_a_head_and_a_linear_target() -> None:
    headless = replace(POOLED, head=None)
    with pytest.raises(ValueError, match="Pooled; choose another method"):
        evidence_of(Pooled(), clips(), 1, "tube", spec=headless)
    with pytest.raises(ValueError, match="for a function choose another method"):
        evidence_of(Pooled(), clips(), lambda logits: logits.max(1).values, "tube", spec=POOLED)


def test_each_pathway_gets_its_share_of_the_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    slow, fast = (torch.randn(2, *shape, generator=generator) for shape in ((6, 2, 3, 3), (4, 8, 3, 3)))
    weight = torch.randn(2, 10, generator=generator)
    maps = pooled_linear({"slow": slow, "fast": fast}, weight)
    means = torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)
    found = sum(each.mean((1, 2, 3)) for each in maps.values())
    assert torch.allclose(found.float(), (means * weight).sum(1), atol=1e-6)
    assert torch.allclose(maps["fast"].float(), (weight[:, 6:, None, None, None] * fast).sum(1), atol=1e-5)
    with pytest.raises(ValueError, match=r"each of 6 \+ 4 channels, found 9"):
        pooled_linear({"slow": slow, "fast": fast}, weight[:, :9])


@pytest.mark.parametrize("affine", [True, False])
def test_tokens_add_up_through_the_norm_of_their_mean(affine: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, weight = (torch.randn(*shape, generator=generator) for shape in ((2, 7, 12), (2, 12)))
    norm = nn.LayerNorm(12, elementwise_affine=affine)
    for parameter in norm.parameters():
        parameter.data.normal_(generator=generator)
    evidence, constant = pooled_tokens(tokens, weight, norm)
    expected = (norm(tokens.mean(1)) * weight).sum(1)
    assert torch.allclose((evidence.mean(1) + constant).float(), expected, atol=1e-5)


def test_a_maximum_counts_at_the_place_it_was_taken_from() -> None:
    class Peaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Identity(), nn.Linear(3, 2)

        def forward(self, video: Tensor) -> Tensor:
            return self.head(self.body(video).amax((2, 3, 4)))

    model, video = Peaks(), torch.zeros(1, 3, *GRID)
    places = [(1, 2, 3), (0, 5, 4), (3, 0, 0)]
    for channel, place in enumerate(places):
        video[0, channel][place] = channel + 1
    spec = SaliencySpec({"clip": "body"}, head="homogeneous", classifier="head")
    evidence = evidence_of(model, video, 1, spec=spec)
    assert evidence.completeness_error().max() < COMPLETE
    found, cells = evidence.maps["clip"][0], video[0, 0].numel()
    for channel, place in enumerate(places):
        expected = model.head.weight[1, channel].item() * (channel + 1)
        assert float(found[place]) / cells == pytest.approx(expected, rel=1e-4)
    assert int((found != 0).sum()) == len(places)


@pytest.mark.parametrize("kind", [MIL, RTFM])
def test_evidence_over_time_is_in_the_rows_that_stand_for_a_video(kind: type[MIL | RTFM]) -> None:
    torch.manual_seed(0)
    model = kind(dim=8).eval()
    mask = torch.arange(24) < torch.tensor([24, 13]).unsqueeze(1)
    output = model(torch.randn(2, 2, 24, 8) * mask[:, None, :, None], mask)
    chosen = model.standing(output, mask)
    maps, logit = chosen_rows(output["logits"], chosen)
    assert chosen.sum(1).tolist() == ([6, 4] if kind is MIL else [2, 1])
    assert (chosen <= mask).all()
    assert torch.allclose(maps.mean(1), logit)
    assert (maps[~chosen] == 0).all()
    expected = torch.stack([row[kept].mean() for row, kept in zip(output["logits"], chosen, strict=True)])
    assert torch.allclose(logit.float(), expected, atol=1e-5)
