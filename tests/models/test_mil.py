"""The detector of AR-Net: what it is made of and what it minimises."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.mil import MIL

LENGTHS = torch.tensor([9, 4, 6, 1])
LABEL = torch.tensor([1, 0, 1, 0])
MASK = torch.arange(9) < LENGTHS.unsqueeze(1)


def random_features(views: int = 2, dim: int = 6) -> Tensor:
    features = torch.randn(len(MASK), views, MASK.shape[1], dim, generator=torch.Generator().manual_seed(0))
    return features * MASK[:, None, :, None]


def make_model(**options: object) -> MIL:
    torch.manual_seed(0)
    return MIL(**{"dim": 6, "hidden": 16} | options)


def test_a_video_is_scored_row_by_row_and_views_are_averaged() -> None:
    model, features = make_model(norm="none").eval(), random_features(views=3)
    found = model(features, MASK)["logits"].sigmoid()
    assert found.shape == MASK.shape
    row = features[2, :, 4]  # (V, C)
    each = F.relu(row @ model.fc.weight.T + model.fc.bias) @ model.classifier.weight[0] + model.classifier.bias
    assert found[2, 4].item() == pytest.approx(each.sigmoid().mean().item(), rel=1e-5)


def test_the_order_of_views_does_not_matter_and_one_view_is_its_own_mean() -> None:
    model, features = make_model().eval(), random_features(views=3)
    assert torch.allclose(model(features, MASK)["logits"], model(features.flip(1), MASK)["logits"], atol=1e-6)
    single = model(features[:, :1], MASK)["logits"]
    assert torch.allclose(single, model(features[:, :1].expand(-1, 5, -1, -1), MASK)["logits"], atol=1e-5)


def test_the_layer_norm_makes_scores_independent_of_the_scale_of_the_features() -> None:
    features = random_features() + 3
    for norm, same in (("layer", True), ("none", False)):
        model = make_model(norm=norm).eval()
        once, scaled = (model(each, MASK)["logits"] for each in (features, 100 * features))
        assert torch.allclose(once, scaled, atol=1e-3) == same


def test_the_batch_norm_makes_every_channel_count_alike_by_the_rows_of_training() -> None:
    scale = torch.tensor([0.1, 1.0, 50.0, 1.0, 1.0, 1.0])
    features, found = random_features() + 3, []
    for each in (features, scale * features - 2):
        model = make_model(norm="batch", dropout=0.0)
        in_training = model(each, MASK)["logits"]
        in_evaluation = model.eval()(each, MASK)["logits"]
        assert torch.allclose(in_training[MASK], in_evaluation[MASK], atol=0.2)  # unbiased variance in evaluation
        found.append(in_training[MASK])
    assert torch.allclose(*found, atol=1e-2)
    rows = features.transpose(1, 2)[MASK].flatten(0, 1)
    model = make_model(norm="batch")
    model(features, MASK)
    assert torch.allclose(model.norm.running_mean, rows.mean(0), atol=1e-5)
    assert torch.allclose(model.norm.running_var, rows.var(0), atol=1e-5)


@pytest.mark.parametrize("one_in", [1, 3, 4, 100])
def test_the_loss_is_that_of_the_highest_scores_of_every_video(one_in: int) -> None:
    model = make_model(top_one_in=one_in, variance_weight=0).eval()
    output = model(random_features(), MASK)
    errors = []
    for logits, length, label in zip(output["logits"], LENGTHS.tolist(), LABEL.tolist(), strict=True):
        top = logits[:length].topk(math.ceil(length / one_in)).values
        errors += F.softplus(-top if label else top).tolist()
    terms = model.loss(output, LABEL, MASK)
    assert terms["bce"].item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert terms["variance"] == 0


def test_the_variance_of_normal_videos_is_weighted() -> None:
    features = random_features()
    output = make_model().eval()(features, MASK)
    expected = output["logits"][1, :4].sigmoid().var() / 2  # the other normal video has one row
    for weight in (1.0, 20.0):
        found = make_model(variance_weight=weight).loss(output, LABEL, MASK)["variance"]
        assert found.item() == pytest.approx(weight * expected.item(), rel=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_what_fills_up_changes_neither_scores_nor_loss(norm: str) -> None:
    model, features = make_model(norm=norm, dropout=0.0), random_features()
    other = features + 7 * ~MASK[:, None, :, None]
    once, twice = (model(each, MASK) for each in (features, other))
    assert torch.equal(once["logits"][MASK], twice["logits"][MASK])
    assert model.loss(once, LABEL, MASK) == model.loss(twice, LABEL, MASK)


def test_the_errors_of_evaluation_average_to_the_loss_of_training() -> None:
    model = make_model().eval()
    output = model(random_features(), MASK)
    errors, counted = model.errors(output, LABEL, MASK)
    assert errors.shape == counted.shape == MASK.shape
    assert torch.equal(errors[counted].mean(), model.loss(output, LABEL, MASK)["bce"])


def test_every_parameter_learns() -> None:
    model = make_model()
    sum(model.loss(model(random_features(), MASK), LABEL, MASK).values()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_features_of_another_width_are_refused_with_the_value_to_set() -> None:
    with pytest.raises(ValueError, match=r"model\.dim=6: the features have 8 channels; set model\.dim=8"):
        make_model()(random_features(dim=8), MASK)


@pytest.mark.parametrize(
    "options", [{"norm": "group"}, {"dim": 0}, {"hidden": 0}, {"top_one_in": 0}, {"variance_weight": -1.0}], ids=str
)
def test_settings_out_of_range_are_refused_by_name(options: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}.*expected .*found"):
        make_model(**options)
