"""Numbers for maps: a right map beats a random one and a wrong one, and each number is what its paper says."""

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from metrics.faithfulness import energy_inside, insertion_deletion, pointing_game, random_maps, spearman
from metrics.randomisation import from_the_head, randomisation_check

SIZE = (4, 6, 8)


def clips(count: int = 2) -> Tensor:
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def inside() -> Tensor:
    region = torch.zeros(SIZE, dtype=torch.bool)
    region[1:3, 2:4, 2:6] = True
    return region


def score(changed: Tensor, clip: Tensor) -> Tensor:
    """The mean of a region: nothing else matters."""
    return changed[:, :, inside()].mean((1, 2))


def test_deleting_what_matters_takes_the_score_at_once_and_inserting_it_brings_it_back() -> None:
    video, right = clips(), inside().double().expand(2, *SIZE)
    share = int(inside().sum()) / inside().numel()
    curves = insertion_deletion(score, video, right, torch.zeros_like(video), steps=12)
    whole = score(video, torch.arange(2))
    assert share == pytest.approx(1 / 12)
    assert torch.allclose(curves.deletion[:, 0], whole) and (curves.deletion[:, 1:] == 0).all()
    assert torch.allclose(curves.insertion[:, 1:], whole.unsqueeze(1).expand(-1, 12))
    deletion, insertion = curves.areas()
    assert torch.allclose(deletion, whole / 24) and torch.allclose(insertion, whole * 23 / 24)


def test_a_right_map_beats_a_random_one_and_a_random_one_its_opposite() -> None:
    video, right = clips(), inside().double().expand(2, *SIZE)
    found = [
        insertion_deletion(score, video, maps, torch.zeros_like(video), 8).areas()
        for maps in (right, random_maps(right), -right)
    ]
    deletion, insertion = (torch.stack([pair[i] for pair in found]) for i in range(2))
    assert (deletion.diff(dim=0) > 0).all() and (insertion.diff(dim=0) < 0).all()


def test_a_clip_has_the_same_curves_in_any_batch_and_cells_are_those_of_the_map() -> None:
    video, maps = clips(), torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(1))
    seen = []

    def watched(changed: Tensor, clip: Tensor) -> Tensor:
        seen.append(changed)
        return score(changed, clip)

    whole = insertion_deletion(score, video, maps, torch.zeros_like(video), 6, batch_size=5)
    single = insertion_deletion(watched, video[1:], maps[1:], torch.zeros_like(video[1:]), 6, batch_size=1)
    assert torch.allclose(single.deletion[0], whole.deletion[1]) and torch.allclose(
        single.insertion[0], whole.insertion[1]
    )
    assert len(seen) == 2 * 6  # both ends of both curves are the same two clips
    gone = (seen[1][0, 0] == 0).view(2, 2, 3, 2, 4, 2)
    assert int(gone.all(5).all(3).all(1).sum()) * 8 == int(gone.sum()) == 4 * 8


def test_whole_frames_are_deleted_where_a_map_has_one_cell_per_frame() -> None:
    video = clips()
    maps = torch.tensor([0.0, 3.0, 2.0, 1.0]).view(1, 4, 1, 1).expand(2, 4, 1, 1)
    curves = insertion_deletion(score, video, maps, torch.zeros_like(video), 4)
    assert torch.allclose(curves.deletion[:, 1], video[:, :, 2, 2:4, 2:6].mean((1, 2, 3)) / 2)
    assert curves.deletion[:, 2].tolist() == [0, 0]


def test_the_last_step_may_be_shorter_and_fractions_are_what_was_changed() -> None:
    video, maps = clips(1), torch.arange(10.0).view(1, 1, 1, 10)
    curves = insertion_deletion(score, video, maps, torch.zeros_like(video), steps=4)
    assert curves.fractions.tolist() == pytest.approx([0, 0.3, 0.6, 0.9, 1])


def test_a_map_of_other_clips_and_no_steps_are_refused() -> None:
    video = clips()
    with pytest.raises(ValueError, match=r"maps: expected .* of 2 clips"):
        insertion_deletion(score, video, torch.zeros(1, *SIZE), video)
    with pytest.raises(ValueError, match=r"steps and batch_size: .* found 0 and 8"):
        insertion_deletion(score, video, torch.zeros(2, *SIZE), video, steps=0)


def test_energy_counts_what_speaks_for_the_target_alone() -> None:
    maps, region = torch.zeros(3, *SIZE), inside().expand(3, *SIZE)
    maps[0, 1, 2, 2], maps[0, 0, 0, 0], maps[0, 3, 5, 7] = 3, 1, -9
    maps[1, 1, 2, 2] = 1
    found = energy_inside(maps, region)
    assert found[:2].tolist() == [0.75, 1] and found[2].isnan()
    assert pointing_game(maps, region).tolist() == [True, True, False]


def test_random_maps_are_the_same_for_all_clips_and_change_with_their_seed() -> None:
    maps = torch.zeros(3, *SIZE)
    assert torch.equal(random_maps(maps)[2], random_maps(maps[:1])[0])
    assert not torch.equal(random_maps(maps, 1), random_maps(maps, 2))


def test_rank_correlation_is_scipys_also_with_ties() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 9, (2, 3, 4, 5), generator=generator) for _ in range(2))
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    assert spearman(first, second).tolist() == pytest.approx(expected, abs=1e-12)
    assert spearman(first, first.exp()).tolist() == pytest.approx([1, 1])
    assert spearman(torch.zeros(1, 4), torch.rand(1, 4)).isnan().all()


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Parameter(torch.rand(3))
        self.first, self.second, self.head = nn.Conv3d(3, 16, 3), nn.Conv3d(16, 16, 3), nn.Linear(16, 2)

    def map_of(self, video: Tensor) -> Tensor:
        padded = nn.functional.pad(video * self.scale.view(3, 1, 1, 1), (2,) * 6)
        features = self.second(self.first(padded).relu()).relu()
        return torch.einsum("c, bcthw -> bthw", self.head.weight[0], features)


def test_a_map_of_the_model_is_lost_with_its_weights_and_one_of_the_clip_is_not() -> None:
    model, video = Network(), clips()
    of_the_model = randomisation_check(model, lambda: model.map_of(video), steps=2)
    of_the_clip = randomisation_check(model, lambda: video.mean(1), steps=2)
    assert [name for name, _ in of_the_model] == ["second", ""]
    assert of_the_model[-1][1].abs().max() < 0.8 and of_the_clip[-1][1].min() > 0.999
    assert not torch.equal(of_the_model[0][1], of_the_model[1][1])


def test_a_model_is_as_before_after_it_was_shuffled_also_after_an_error() -> None:
    model, calls = Network(), []
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shuffled = []

    def broken() -> Tensor:
        calls.append(1)
        shuffled.append(not torch.equal(model.head.weight, before["head.weight"]))
        if len(calls) == 3:
            raise RuntimeError("broken")
        return model.map_of(clips())

    with pytest.raises(RuntimeError, match="broken"):
        randomisation_check(model, broken, steps=4)
    assert shuffled == [False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(each.requires_grad for each in model.parameters())


def test_layers_come_from_the_head_down_and_a_model_without_any_is_refused() -> None:
    assert from_the_head(Network()) == ["head", "second", "first", ""]
    with pytest.raises(ValueError, match="found 0 and 4"):
        randomisation_check(nn.Identity(), lambda: torch.zeros(1, 2))
