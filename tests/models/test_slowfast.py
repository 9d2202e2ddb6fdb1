"""The backbone of detectors: what its pathways see, what it leaves alone, and what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.padded_clips import cells_outside
from models.slowfast import SlowFast

TINY = {"base_width": 8, "beta_inv": 4, "layers": (1, 1, 1, 1)}
SMALL_SIZE, LARGE_SIZE = (33, 45), (48, 70)


def tiny(**settings: Any) -> SlowFast:
    """A small network in which nothing is at its beginning: all blocks compute something, norms have seen data."""
    torch.manual_seed(0)
    model = SlowFast(**TINY | settings)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, std=0.2)
    return model


def clips(count: int = 1, frames: int = 8, size: tuple[int, int] = SMALL_SIZE) -> Tensor:
    return torch.randn(count, 3, frames, *size, generator=torch.Generator().manual_seed(1))


def norms(model: nn.Module) -> list[nn.BatchNorm3d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]


def test_features_have_a_cell_for_every_16_pixels_begun_and_the_widths_that_are_said() -> None:
    model = tiny()
    slow, fast = model(clips(2, 8, (33, 48)))
    assert (slow.shape, fast.shape) == ((2, 256, 2, 3, 3), (2, 64, 8, 3, 3))
    assert model.widths == (256, 64)
    assert model.stride == 16


def test_published_depths_have_their_blocks() -> None:
    with torch.device("meta"):
        for depth, blocks in ((50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3)), (200, (3, 24, 36, 3))):
            model = SlowFast(depth)
            assert tuple(len(model.get_submodule(f"slow_res{stage}")) for stage in range(1, 5)) == blocks
            assert tuple(len(model.get_submodule(f"fast_res{stage}")) for stage in range(1, 5)) == blocks


def test_the_slow_pathway_sees_every_fourth_frame_or_the_clip_from_end_to_end() -> None:
    assert SlowFast(**TINY).slow_frames(32) == [0, 4, 8, 12, 16, 20, 24, 28]
    assert SlowFast(**TINY, slow_sampling="linspace").slow_frames(32) == [0, 4, 8, 13, 17, 22, 26, 31]
    assert SlowFast(**TINY, slow_sampling="linspace").slow_frames(4) == [0]


@pytest.mark.parametrize("sampling", ["strided", "linspace"])
def test_only_frames_that_a_pathway_samples_reach_it(sampling: str) -> None:
    model, video = tiny(slow_sampling=sampling, fusion_kernel=1), clips(frames=16)
    for module in (model.get_submodule(f"Tconv{stage}") for stage in range(1, 5)):
        nn.init.zeros_(module.weight)
    slow, fast = model(video)
    unseen = [frame for frame in range(16) if frame not in model.slow_frames(16)]
    video[:, :, unseen] = 5.0
    changed = model(video)
    assert torch.equal(changed[0], slow)
    assert not torch.equal(changed[1], fast)


def test_even_sampling_of_a_number_that_alpha_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha=4 cannot sample 30 frames"):
        tiny(slow_sampling="linspace")(clips(frames=30))
    assert tiny()(clips(frames=6))[0].shape[2] == 2


def test_frozen_norms_stay_frozen_in_training_while_their_weights_learn() -> None:
    model = tiny()
    before = [norm.running_mean.clone() for norm in norms(model)]
    assert model.train() is model
    assert not any(norm.training for norm in norms(model))
    assert model.training
    assert model.slow_res1.training
    sum(features.mean() for features in model(clips(2))).backward()
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms(model), before, strict=True))
    assert all(norm.weight.grad.abs().sum() > 0 for norm in norms(model))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_part_of_a_larger_model_keeps_its_norms_frozen() -> None:
    whole = nn.Sequential(tiny(), nn.BatchNorm3d(3)).train()
    assert not any(norm.training for norm in norms(whole[0]))
    assert whole[1].training


def test_other_norms_follow_the_data() -> None:
    model = tiny(frozen_norm=False)
    before = model.slow_bn1.running_mean.clone()
    model(clips(2))
    assert not torch.equal(model.slow_bn1.running_mean, before)
    assert not any(norm.training for norm in norms(model.eval()))


@pytest.mark.parametrize("fusion", ["conv", "conv_norm"])
@pytest.mark.parametrize("training", [False, True])
def test_a_clip_gives_the_same_features_in_a_batch_with_a_larger_one(fusion: str, training: bool) -> None:
    model, small = tiny(fusion=fusion).train(training), clips()
    alone = model(small)
    batch = clips(2, size=LARGE_SIZE)  # what lies beyond the small one is anything but zero
    height, width = SMALL_SIZE
    batch[0, :, :, :height, :width] = small[0]
    together = model(batch, torch.tensor([SMALL_SIZE, LARGE_SIZE]))
    without_size = model(batch)
    large = model(batch[1:])
    for i in range(2):
        h, w = alone[i].shape[-2:]
        assert torch.allclose(together[i][:1, :, :, :h, :w], alone[i], atol=1e-5)
        assert not together[i][0, :, :, h:].any()
        assert not together[i][0, :, :, :, w:].any()
        assert torch.allclose(together[i][1:], large[i], atol=1e-5)
        assert not torch.allclose(without_size[i][:1, :, :, :h, :w], alone[i], atol=1e-2)


def test_gradients_of_a_clip_are_those_it_has_alone() -> None:
    model, small = tiny(), clips()
    sum(features.square().sum() for features in model(small)).backward()
    alone = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    batch = clips(1, size=LARGE_SIZE)
    batch[..., : SMALL_SIZE[0], : SMALL_SIZE[1]] = small
    sum(features.square().sum() for features in model(batch, torch.tensor([SMALL_SIZE]))).backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, alone[name], rtol=1e-3, atol=1e-3 * alone[name].abs().max()), name


def test_cells_that_begin_outside_of_a_clip_are_none_of_its_cells() -> None:
    outside = cells_outside(torch.tensor([[33, 16], [48, 17]]), 16, (48, 20))
    assert outside.shape == (2, 1, 1, 3, 2)
    assert outside[:, 0, 0].tolist() == [[[False, True]] * 3, [[False, False]] * 3]
    assert cells_outside(torch.tensor([[32, 20]]), 16, (48, 20))[0, 0, 0].tolist() == [[False] * 2] * 2 + [[True] * 2]
    assert cells_outside(None, 16, (48, 20)) is None


def test_only_the_first_blocks_span_frames_where_that_is_asked_for() -> None:
    model = SlowFast(**TINY | {"layers": (1, 2, 3, 1)}, temporal_blocks=(1, 1, 2, 0))
    spans = {
        (path, stage): [block.conv1.kernel_size[0] for block in model.get_submodule(f"{path}_res{stage}")]
        for path in ("slow", "fast")
        for stage in range(1, 5)
    }
    assert [spans["slow", stage] for stage in range(1, 5)] == [[1], [1, 1], [3, 3, 1], [1]]
    assert [spans["fast", stage] for stage in range(1, 5)] == [[3], [3, 1], [3, 3, 1], [1]]


def test_the_last_stage_alone_is_dilated() -> None:
    model = tiny()
    dilations = {name: conv.dilation[1] for name, conv in model.named_modules() if name.endswith("conv2")}
    assert {name for name, dilation in dilations.items() if dilation == 2} == {"slow_res4.0.conv2", "fast_res4.0.conv2"}
    other = tiny(last_dilation=1)
    other.load_state_dict(model.state_dict())
    (slow, _), (other_slow, _) = model(clips()), other(clips())
    assert slow.shape == other_slow.shape
    assert not torch.allclose(slow, other_slow, atol=1e-2)


def test_recomputed_activations_give_the_same_gradients_in_less_memory() -> None:
    kept = {}
    for recompute in (False, True):
        model, saved = tiny(activation_checkpointing=recompute), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, saved=saved: saved.append(x.numel()) or x, lambda x: x):
            loss = sum(features.square().mean() for features in model(clips(2)))
        loss.backward()
        kept[recompute] = (sum(saved), [parameter.grad for parameter in model.parameters()])
    assert kept[True][0] < 0.8 * kept[False][0]
    assert all(torch.equal(one, other) for one, other in zip(kept[True][1], kept[False][1], strict=True))


def test_channels_last_changes_memory_alone() -> None:
    model, other = tiny(), tiny(channels_last=True)
    other.load_state_dict(model.state_dict())
    assert other.slow_res1[0].conv2.weight.is_contiguous(memory_format=torch.channels_last_3d)
    seen = []
    other.fast_conv1.register_forward_hook(lambda _, inputs, output: seen.extend((*inputs, output)))
    found, expected = other(clips(2)), model(clips(2))
    assert len(seen) == 2
    assert all(x.is_contiguous(memory_format=torch.channels_last_3d) for x in seen)
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(found, expected, strict=True))


def test_a_block_passes_on_what_it_gets_at_first() -> None:
    model = SlowFast(**TINY | {"layers": (1, 1, 2, 1)})
    features = torch.randn(1, 64, 2, 4, 4).relu()
    assert torch.equal(model.slow_res3[1](features.repeat(1, 2, 1, 1, 1)), features.repeat(1, 2, 1, 1, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": None, "depth": 51}, "depth: expected one of 50, 101, 152, 200, found 51"),
        ({"layers": (1, 1, 1)}, r"layers: expected 4 numbers of at least 1, found \[1, 1, 1\]"),
        ({"layers": (1, 0, 1, 1)}, "layers: expected 4 numbers of at least 1"),
        ({"temporal_blocks": (1, -1, 1, 1)}, "temporal_blocks: expected 4 numbers of at least 0"),
        ({"slow_kernels": (1, 1, 1, 2, 3)}, "slow_kernels: expected 5 odd numbers of at least 1"),
        ({"fast_kernels": (5, 3, 3, 3)}, "fast_kernels: expected 5 odd numbers"),
        ({"fusion_kernel": 4}, "fusion_kernel: expected 1 odd number of at least 1, found 4"),
        ({"alpha": 0}, "alpha: expected 1 number of at least 1, found 0"),
        ({"base_width": 6}, "base_width: expected a multiple of beta_inv=4, found 6"),
        ({"last_dilation": 0}, "last_dilation: expected 1 number"),
        ({"fusion": "sum"}, "fusion: expected 'conv' or 'conv_norm', found 'sum'"),
        ({"slow_sampling": "random"}, "slow_sampling: expected 'strided' or 'linspace', found 'random'"),
        ({"mean": (0.45, 0.45)}, "mean: expected 3 numbers"),
        ({"std": (0.2, 0.0, 0.2)}, "std: expected 3 numbers above 0"),
        ({"frozen_norm": False, "activation_checkpointing": True}, "activation_checkpointing: needs frozen_norm"),
    ],
)
def test_values_that_make_no_network_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlowFast(**TINY | settings)
