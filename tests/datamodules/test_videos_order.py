"""Which clips a split, an epoch and a process get: nothing but the seed decides."""

import logging
from pathlib import Path

import pytest
import torch

from tests.datamodules.library import LENGTHS, clips_of, equal


def test_no_loader_draws_from_the_global_stream(make_videos) -> None:
    """Else a continued training, whose first evaluation makes its loader anew, would drop out other units."""
    datamodule = make_videos(val_fraction=0.4)
    datamodule.setup("predict")
    before = torch.get_rng_state()
    for stage in ("train", "val", "test", "predict"):
        assert list(getattr(datamodule, f"{stage}_dataloader")())
        assert torch.equal(torch.get_rng_state(), before), stage


def test_training_and_validation_part_the_videos_as_the_seed_says(make_videos) -> None:
    splits = []
    for seed in range(8):
        datamodule = make_videos(seed=seed)
        train, val = ({source.name for source in data.sources} for data in (datamodule.train_data, datamodule.val_data))
        assert train | val == set(LENGTHS) and not train & val and len(val) == 1
        again = make_videos(seed=seed)
        assert {source.name for source in again.val_data.sources} == val
        splits.append(tuple(val))
    assert len(set(splits)) > 2


def test_at_least_one_video_is_held_out_and_one_is_left(make_videos) -> None:
    assert len(make_videos(val_fraction=0.01).val_data.sources) == 1
    assert len(make_videos(val_fraction=0.99).train_data.sources) == 1


def test_validation_on_training_videos_is_worth_a_warning(make_videos, library: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        datamodule = make_videos(val_fraction=0.0)
    assert "validation looks at training videos" in caplog.text
    assert len(datamodule.val_data.sources) == len(datamodule.train_data.sources) == len(LENGTHS)
    single = make_videos(root=str(library / "frames"), batch_size=1)
    assert len(single.train_data.sources) == len(single.val_data.sources) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(make_videos, workers: int) -> None:
    random = {"crop": "random_resized", "flip": 0.5, "clips_per_video": 2, "image_size": (32, 48)}
    alone, helped = (make_videos(**random, num_workers=number).train_dataloader() for number in (0, workers))
    for epoch in range(2):
        alone.sampler.set_epoch(epoch)
        helped.sampler.set_epoch(epoch)
        assert equal(alone, helped)


def test_every_epoch_and_every_seed_draws_anew(make_videos) -> None:
    def drawn(seed: int, epoch: int) -> dict:
        data = make_videos(seed=seed, val_fraction=0.0, crop="multi_scale", image_size=32).train_data
        return data[epoch, 2]

    first = drawn(0, 0)
    assert equal([{**first, "boxes": first["index"]}], [{**(again := drawn(0, 0)), "boxes": again["index"]}])
    others = [drawn(0, 1), drawn(1, 0), drawn(1, 1)]
    assert {sample["name"][0] for sample in others} == set(first["name"])
    assert not any(torch.equal(sample["video"], first["video"]) for sample in others)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cut_epoch_continues_with_exactly_the_samples_it_had_left(make_videos, workers: int) -> None:
    options = {"crop": "multi_scale", "image_size": 32, "repeat": 4, "num_workers": workers}
    whole = list(make_videos(**options).train_dataloader())
    cut = make_videos(**options).train_dataloader()
    batches = iter(cut)
    for _ in range(3):
        next(batches)
    resumed = make_videos(**options).train_dataloader()
    resumed.load_state_dict(cut.state_dict())
    assert equal(resumed, whole[3:])


def test_an_index_means_the_same_clip_of_the_same_video_in_every_epoch(make_videos) -> None:
    loader = make_videos(clips_per_video=2, repeat=3, batch_size=3).train_dataloader()
    names: dict[int, set] = {}
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            for index, name in zip(batch["index"].tolist(), batch["name"], strict=True):
                names.setdefault(index, set()).add(name)
    assert sorted(names) == list(range(2 * 3 * 4))
    assert all(len(named) == 1 for named in names.values())


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_leaving_out_finished_videos_changes_no_batch_of_the_others(make_videos, world_size: int) -> None:
    whole = list(make_videos("predict").predict_dataloader())
    assert [batch["name"] for batch in whole] == [["a", "frames/d"], ["scene/b", "scene/c"], ["z"]]
    for finished, left in (({"a"}, [0, 1, 2]), ({"a", "frames/d"}, [1, 2]), ({"z", "scene/b"}, [0, 1]), (LENGTHS, [])):
        found = []
        for rank in range(world_size):
            datamodule = make_videos("predict")
            datamodule.place = lambda rank=rank: (rank, world_size)
            datamodule.leave_out(finished)
            found += [*datamodule.predict_dataloader()]
        found.sort(key=lambda batch: batch["name"])
        assert len(found) == len(left)
        assert not left or equal(found, [whole[place] for place in left])


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_evaluate_every_clip_exactly_once_at_fixed_places(make_videos, world_size: int) -> None:
    datamodule = make_videos("predict", eval_clips=2)
    shares = []
    for rank in range(world_size):
        datamodule.place = lambda rank=rank: (rank, world_size)
        shares.append(clips_of(datamodule.predict_dataloader()))
    assert sorted(index for share in shares for index in share) == list(range(2 * len(LENGTHS)))
    assert datamodule.eval_data.num_clips == 2 * len(LENGTHS)
    together = {index: clip for share in shares for index, clip in share.items()}
    assert together == clips_of(make_videos("test", eval_clips=2, seed=3).test_dataloader())


def test_ranks_share_the_training_videos(make_videos) -> None:
    datamodule = make_videos(val_fraction=0.0, repeat=2, batch_size=1)
    seen = []
    for rank in range(2):
        datamodule.place = lambda rank=rank: (rank, 2)
        seen += [index for batch in datamodule.train_dataloader() for index in batch["index"].tolist()]
    assert sorted(seen) == list(range(2 * len(LENGTHS)))


def test_too_few_videos_for_a_batch_on_every_rank_are_refused(make_videos) -> None:
    datamodule = make_videos()
    datamodule.place = lambda: (2, 3)
    with pytest.raises(ValueError, match="training: 1 videos for a process, fewer than a batch of 2; lower datamodule"):
        datamodule.train_dataloader()
    for rank in range(3):  # also where there would be one, so that no process waits for those that ended
        datamodule.place = lambda rank=rank: (rank, 3)
        with pytest.raises(ValueError, match="validation: 0 videos for a process"):
            datamodule.val_dataloader()
