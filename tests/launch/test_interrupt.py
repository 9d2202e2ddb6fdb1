"""Ctrl-C in the middle of a training: nothing is lost, and nothing pretends to be finished."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="process groups of POSIX")]
DEADLINE_S = 240


@pytest.mark.parametrize("devices", [1, 2])
def test_ctrl_c_ends_a_training_with_a_checkpoint(devices: int, sample_cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "focusmae" / "stopped"
    command = [sys.executable, "train.py", "task=focusmae", "run_id=stopped", "callbacks=[default]"]
    command += [f"paths.logs={tmp_path}", f"paths.data={sample_cache}", "trainer.accelerator=cpu", "model.depth=1"]
    command += [f"trainer.devices={devices}", "trainer.log_every_n_steps=2"]
    with (tmp_path / "printed.txt").open("w") as printed:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            until = time.monotonic() + DEADLINE_S
            while not (run / "metrics.csv").exists() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.2)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the job gets it
            code = process.wait(timeout=DEADLINE_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    said = (tmp_path / "printed.txt").read_text()
    assert code != 0, said
    assert "run_id=stopped ckpt_path=last" in said, said
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < checkpoint["global_step"] < 110
    assert f"stopped after step {checkpoint['global_step']}" in said
