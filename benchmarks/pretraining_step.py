"""Step time of masked pretraining with dual masks against the same step computed densely, in one run.

The dense step is what a plain implementation costs: it takes every token through the encoder, puts the mask token in
place of the hidden ones, takes every token through the decoder, and picks what counts in the loss. Both steps have the
same weights, masks, targets and loss terms, and are timed in turn, so that a change of the machine's speed meets both.

    python benchmarks/pretraining_step.py                                     # one clip on the CPU
    python benchmarks/pretraining_step.py --device cuda --model videomae_v2_vit_s --batch-size 32
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from hydra import compose, initialize_config_dir
from lightning.fabric.utilities.throughput import get_available_flops
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from core.build import build
from core.command_line.zoo import CONF
from models.masked_autoencoder import MaskedAutoencoder
from models.masking import gather_tokens
from models.reconstruction import normalised_targets, reconstruction_loss, token_errors


def make_model(name: str, image_size: int | None) -> MaskedAutoencoder:
    """Build a model config, at will for another image size."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(f"model/{name}").model
    if image_size is not None:
        config.image_size = image_size
    return build(config, "model")


def masked_step(model: MaskedAutoencoder, video: Tensor, noise: Tensor) -> Tensor:
    """Loss of a step as the model computes it."""
    output = model(video, noise=noise)
    target = gather_tokens(normalised_targets(video, model.tubelet), output["index"])
    return reconstruction_loss(token_errors(output["prediction"], target), output["counted"])


def dense_step(model: MaskedAutoencoder, video: Tensor, noise: Tensor) -> Tensor:
    """Loss over the same tokens when every token passes through encoder and decoder."""
    hidden, not_decoded = model.make_masks(noise)
    tokens = model.encoder_to_decoder(model.encoder.forward_tokens(video))
    tokens = torch.where(hidden.unsqueeze(-1), model.mask_token.to(tokens.dtype), tokens)
    prediction = model.decoder(tokens + model.decoder_positions.to(tokens.dtype), model.num_tokens)
    counted = hidden if not_decoded is None else hidden & ~not_decoded
    return reconstruction_loss(token_errors(prediction, normalised_targets(video, model.tubelet)), counted)


def training_step(step: Callable, model: MaskedAutoencoder, video: Tensor, noise: Tensor, dtype: torch.dtype) -> None:
    """Forward, loss and backward."""
    model.zero_grad(set_to_none=True)
    autocast = nullcontext() if dtype == torch.float32 else torch.autocast(video.device.type, dtype=dtype)
    with autocast:
        loss = step(model, video, noise)
    loss.backward()


def seconds(run: Callable[[], None], device: torch.device) -> float:
    """Time one call to its end on the device."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronise()
    start = time.perf_counter()
    run()
    synchronise()
    return time.perf_counter() - start


def count_flops(step: Callable, name: str, image_size: int | None, batch_size: int) -> int:
    """Count the floating-point operations of a training step without computing it."""
    with torch.device("meta"):
        model = make_model(name, image_size)
        video = torch.empty(batch_size, 3, model.num_frames, *model.image_size)
        noise = torch.empty(batch_size, model.noise_size)
        with FlopCounterMode(display=False) as counter:
            training_step(step, model, video, noise, torch.float32)
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="videomae_v2_vit_s", help="a pretraining config of conf/model")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--batch-size", type=int, default=1, help="clips per step")
    parser.add_argument("--image-size", type=int, help="side of a frame in pixels; the model's own if not given")
    parser.add_argument("--steps", type=int, default=3, help="timed steps; the median counts")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="bfloat16 on accelerators if not given")
    args = parser.parse_args()

    device = torch.device(args.device)
    dtype = getattr(torch, args.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    torch.manual_seed(0)
    model = make_model(args.model, args.image_size).to(device)
    video = torch.rand(args.batch_size, 3, model.num_frames, *model.image_size, device=device)
    noise = torch.rand(args.batch_size, model.noise_size, device=device)
    steps = {"dual masks": masked_step, "dense": dense_step}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(args.steps + 1):
        for name, step in steps.items():
            elapsed = seconds(lambda step=step: training_step(step, model, video, noise, dtype), device)
            if i:  # the first round warms up
                times[name].append(elapsed)

    peak = get_available_flops(device, dtype) if device.type == "cuda" else None
    print(f"{args.model}: {args.batch_size} x {tuple(video.shape[1:])} on {device}, {dtype}, median of {args.steps}")
    for name, step in steps.items():
        median = statistics.median(times[name])
        flops = count_flops(step, args.model, args.image_size, args.batch_size)
        speed = f"{flops / median / 1e12:.2f} TFLOP/s" + (f", MFU {flops / median / peak:.1%}" if peak else "")
        print(f"  {name:10s} {median * 1e3:9.1f} ms, {flops / 1e9:9.1f} GFLOPs, {speed}")
    print(f"  dense / dual masks: {statistics.median(times['dense']) / statistics.median(times['dual masks']):.2f}")


if __name__ == "__main__":
    main()
