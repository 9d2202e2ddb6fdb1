"""A detector of active speakers that is killed on two ranks goes on with the tracks it had left."""

from pathlib import Path

import pytest

from datamodules.samples.ego4d import generate
from tests.integrity.test_resume import make, same, visits, weights

RANKS = 2
# A small TalkNet with all that is random: dropout, augmented faces, other voices, batches and the places of crops.
TASK = ["task=talknet", "callbacks=default", "model.widths=[4,4,8,8]", "model.audio_widths=[8,8,8,16]", "model.dim=16"]
TASK += ["model.num_heads=2", "model.face_size=32", "model.tcn_blocks=1", "model.head_width=8"]
TASK += ["datamodule.budget=90", "datamodule.max_len=40", "datamodule.num_workers=0"]
TASK += [f"trainer.devices={RANKS}", "trainer.strategy=ddp_fork"]
# A checkpoint after every second batch, so that a kill loses work that has to be done again.
OFTEN = [
    "monitor.metric=val/loss",
    "monitor.mode=min",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=2",
    "callbacks.last.interval_s=0",
]
# Within an epoch, in validation, within the second epoch; each in the run that continues the one before.
MOMENTS = [["train_batch_end", 0, 2], ["validation_batch_end", 0, 0], ["train_batch_end", 1, 2]]


@pytest.mark.slow
def test_batches_by_a_budget_of_frames_go_on_where_two_ranks_were_killed(tmp_path: Path) -> None:
    generate(tmp_path / "small", num_training=6, num_validation=2, seconds=4, size=(120, 160))
    line = [*TASK, *OFTEN, f"datamodule.root={tmp_path / 'small'}", f"paths.data={tmp_path}"]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    jobs = [{"run": str(straight), "overrides": line, "kill": None}]
    jobs += [{"run": str(killed), "overrides": [*line, "ckpt_path=last"], "kill": kill} for kill in [*MOMENTS, None]]
    assert make(jobs) == [0, *[-9] * len(MOMENTS), 0]
    steps = visits(straight)
    assert visits(killed) == steps
    assert {rank for _, rank in steps} == set(range(RANKS))
    for epoch in (0, 1):
        seen = [index for step in steps.values() if step["epoch"] == epoch for index in step["index"]]
        assert len(seen) == len(set(seen)) > 10 * RANKS
    assert same(weights(killed), weights(straight))
