"""Batches of tracks within a budget of frames: every track at most once, ranks alike, continued where it was cut."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.frame_budget import CroppedVisit, FrameBudgetBatchSampler
from datamodules.loading import ResumableLoader
from tests.datamodules.test_loading import Recorder, trainer

LENGTHS = [*range(1, 120, 2), 300, 301, *[25] * 30, 900]
BUDGET = 400


class Tracks(Dataset[Tensor]):
    """Returns the visit itself."""

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, visit: CroppedVisit) -> Tensor:
        return torch.tensor(visit)


def sampler(**options: object) -> FrameBudgetBatchSampler:
    return FrameBudgetBatchSampler(**{"lengths": LENGTHS, "budget": BUDGET, "seed": 3} | options)


def epoch_of(made: FrameBudgetBatchSampler, epoch: int) -> list[list[CroppedVisit]]:
    made.set_epoch(epoch)
    return list(made)


def tracks_of(batches: list[list[CroppedVisit]]) -> list[int]:
    return [visit.index for batch in batches for visit in batch]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("epoch", [0, 7])
def test_tracks_are_used_once_and_ranks_have_equally_many_batches(
    world_size: int, drop_last: bool, jitter: float, epoch: int
) -> None:
    ranks = [
        sampler(world_size=world_size, rank=rank, drop_last=drop_last, jitter=jitter) for rank in range(world_size)
    ]
    batches = [epoch_of(rank, epoch) for rank in ranks]
    assert {len(each) for each in batches} == {len(ranks[0])}
    used = [track for each in batches for track in tracks_of(each)]
    assert len(used) == len(set(used)) and (drop_last or len(used) == len(LENGTHS))
    for batch in (batch for each in batches for batch in each):
        assert {visit.epoch for visit in batch} == {epoch}
        (length,) = {visit.length for visit in batch}
        assert length * len(batch) <= BUDGET or len(batch) == 1
        assert all(1 <= length <= LENGTHS[visit.index] for visit in batch)
        assert len(batch) > 1 or length == LENGTHS[batch[0].index]


def test_tracks_of_like_length_share_batches_and_little_is_cropped_away() -> None:
    for jitter, least in ((0.0, 0.93), (0.1, 0.85)):
        batches = epoch_of(sampler(jitter=jitter), 0)
        kept = sum(visit.length for batch in batches for visit in batch) / sum(LENGTHS)
        assert least < kept <= 1
        assert len(batches) < 1.7 * sum(LENGTHS) / BUDGET


def test_a_track_shares_no_batch_with_one_by_which_most_of_it_would_be_cropped_away() -> None:
    batches = epoch_of(sampler(lengths=[100, 99, 80, 74, 60, 20, 16, 3], budget=10_000, jitter=0.0), 0)
    assert sorted(tuple(visit.index for visit in batch) for batch in batches) == [(0, 1, 2), (3, 4), (5, 6), (7,)]


def test_a_batch_that_jitter_fills_with_longer_tracks_keeps_to_the_budget() -> None:
    lengths = [100] * 30 + [80] * 30  # four of the first, and five of the others, fill a batch
    made = sampler(lengths=lengths, jitter=0.5)
    batches = [batch for epoch in range(10) for batch in epoch_of(made, epoch)]
    assert any(min(lengths[visit.index] for visit in batch) * len(batch) > BUDGET for batch in batches)
    assert max(batch[0].length * len(batch) for batch in batches) <= BUDGET


def test_without_jitter_tracks_meet_the_same_ones_and_with_it_others() -> None:
    def meetings(jitter: float) -> list[set[frozenset[int]]]:
        made = sampler(lengths=np.arange(50, 110), jitter=jitter)
        return [{frozenset(visit.index for visit in batch) for batch in epoch_of(made, epoch)} for epoch in range(3)]

    fixed, varied = meetings(0.0), meetings(0.2)
    assert fixed[0] == fixed[1] == fixed[2]
    assert len(varied[0] & varied[1]) < len(varied[0]) / 3


def test_the_number_of_batches_is_that_of_every_epoch() -> None:
    made = sampler(jitter=0.4, world_size=2)
    assert {len(epoch_of(made, epoch)) for epoch in range(10)} == {len(made)}


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    torch.manual_seed(1)
    first = epoch_of(sampler(), 0)
    torch.manual_seed(2)
    assert epoch_of(sampler(), 0) == first
    orders = {str(epoch_of(sampler(seed=seed), epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_with_drop_last_others_are_left_out_in_every_epoch() -> None:
    made = [sampler(lengths=[10] * 7, budget=10, world_size=3, rank=rank, drop_last=True) for rank in range(3)]
    left = [
        set(range(7)) - {track for rank in made for track in tracks_of(epoch_of(rank, epoch))} for epoch in range(12)
    ]
    assert {len(each) for each in left} == {1} and len(set.union(*left)) > 3


def test_too_few_tracks_and_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(
        ValueError, match="2 tracks make 1 batches of 400 frames, fewer than one for each of 3 processes"
    ):
        sampler(lengths=[3, 4], world_size=3, drop_last=True)
    assert len(sampler(lengths=[3, 4], world_size=2)) == 1  # halved
    for wrong in ({"budget": 0}, {"jitter": 1.0}, {"lengths": [4, 0]}):
        with pytest.raises(ValueError, match="expected"):
            sampler(**wrong)


def loader(workers: int = 0, **options: object) -> ResumableLoader:
    return ResumableLoader(
        dataset=Tracks(), batch_sampler=sampler(**options), num_workers=workers, persistent_workers=workers > 0
    )


def visited(made: ResumableLoader, epoch: int) -> list:
    made.batch_sampler.set_epoch(epoch)
    return [batch.tolist() for batch in made]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cut_epoch_continues_with_exactly_the_batches_it_had_left(workers: int) -> None:
    whole = visited(loader(), 4)
    cut = loader(workers)
    cut.batch_sampler.set_epoch(4)
    batches = iter(cut)
    taken = [next(batches).tolist() for _ in range(5)]
    state = cut.state_dict()
    assert state["position"] == 5 and state["epoch"] == 4
    del batches
    resumed = loader(workers)
    resumed.load_state_dict(state)
    assert taken + visited(resumed, 4) == whole
    assert visited(resumed, 5) == visited(loader(), 5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"budget": 500}, r"datamodule.budget=500 x 1 processes: batches of 500 frames, .* batches of 400"),
        ({"world_size": 2}, r"datamodule.budget=400 x 2 processes: batches of 800 frames"),
        ({"world_size": 2, "budget": 200}, r"with 400 frames as budget of a batch, and this one has 200"),
        ({"seed": 4}, r"with 3 as seed of their order, and this one has 4"),
        ({"lengths": [*LENGTHS, 7]}, rf"with {len(LENGTHS)} samples in an epoch, and this one has {len(LENGTHS) + 1}"),
        ({"lengths": [*LENGTHS[:-1], 901]}, "as checksum of the lengths"),
        ({"jitter": 0.2}, "as checksum of the lengths"),
    ],
)
def test_a_run_with_another_order_is_not_continued_within_an_epoch(change: dict, match: str) -> None:
    cut = loader()
    next(iter(cut))
    with pytest.raises(ValueError, match=match):
        resumed = loader(**change)
        resumed.load_state_dict(cut.state_dict())
        visited(resumed, 0)


class Training(Recorder):
    def train_dataloader(self) -> DataLoader:
        return loader()


@pytest.mark.parametrize("steps", [4, len(sampler()), len(sampler()) + 3])
def test_lightning_keeps_the_batches_and_continues_a_cut_run_on_those_it_had_left(tmp_path: Path, steps: int) -> None:
    whole = Training()
    kept = ModelCheckpoint(tmp_path, "at-{step}", every_n_train_steps=steps, save_top_k=-1)
    trainer(tmp_path, max_epochs=2, callbacks=[kept], enable_checkpointing=True).fit(whole)
    assert whole.seen == [
        [list(visit) for visit in batch] for epoch in range(2) for batch in epoch_of(sampler(), epoch)
    ]
    resumed = Training()
    trainer(tmp_path, max_epochs=2).fit(resumed, ckpt_path=tmp_path / f"at-step={steps}.ckpt", weights_only=True)
    assert resumed.seen == whole.seen[steps:]
