"""FBIL: the context of a clip encoded once against once per actor, in one run; and what a whole training step costs.

Published code repeats the cells of a clip for each of its actors and encodes every copy. Both heads here have the same
weights, features, masks and logits, and are timed in turn, so that a change of the machine's speed meets both. A step
is forward and backward.

    python benchmarks/fbil.py                                                     # heads, on the CPU
    python benchmarks/fbil.py --device cuda --whole --image-size 256 340          # and whole steps
"""

import argparse
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from hydra import compose, initialize_config_dir
from lightning.fabric.utilities.throughput import get_available_flops
from pretraining_step import seconds
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from core.build import build
from core.command_line.zoo import CONF
from models.action_detector import ActionDetector
from models.fbil import BRANCHES, FBILHead
from models.interaction import Seats


def make_model(name: str) -> ActionDetector:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build(compose(f"model/{name}").model, "model")


def boxes(actors: int, clips: int, device: torch.device) -> dict[str, Tensor]:
    """As many actors in every clip, somewhere."""
    corners = torch.rand(clips * actors, 2, 2, generator=torch.Generator().manual_seed(0)).sort(1).values
    clip = torch.arange(clips).repeat_interleave(actors)
    return {"rois": corners.flatten(1).to(device), "clip": clip.to(device)}


def encoded_once(head: FBILHead, given: dict) -> Tensor:
    return head(**given)["logits"]


def encoded_per_actor(head: FBILHead, given: dict) -> Tensor:
    """Logits of a head that takes each actor for the only one of a clip of its own, behind the masks of all."""
    clip = given["clip"]
    place = head.place(*(given[name] for name in ("rois", "clip", "size", "padded")))
    plane = head.reduce(head.over_time(given["features"]))
    actors = head.pool(plane, place)
    context = head.encode(plane[clip], place.cells[clip])
    weights = head.weigh(actors)
    weights = weights.softmax(1) if head.aggregation == "softmax" else weights.sigmoid()
    seats = Seats.of(torch.arange(len(clip), device=clip.device), len(clip))
    return head.classify(actors, weights, head.interact(actors, seats, context, given["masks"][clip]))


def training_step(logits: Callable[[], Tensor], precision: Callable[[], AbstractContextManager]) -> None:
    with precision():
        loss = logits().float().square().mean()
    loss.backward()


def median_of(steps: dict[str, Callable[[], None]], device: torch.device, count: int) -> dict[str, float]:
    """Seconds of each step, timed in turn; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(count + 1):
        for name, step in steps.items():
            times[name].append(seconds(step, device))
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def compare_heads(head: FBILHead, args: argparse.Namespace, device: torch.device, precision: Callable) -> None:
    """Time both heads with 1, 3 and 8 actors."""
    grid = head.grid(args.image_size)
    features = [torch.randn(1, width, 8, *grid, device=device) for width in head.widths]
    size = torch.tensor([args.image_size], device=device)
    head.eval()  # with dropout, no two encodings are equal
    for actors in (1, 3, 8):
        given = {"features": features, "size": size, "padded": tuple(args.image_size), **boxes(actors, 1, device)}
        noise = torch.rand(1, BRANCHES, *grid, device=device)
        place = head.place(*(given[name] for name in ("rois", "clip", "size", "padded")))
        given["masks"] = head.random_masks(place, noise)
        with torch.no_grad():
            difference = (encoded_once(head, given) - encoded_per_actor(head, given)).abs().max().item()
        kinds = (encoded_once, encoded_per_actor)
        steps = {kind.__name__: partial(training_step, partial(kind, head, given), precision) for kind in kinds}
        once, per_actor = median_of(steps, device, args.steps).values()
        print(
            f"  {actors} actors: once {once * 1e3:8.1f} ms, per actor {per_actor * 1e3:8.1f} ms, "
            f"{per_actor / once:.2f} times as long; logits differ by {difference:.0e}"
        )


def whole_step(model: ActionDetector, args: argparse.Namespace, device: torch.device, precision: Callable) -> None:
    """Time and count a step of backbone and head with three actors per clip."""
    model.train()
    clips, (height, width) = args.batch_size, args.image_size
    video = torch.randn(clips, 3, model.num_frames, height, width, device=device)
    size = torch.tensor([args.image_size] * clips, device=device)
    given = boxes(3, clips, device)

    def step() -> None:
        training_step(lambda: model(video, size=size, **given)["logits"], precision)

    with FlopCounterMode(display=False) as counter:
        step()
    flops = counter.get_total_flops()
    median = median_of({"step": step}, device, args.steps)["step"]
    kind = torch.bfloat16 if args.bfloat16 else torch.float32
    peak = get_available_flops(device, kind) if device.type == "cuda" else None
    speed = f"{flops / median / 1e12:.2f} TFLOP/s" + (f", MFU {flops / median / peak:.1%}" if peak else "")
    print(f"  whole step: {tuple(video.shape)}, {median * 1e3:.1f} ms, {flops / 1e9:.1f} GFLOPs, {speed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fbil_r101", help="a config of conf/model with an FBIL head")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--image-size", type=int, nargs=2, default=(256, 340), help="height and width in pixels")
    parser.add_argument("--whole", action="store_true", help="time whole training steps as well")
    parser.add_argument("--batch-size", type=int, default=1, help="clips of a whole step")
    parser.add_argument("--bfloat16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--steps", type=int, default=5, help="timed steps; the median counts")
    args = parser.parse_args()

    device = torch.device(args.device)
    torch.manual_seed(0)
    model = make_model(args.model).to(device)
    precision = partial(torch.autocast, device.type, torch.bfloat16) if args.bfloat16 else nullcontext
    kind = "bfloat16" if args.bfloat16 else "float32"
    print(f"{args.model}: {args.image_size[0]}x{args.image_size[1]} on {device}, {kind}, median of {args.steps}")
    compare_heads(model.head, args, device, precision)
    if args.whole:
        whole_step(model, args, device, precision)


if __name__ == "__main__":
    main()
