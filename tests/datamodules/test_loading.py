"""Order of samples, shares of the ranks, and position in an epoch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.loading import ResumableLoader, Shard, ShardedShuffle, Visit, WholeBatches, seeded
from tests.conftest import REPOSITORY

LENGTH = 24


class Visits(Dataset[Tensor]):
    """Returns the visit itself, so that a batch tells where it came from."""

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, visit: Visit | int) -> Tensor:
        return torch.tensor(visit)


def loader(workers: int = 0, batch_size: int = 2, rank: int = 0, world_size: int = 1) -> ResumableLoader:
    sampler = ShardedShuffle(LENGTH, seed=5, rank=rank, world_size=world_size)
    return ResumableLoader(
        dataset=Visits(),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
    )


def epoch_of(loader: ResumableLoader, epoch: int) -> list:
    loader.sampler.set_epoch(epoch)
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_an_epoch_so_that_every_sample_is_visited_once(world_size: int) -> None:
    shards = [list(ShardedShuffle(LENGTH, 0, rank, world_size)) for rank in range(world_size)]
    assert {len(shard) for shard in shards} == {LENGTH // world_size}
    assert sorted(index for shard in shards for _, index in shard) == list(range(LENGTH))


def test_what_does_not_divide_is_left_out_and_differs_between_epochs() -> None:
    left_out = set()
    for epoch in range(20):
        samplers = [ShardedShuffle(7, 0, rank, 3) for rank in range(3)]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        visited = [index for sampler in samplers for _, index in sampler]
        assert len(visited) == len(set(visited)) == 6
        left_out |= set(range(7)) - set(visited)
    assert len(left_out) > 3


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[Visit]:
        sampler = ShardedShuffle(LENGTH, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    torch.manual_seed(1)
    first = order(0, 0)
    torch.manual_seed(2)
    assert order(0, 0) == first
    assert len({tuple(index for _, index in order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert {epoch for epoch, _ in order(0, 2)} == {2}


@pytest.mark.parametrize("world_size", [1, 2, 3, 9])
@pytest.mark.parametrize("wanted", [range(11), [0], [3, 10], []])
def test_whole_batches_reach_one_rank_each_and_none_is_made_for_nothing(world_size: int, wanted) -> None:
    ranks = [WholeBatches([place in wanted for place in range(11)], 4, rank, world_size) for rank in range(world_size)]
    loaders = [DataLoader(dataset=Visits(), batch_size=4, sampler=sampler) for sampler in ranks]
    batches = [[index for _, index in batch.tolist()] for loader in loaders for batch in loader]
    assert sorted(batches) == [
        batch for batch in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]) if not set(wanted).isdisjoint(batch)
    ]
    assert [len(list(sampler)) for sampler in ranks] == [len(sampler) for sampler in ranks]


def test_streams_of_neighbouring_numbers_are_unrelated() -> None:
    first = {float(torch.rand((), generator=seeded(*key))) for key in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)]}
    assert len(first) == 4
    assert float(torch.rand((), generator=seeded(3, 4))) == float(torch.rand((), generator=seeded(3, 4)))


@pytest.mark.parametrize("length", [1, 7, 24])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_visits_every_sample_exactly_once(length: int, world_size: int) -> None:
    shards = [Shard(length, rank, world_size) for rank in range(world_size)]
    assert sorted(index for shard in shards for _, index in shard) == list(range(length))
    assert [len(list(shard)) for shard in shards] == [len(shard) for shard in shards]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("taken", [1, 5, 11])
def test_a_cut_epoch_continues_with_exactly_the_batches_it_had_left(workers: int, taken: int) -> None:
    whole = epoch_of(loader(), epoch=3)
    cut = loader(workers)
    cut.sampler.set_epoch(3)
    batches = iter(cut)
    delivered = [next(batches).tolist() for _ in range(taken)]
    state = cut.state_dict()
    del batches
    resumed = loader(workers)
    resumed.load_state_dict(state)
    assert delivered + epoch_of(resumed, 3) == whole
    assert epoch_of(resumed, 4) == epoch_of(loader(), 4)


def test_batches_that_workers_made_ahead_do_not_count() -> None:
    ahead = loader(workers=2)
    next(iter(ahead))
    assert ahead.state_dict() == {"epoch": 0, "position": 2, "batch": 2, "length": LENGTH, "seed": 5}


def test_a_finished_epoch_is_not_continued_in_the_next_one() -> None:
    first = loader()
    epoch_of(first, 0)
    resumed = loader()
    resumed.load_state_dict(first.state_dict())
    assert epoch_of(resumed, 1) == epoch_of(loader(), 1)


def test_an_epoch_that_was_left_early_does_not_shorten_the_next_one() -> None:
    early = loader(workers=1)
    for epoch in range(3):
        early.sampler.set_epoch(epoch)
        batches = iter(early)
        next(batches)
        del batches
    assert epoch_of(early, 3) == epoch_of(loader(), 3)


def test_a_run_may_continue_with_as_many_samples_on_other_ranks() -> None:
    cut = loader(batch_size=4)
    batches = iter(cut)
    visited = [index for _ in range(3) for _, index in next(batches).tolist()]
    rest = []
    for rank in range(2):
        resumed = loader(batch_size=2, rank=rank, world_size=2)
        resumed.load_state_dict(cut.state_dict())
        rest += [index for batch in epoch_of(resumed, 0) for _, index in batch]
    assert sorted(visited + rest) == list(range(LENGTH))


def test_a_run_with_other_batches_is_not_continued() -> None:
    cut = loader(batch_size=4)
    with pytest.raises(ValueError, match=r"batch_size=3 x 2 processes: batches of 6 .* batches of 4"):
        loader(batch_size=3, world_size=2).load_state_dict(cut.state_dict())


def test_the_epoch_reaches_workers_that_live_on() -> None:
    lasting = loader(workers=2)
    for epoch in (0, 1, 2):
        batches = epoch_of(lasting, epoch)
        assert {visit[0] for batch in batches for visit in batch} == {epoch}


def test_making_an_iterator_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch_of(loader(workers=1), 0)
    assert torch.equal(torch.get_rng_state(), before)


class Recorder(LightningModule):
    """Trains one number, and writes down what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen.append(batch.tolist())
        return self.weight * batch.float().mean()

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, **options: object) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    plain = {"accelerator": "cpu", "devices": 1, "use_distributed_sampler": False, "enable_checkpointing": False}
    return Trainer(default_root_dir=folder, **quiet | plain | options)


class Loaders(Recorder):
    """Makes its loader inside the hook, as a datamodule does: Lightning then knows the arguments."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self.workers = workers

    def train_dataloader(self) -> DataLoader:
        return loader(self.workers)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("steps", [5, 12, 15, 24])
def test_lightning_continues_a_cut_run_on_the_batches_it_had_left(tmp_path: Path, workers: int, steps: int) -> None:
    whole = Loaders(workers)
    kept = ModelCheckpoint(tmp_path, "at-{step}", every_n_train_steps=steps, save_top_k=-1)
    trainer(tmp_path, max_epochs=3, callbacks=[kept], enable_checkpointing=True).fit(whole)
    resumed = Loaders(workers)
    trainer(tmp_path, max_epochs=3).fit(resumed, ckpt_path=tmp_path / f"at-step={steps}.ckpt", weights_only=True)
    assert resumed.seen == whole.seen[steps:]
    assert torch.equal(resumed.weight, whole.weight)


def test_lightning_continues_after_epochs_that_a_limit_made_shorter(tmp_path: Path) -> None:
    whole = Loaders(0)
    trainer(tmp_path, max_epochs=4, limit_train_batches=5).fit(whole)
    cut = Loaders(0)
    first = trainer(tmp_path, max_epochs=2, limit_train_batches=5)
    first.fit(cut)
    first.save_checkpoint(tmp_path / "cut.ckpt")
    resumed = Loaders(0)
    again = trainer(tmp_path, max_epochs=4, limit_train_batches=5)
    again.fit(resumed, ckpt_path=tmp_path / "cut.ckpt", weights_only=True)
    assert cut.seen + resumed.seen == whole.seen


def test_overfitting_repeats_the_same_samples(tmp_path: Path) -> None:
    task = Loaders(0)
    trainer(tmp_path, max_epochs=3, overfit_batches=2).fit(task)
    assert task.seen == [[0, 1], [2, 3]] * 3


@pytest.mark.parametrize("rank", [0, 1])
def test_overfitting_evaluates_on_a_process_only_its_share(tmp_path: Path, rank: int) -> None:
    class Evaluated(Loaders):
        def validation_step(self, batch: Tensor, batch_idx: int) -> None:
            self.visits = [*getattr(self, "visits", []), *batch[:, 1].tolist()]

        def val_dataloader(self) -> DataLoader:
            return DataLoader(dataset=Visits(), batch_size=2, sampler=Shard(LENGTH, rank, 2))

    task = Evaluated(0)
    trainer(tmp_path, max_epochs=1, overfit_batches=2, num_sanity_val_steps=0).fit(task)
    assert task.visits == [rank, rank + 2, rank + 4, rank + 6]


def test_prediction_can_rebuild_the_loader(tmp_path: Path) -> None:
    evaluation = DataLoader(dataset=Visits(), batch_size=5, sampler=Shard(LENGTH))
    batches = trainer(tmp_path).predict(Recorder(), evaluation)
    assert [index for batch in batches for _, index in batch.tolist()] == list(range(LENGTH))


def test_a_loader_that_something_still_holds_does_not_keep_the_program_from_ending() -> None:
    program = (
        "import builtins\n"
        "from torch.utils.data import DataLoader\n"
        "from datamodules.loader_workers import leave_signals_to_the_main_process as ignore\n"
        "loader = DataLoader(range(8), num_workers=2, persistent_workers=True, worker_init_fn=ignore)\n"
        "builtins.kept = iter(loader)\n"
        "next(builtins.kept)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, timeout=60, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
