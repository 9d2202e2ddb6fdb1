"""Kill a process that saves checkpoints, again and again: ``python benchmarks/kill_loop.py --kills 200``.

A process saves a growing step number in a loop and is killed with SIGKILL at a random moment. After every kill the
checkpoint must be whole, hold one step alone, and be no older than the last one whose saving had returned. The table
says how far the saving had come when it was killed.
"""

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from core.atomic import PARTIALS
from core.checkpoint.reading import FOLDER, read_checkpoint, resolve_checkpoint
from core.checkpoint.sums import recorded_sums
from core.checkpoint.writing import probe_folder, write_checkpoint

VALUES = 50_000  # of one tensor, 200 kB: writing it takes about as long as what comes around it
LONGEST_S = 0.06  # a process lives as long as a few savings take
STEP_BYTES = 8


def content(step: int) -> dict:
    """A checkpoint all of whose parts say which step it is."""
    config = {"task": {"step": step}, "model": {}}
    return {"state_dict": {"weight": torch.full((VALUES,), float(step))}, "config": config, "global_step": step}


def save_for_ever(path: Path, step: int, told: int) -> None:
    """Save one step after the other; tell the pipe ``told`` of each that is done."""
    while True:
        write_checkpoint(content(step), path)
        os.write(told, step.to_bytes(STEP_BYTES, "little"))
        step += 1


def kill_once(path: Path, step: int, seconds: float) -> int:
    """Start a process that saves from ``step`` on, and kill it after ``seconds``; the last step it said was saved."""
    listen, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(listen)
            save_for_ever(path, step, told)
        finally:
            os._exit(1)
    os.close(told)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(listen, "rb") as pipe:
        done = pipe.read()
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"the saving process ended by itself after step {step}, status {status}")
    return int.from_bytes(done[-STEP_BYTES:], "little") if done else step - 1


def kill_loop(run: Path, kills: int, seed: int = 0) -> dict[str, int]:
    """Kill a saving process ``kills`` times, and look at the checkpoint each time.

    Returns:
        How often it was killed ``writing`` the file, ``between`` the file and its sum, or elsewhere; and the ``steps``
        that were saved.

    Raises:
        RuntimeError: When a checkpoint was lost or held parts of two.
    """
    path, chance, moments = run / FOLDER / "last.ckpt", random.Random(seed), Counter()
    probe_folder(path.parent)
    saved = 0
    for number in range(kills):
        done = kill_once(path, saved + 1, chance.uniform(0, LONGEST_S))
        leftovers = list(path.parent.glob(PARTIALS))
        moment = "writing" if any(".ckpt" in one.name for one in leftovers) else "elsewhere"
        moments["between" if len(recorded_sums(path)) > 1 else moment] += 1
        found = resolve_checkpoint("last", run, "fit")
        if found != path:
            if done == 0:
                continue  # killed before the first was written
            raise RuntimeError(f"kill {number}: {path} is gone, {found} was found")
        checkpoint = read_checkpoint(path)
        step, weight = checkpoint["global_step"], checkpoint["state_dict"]["weight"]
        if not step == checkpoint["config"]["task"]["step"] == weight.min() == weight.max():
            raise RuntimeError(f"kill {number}: {path} holds parts of several steps")
        if step < done:
            raise RuntimeError(f"kill {number}: step {done} was saved, but {path} holds step {step}")
        if number % 2:
            probe_folder(path.parent)  # as the next run does; else the next saving finds what was left
        saved = step
    return {**{moment: moments[moment] for moment in ("writing", "between", "elsewhere")}, "steps": saved}


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a process that saves checkpoints, again and again.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one line for programs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counted = kill_loop(Path(folder), given.kills, given.seed)
    if given.json:
        print(json.dumps(counted))
        return
    print(f"{given.kills} kills in {time.monotonic() - started:.0f} s, every checkpoint whole")
    for name, count in counted.items():
        print(f"  {name:<10} {count}")


if __name__ == "__main__":
    main()
