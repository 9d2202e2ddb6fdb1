"""What the safety of a step costs on a CPU: looking for NaN, and asking the other rank whether to stop.

    python benchmarks/step_overhead.py [--model vit_s] [--image-size 112] [--steps 10]

Prints medians in ms: a training step on one clip, the part of it that `NonFinite` takes, and, with two processes, the
time for which a step waits for `StopOnSignal`, when the answer is read right away and when it is read 20 ms later.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.multiprocessing import spawn
from torch.utils.data import DataLoader

from callbacks.nonfinite import NonFinite
from core.build import build
from core.command_line.zoo import CONF
from core.processes.stopping import StopOnSignal

OPTIMIZER_STEP_S = 0.02  # between the gradients and the end of a step
QUESTIONS = 500


class Steps(LightningModule):
    """Mean feature of clips, pulled towards zero."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.model.forward_features(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-5)


class Timed(NonFinite):
    """Adds up what its own hooks take in a step."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.own: list[float] = []
        self.steps: list[float] = []

    def on_train_batch_start(self, *arguments: Any) -> None:
        self._began = time.perf_counter()
        super().on_train_batch_start(*arguments)
        self._spent = time.perf_counter() - self._began

    def on_before_optimizer_step(self, *arguments: Any) -> None:
        began = time.perf_counter()
        super().on_before_optimizer_step(*arguments)
        self._spent += time.perf_counter() - began

    def on_train_batch_end(self, *arguments: Any) -> None:
        super().on_train_batch_end(*arguments)
        self.own.append(self._spent)
        self.steps.append(time.perf_counter() - self._began)


def nonfinite(model: str, image_size: int, steps: int) -> None:
    """Train on noise and print what is spent on looking for NaN."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(f"model/{model}").model
    config.image_size = image_size
    network = build(config, "model")
    clips = torch.rand(steps, 3, config.get("num_frames", 16), image_size, image_size)
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with tempfile.TemporaryDirectory() as folder:
        timed = Timed(folder)
        trainer = Trainer(accelerator="cpu", devices=1, max_epochs=1, callbacks=[timed], **off)
        trainer.fit(Steps(network), DataLoader(clips))
    own, step = (statistics.median(times[1:]) * 1e3 for times in (timed.own, timed.steps))
    parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    print(f"{model}, {parameters:.0f} million parameters: step {step:.1f} ms, of which NonFinite {own:.2f} ms")


def questions(rank: int, rendezvous: str) -> None:
    """Ask and answer on two ranks, which meet before each question."""
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    stop = StopOnSignal("benchmark")
    stop._group = dist.new_group(backend="gloo")
    for name, pause in (("right away", lambda: None), ("20 ms later", lambda: time.sleep(OPTIMIZER_STEP_S))):
        waited = statistics.median(question(stop, pause) for _ in range(QUESTIONS))
        if rank == 0:
            print(f"two ranks agree, answer read {name}: {waited * 1e3:.3f} ms of the step")
    dist.destroy_process_group()


def question(stop: StopOnSignal, pause: Callable[[], None]) -> float:
    dist.barrier()
    began = time.perf_counter()
    stop._ask()
    asked = time.perf_counter() - began
    pause()
    began = time.perf_counter()
    stop._answer()
    return asked + time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_s")
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    nonfinite(arguments.model, arguments.image_size, arguments.steps)
    with tempfile.TemporaryDirectory() as folder:
        spawn(questions, (f"{folder}/rendezvous",), nprocs=2)


if __name__ == "__main__":
    main()
