"""What the models of the zoo say of themselves is true: exact evidence is complete, every method finds its layers."""

import pytest
import torch

from models.fbil import FBILHead
from models.linear_roi_head import LinearRoIHead
from models.saliency import METHODS, evidence_of, evidence_of_each
from models.saliency.layers import find_layer
from models.vit import VisionTransformer
from tests.models.saliency_networks import same, state_of
from tests.models.test_action_detector import alone, batch, make_detector

COMPLETE = 1e-5
SIZES = {"num_frames": 4, "image_size": 16, "patch_size": 8, "dim": 24, "depth": 2, "num_heads": 3}
POOLINGS = ("mean", "first", "mean_change")


def make_encoder(pooling: str, classes: int = 5, **options: object) -> VisionTransformer:
    torch.manual_seed(0)
    model = VisionTransformer(**SIZES, pooling=pooling, num_classes=classes, head_init_scale=50.0, **options)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return model


def clips() -> torch.Tensor:
    return torch.randn(3, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pooling", ["mean", "mean_change"])
@pytest.mark.parametrize("classes", [0, 5])
def test_evidence_of_tokens_is_exact_and_the_same_in_any_batch(pooling: str, classes: int) -> None:
    model, video = make_encoder(pooling, classes), clips()
    evidence = evidence_of(model, video)
    assert evidence.exact and evidence.completeness_error().max() < COMPLETE
    assert evidence.maps["tokens"].shape == (3, *model.grid)
    for i in range(3):
        found = evidence_of(model, video[i : i + 1]).maps["tokens"][0]
        assert torch.allclose(found, evidence.maps["tokens"][i], atol=1e-4)


def test_evidence_for_what_a_later_detector_makes_of_a_feature_is_exact_too() -> None:
    model, video = make_encoder("mean", classes=0), clips()
    detector = torch.nn.Sequential(torch.nn.Linear(24, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    features = model.eval()(video).detach().requires_grad_()
    [direction] = torch.autograd.grad(detector(features).sum(), [features])
    evidence = evidence_of(model, video, direction, "tube")
    assert torch.allclose(evidence.logit, (features * direction).sum(1), atol=1e-5)
    assert evidence.completeness_error().max() < COMPLETE


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("recompute", [False, True])
def test_every_method_but_exact_evidence_explains_an_encoder(pooling: str, recompute: bool) -> None:
    model, video = make_encoder(pooling, activation_checkpointing=recompute), clips()[:1]
    before = state_of(model)
    for method in METHODS:
        if method == "tube" and pooling == "first":
            with pytest.raises(ValueError, match="takes a head apart"):
                evidence_of(model, video, 1, method)
            continue
        found = next(iter(evidence_of(model, video, 1, method).maps.values()))
        assert found.isfinite().all() and found.std() > 0, method
    assert same(state_of(model), before)


def test_tokens_that_are_not_pooled_are_explained_by_a_function_of_them_or_by_attention() -> None:
    model = make_encoder("none", classes=0)
    found = evidence_of(model, clips(), lambda tokens: tokens[:, 3].square().sum(1), "layer_cam", "blocks.0")
    assert found.maps["blocks.0"].shape == (3, *model.grid)
    assert torch.allclose(evidence_of(model, clips(), method="rollout").maps["tokens"].sum((1, 2, 3)), torch.ones(3))


@pytest.mark.parametrize("options", [{}, {"bias": True, "time_pooling": "max"}, {"scale": "pixels", "aligned": True}])
def test_evidence_of_each_box_and_class_of_a_plain_head_is_exact_and_within_the_box(options: dict) -> None:
    detector, given = make_detector(LinearRoIHead, **options), alone(batch(), 0)
    video, classes = given.pop("video"), detector.head.num_classes
    targets = [actor * classes + label for actor in range(len(given["rois"])) for label in (0, 3)]

    def run(clip: torch.Tensor) -> torch.Tensor:
        return detector(clip, **given)["logits"].flatten().unsqueeze(0)

    for target, evidence in zip(targets, evidence_of_each(detector, video, targets, run=run), strict=True):
        assert evidence.method == "tube" and evidence.completeness_error().max() < COMPLETE
        assert [tuple(each.shape[1:]) for each in evidence.maps.values()] == [(2, 4, 6), (8, 4, 6)]
        left, top, right, bottom = given["rois"][target // classes] * torch.tensor([6, 4, 6, 4])
        rows, columns = torch.arange(4), torch.arange(6)
        near = ((rows > top - 2) & (rows < bottom + 1))[:, None] & ((columns > left - 2) & (columns < right + 1))
        for found in evidence.maps.values():
            assert (found[0, :, ~near] == 0).all() and (found[0, :, near] != 0).any()


def test_interaction_is_explained_by_gradients_on_both_pathways_also_beyond_the_box() -> None:
    detector, given = make_detector(FBILHead), alone(batch(), 0)
    video = given.pop("video")
    before = state_of(detector)
    evidence = evidence_of(detector, video, 1, run=lambda clip: detector(clip, **given)["logits"].flatten()[None])
    assert evidence.method == "layer_cam" and set(evidence.maps) == {"slow", "fast"}
    assert (evidence.maps["slow"][0, :, :, 5] != 0).any()  # the box of actor 0 ends at column 3
    assert same(state_of(detector), before)


def test_names_in_specs_are_layers() -> None:
    for model in (*map(make_encoder, POOLINGS), make_detector(LinearRoIHead), make_detector(FBILHead)):
        spec = model.saliency_spec()
        for name in (*spec.layers.values(), *spec.pooled.values(), *spec.attention, spec.classifier, spec.norm):
            assert name is None or find_layer(model, name)
