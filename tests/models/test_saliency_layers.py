"""A model is looked at and left as it was, whatever happens; a layer that is not there is named with those that are."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from models.saliency import METHODS, UnknownLayerError, evidence_of
from models.saliency.layers import Capture, as_volume, explaining, find_layer, list_layers
from tests.models.saliency_networks import POOLED, Pooled, clips, same, state_of

PLAIN = [method for method in METHODS if "roll" not in method and method != "legrad"]  # without attention


def test_an_unknown_layer_is_named_with_the_nearest_and_all_others() -> None:
    with pytest.raises(UnknownLayerError, match=r"Pooled has no layer 'boddy'; did you mean body") as caught:
        evidence_of(Pooled(), clips(), 1, "grad_cam", "boddy")
    assert "body, body.0-2, dropout, head" in str(caught.value)
    with pytest.raises(UnknownLayerError, match=r"no saliency_spec\): give layer=NAME, one of body, body.0-2"):
        evidence_of(Pooled(), clips(), 1)
    with pytest.raises(UnknownLayerError):
        find_layer(Pooled(), "")


def test_numbered_layers_are_listed_as_one() -> None:
    names = ["stem", "blocks", *(f"blocks.{i}{part}" for i in range(12) for part in ("", ".attn", ".mlp.3")), "res4.0"]
    assert list_layers(names) == ["stem", "blocks", "blocks.0-11", "blocks.0-11.attn", "blocks.0-11.mlp.3", "res4.0"]


@pytest.mark.parametrize("method", PLAIN)
@pytest.mark.parametrize("training", [True, False])
def test_nothing_of_a_model_is_changed(method: str, training: bool) -> None:
    model = Pooled().train(training)
    model.body[1].eval()  # modes that differ from that of the whole
    model.head.bias.requires_grad_(False)
    model(clips()).sum().backward()
    gradients = [None if each.grad is None else each.grad.clone() for each in model.parameters()]
    before = state_of(model)
    evidence_of(model, clips(), 1, method, spec=POOLED)
    assert same(state_of(model), before)
    assert same([each.grad for each in model.parameters()], gradients)


@pytest.mark.parametrize("method", PLAIN)
def test_nothing_of_a_model_is_changed_by_an_error(method: str) -> None:
    model = Pooled().train()
    before = state_of(model)

    def run(video: Tensor) -> Tensor:
        model(video)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        evidence_of(model, clips(), 1, method, spec=POOLED, run=run)
    assert same(state_of(model), before)


def test_a_layer_that_is_missing_among_several_leaves_no_hook_on_the_others() -> None:
    model = Pooled()
    before = state_of(model)
    with pytest.raises(UnknownLayerError):
        evidence_of(model, clips(), 1, "grad_cam", {"one": "body", "two": "nobody"})
    assert same(state_of(model), before)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, nullcontext])
def test_the_mode_around_does_not_matter(around: type) -> None:
    model = Pooled()
    expected = [evidence_of(model, clips(), 1, method, spec=POOLED).total() for method in PLAIN]
    with around():
        found = [evidence_of(model, clips().clone(), 1, method, spec=POOLED).total() for method in PLAIN]
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_autocast_does_not_round_what_is_explained() -> None:
    model = Pooled()
    with torch.autocast("cpu", torch.bfloat16):
        found = evidence_of(model, clips(), 1, spec=POOLED)
    assert found.completeness_error().max() < 1e-6
    assert torch.equal(found.logit, evidence_of(model, clips(), 1, spec=POOLED).logit)


def test_what_works_in_place_after_a_layer_does_not_change_what_was_seen() -> None:
    model, video = Pooled().eval(), clips()
    evidence = evidence_of(model, video, 1, "hires_cam", "body.1")  # the ReLU after it works in place
    with torch.no_grad():
        seen = model.body[1](model.body[0](video))
    slope = (seen > 0) * model.head.weight[1].view(1, -1, 1, 1, 1) / seen[0, 0].numel()
    assert torch.allclose(evidence.maps["body.1"], (seen * slope).sum(1), atol=1e-6)
    assert (seen < 0).any()


def test_what_lies_before_a_layer_is_kept_out_of_the_graph() -> None:
    model = Pooled()
    with explaining(model), Capture(model, {"clip": "body"}) as capture:
        model(clips())
        assert capture.take()["clip"].is_leaf


def test_a_layer_runs_once_and_returns_a_tensor() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.never, self.pair = nn.Identity(), nn.Identity(), nn.Identity()

        def forward(self, video: Tensor) -> Tensor:
            self.pair((video, video))
            return self.twice(self.twice(video)).flatten(1)

    for layer, said in (("twice", "ran 2 times"), ("never", "did not run"), ("pair", "found tuple")):
        with pytest.raises(ValueError, match=f"layer {layer}: .*{said}"):
            evidence_of(Odd(), clips(), 1, "grad_cam", layer)


def test_outputs_of_layers_are_laid_out_as_volumes() -> None:
    frames = torch.arange(2 * 3 * 5.0).view(2 * 3, 5, 1, 1)  # frames of two clips as a batch, as TalkNet has them
    assert as_volume(frames, 2, None, "").shape == (2, 5, 3, 1, 1)
    assert torch.equal(as_volume(frames, 2, None, "")[1, :, 2, 0, 0], frames[5, :, 0, 0])
    tokens = torch.arange(2 * 7 * 4.0).view(2, 7, 4)  # a class token, then 1 x 2 x 3 others
    volume = as_volume(tokens, 2, (1, 2, 3), "")
    assert torch.equal(volume[1, :, 0, 1, 2], tokens[1, 6])
    assert torch.equal(volume[1, :, 0, 0, 0], tokens[1, 1])
    with pytest.raises(ValueError, match="layer x: it returns tokens"):
        as_volume(tokens, 2, None, "x")
    with pytest.raises(ValueError, match=r"layer x: expected tokens of the grid \(2, 2, 3\)"):
        as_volume(tokens, 2, (2, 2, 3), "x")
    with pytest.raises(ValueError, match="layer x: expected"):
        as_volume(tokens.flatten(1), 2, None, "x")
