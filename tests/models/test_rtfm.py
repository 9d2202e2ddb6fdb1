"""RTFM: videos do not touch each other, the longest features stand for a video, and the terms of the loss."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.anomaly_losses import magnitude_distance
from models.masked_norm import MaskedBatchNorm
from models.rtfm import RTFM, NonLocalBlock

LENGTHS = torch.tensor([25, 12, 31, 7])
LABEL = torch.tensor([1, 0, 1, 0])
MASK = torch.arange(32) < LENGTHS.unsqueeze(1)
DIM = 16


def random_features(views: int = 2, dim: int = DIM) -> Tensor:
    features = torch.randn(len(MASK), views, MASK.shape[1], dim, generator=torch.Generator().manual_seed(0))
    return features * MASK[:, None, :, None]


def make_model(**options: object) -> RTFM:
    torch.manual_seed(0)
    return RTFM(**{"dim": DIM} | options)


def trained(model: RTFM) -> RTFM:
    """A model whose norms do something: other statistics, scales and shifts than at the start."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model.eval()


def test_a_video_in_a_batch_is_scored_as_if_it_were_alone() -> None:
    model, features = trained(make_model()), random_features()
    together = model(features, MASK)
    for video, length in enumerate(LENGTHS.tolist()):
        alone = model(features[video : video + 1, :, :length], MASK[video : video + 1, :length])
        assert torch.allclose(together["logits"][video, :length], alone["logits"][0], atol=1e-4)
        assert torch.allclose(together["magnitude"][video, :length], alone["magnitude"][0], atol=1e-4)


def test_what_fills_up_changes_nothing_in_training_either() -> None:
    features = random_features()
    other = features + 9 * ~MASK[:, None, :, None]
    found = []
    for each in (features, other):
        model = make_model(dropout=0.0).train()
        output = model(each, MASK)
        found.append((output["logits"][MASK], model.temporal.fuse_norm.running_mean))
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_a_masked_norm_is_the_ordinary_one_of_the_rows_that_count() -> None:
    x, mask = torch.randn(3, 4, 6), torch.rand(3, 6) > 0.3
    norm, ordinary = MaskedBatchNorm(4), nn.BatchNorm1d(4)
    found = norm(x, mask).transpose(1, 2)
    assert torch.allclose(found[mask], ordinary(x.transpose(1, 2)[mask]), atol=1e-6)
    assert (found[~mask] == 0).all()
    assert torch.allclose(norm.running_var, ordinary.running_var)
    known = norm.eval()(x, mask)
    assert torch.allclose(known, ordinary.eval()(x) * mask.unsqueeze(1), atol=1e-6) and (known != 0).any()


def test_the_non_local_block_averages_all_rows_by_their_dot_products() -> None:
    block, mask = NonLocalBlock(6).eval(), torch.arange(5) < torch.tensor([[5], [3]])
    x = torch.randn(2, 6, 5) * mask.unsqueeze(1)
    assert torch.equal(block(x, mask), x)  # does nothing at first
    nn.init.ones_(block.norm.weight)
    rows = x[1, :, :3].T

    def linear(conv: nn.Conv1d, values: Tensor) -> Tensor:
        return values @ conv.weight.squeeze(-1).T + conv.bias

    affinity = linear(block.theta, rows) @ linear(block.phi, rows).T / 3
    expected = rows + linear(block.project, affinity @ linear(block.g, rows)) / (1 + block.norm.eps) ** 0.5
    assert torch.allclose(block(x, mask)[1, :, :3].T, expected, atol=1e-5)


def test_a_row_sees_its_surroundings() -> None:
    model, features = trained(make_model()), random_features()
    changed = features.clone()
    changed[2, :, 20] += 1
    near = (model(features, MASK)["logits"] - model(changed, MASK)["logits"]).abs() > 1e-6
    assert near[2, 15:26].all() and not near[[0, 1, 3]].any()


def test_widths_are_those_of_the_published_network() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in RTFM(dim=2048).named_parameters()}
    assert shapes["temporal.near.2.weight"] == (512, 2048, 3)
    assert shapes["temporal.reduce.weight"] == (512, 2048, 1)
    assert shapes["temporal.far.theta.weight"] == (256, 512, 1)
    assert shapes["temporal.fuse.weight"] == (2048, 2048, 3)
    assert [shape for name, shape in shapes.items() if name.startswith("head.") and len(shape) == 2] == [
        (512, 2048),
        (128, 512),
        (1, 128),
    ]
    assert [conv.dilation for conv in make_model().temporal.near] == [(1,), (2,), (4,)]


@pytest.mark.parametrize("dim", [1, 7, 24])
@pytest.mark.parametrize("views", [1, 10])
def test_any_number_of_channels_and_views_is_taken(dim: int, views: int) -> None:
    output = make_model(dim=dim)(random_features(views, dim), MASK)
    assert output["logits"].shape == MASK.shape and output["features"].shape == (4, views, 32, dim)
    assert output["logits"].isfinite().all()


def test_a_tenth_of_the_rows_stands_for_a_video_at_least_one_and_the_longest() -> None:
    model, magnitude = make_model().eval(), torch.rand(MASK.shape)
    selected = model.select(magnitude, MASK)
    assert selected.sum(1).tolist() == [2, 1, 3, 1]
    for row, values, length in zip(selected, magnitude, LENGTHS.tolist(), strict=True):
        assert values[row].min() == values[:length].topk(int(row.sum())).values.min()


def test_in_training_other_rows_get_their_turn() -> None:
    model, magnitude = make_model().train(), torch.rand(MASK.shape)
    longest = make_model().eval().select(magnitude, MASK)
    drawn = torch.stack([model.select(magnitude, MASK) for _ in range(50)])
    assert not (drawn & ~MASK).any()
    assert (drawn & ~longest).any(1).any(1).float().mean() > 0.9
    assert torch.equal(make_model(dropout=0.0).train().select(magnitude, MASK), longest)


def test_the_terms_of_the_loss_are_those_of_the_selected_rows() -> None:
    weights = {"magnitude_weight": 0.5, "sparsity_weight": 0.25, "smoothness_weight": 2.0}
    model = trained(make_model(margin=3.0, **weights))
    output = model(random_features(views=3), MASK)
    scores, selected = output["logits"].sigmoid(), model.select(output["magnitude"], MASK)
    mean_score = torch.stack([row[chosen].mean() for row, chosen in zip(scores, selected, strict=True)])
    features = [rows[:, chosen].mean(1) for rows, chosen in zip(output["features"], selected, strict=True)]  # (V, C)
    anomalous, normal = torch.cat([features[0], features[2]]), torch.cat([features[1], features[3]])
    rows = [scores[0, :25], scores[2, :31]]
    expected = {
        "bce": F.binary_cross_entropy(mean_score, LABEL.float()),
        "magnitude": 0.5 * magnitude_distance(anomalous, normal, 3.0),
        "sparsity": 0.25 * torch.cat(rows).norm(),
        "smoothness": 2.0 * sum(row.diff().square().sum() for row in rows),
    }
    found = model.loss(output, LABEL, MASK)
    assert {name: term.item() for name, term in found.items()} == pytest.approx(
        {name: term.item() for name, term in expected.items()}, rel=1e-4
    )
    errors, counted = model.errors(output, LABEL, MASK)
    assert counted.all() and torch.allclose(errors.mean(), found["bce"])


def test_scores_may_be_smoothed_across_videos_as_published() -> None:
    model = trained(make_model(smooth_across_videos=True, smoothness_weight=1.0))
    output = model(random_features(), MASK)
    flat = torch.cat([output["logits"].sigmoid()[video, : LENGTHS[video]] for video in (0, 2)])
    found = model.loss(output, LABEL, MASK)["smoothness"]
    assert found.item() == pytest.approx(flat.diff().square().sum().item(), rel=1e-5)


def test_a_batch_has_as_many_videos_of_both_kinds() -> None:
    model = make_model()
    with pytest.raises(ValueError, match="found 3 and 1"):
        model.loss(model(random_features(), MASK), torch.tensor([1, 1, 1, 0]), MASK)


def test_every_parameter_learns() -> None:
    model = make_model()
    sum(model.loss(model(random_features(), MASK), LABEL, MASK).values()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_features_of_another_width_are_refused_with_the_value_to_set() -> None:
    with pytest.raises(ValueError, match=r"model\.dim=16: the features have 8 channels; set model\.dim=8"):
        make_model()(random_features(dim=8), MASK)


@pytest.mark.parametrize("options", [{"dim": 0}, {"select_one_in": 0}, {"margin": -1.0}, {"sparsity_weight": -1e-3}])
def test_settings_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=r"expected .*found"):
        make_model(**options)
