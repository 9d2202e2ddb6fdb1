"""Noise for masks belongs to a sample."""

import torch

from tasks.noise import sample_noise


def test_noise_depends_on_the_sample_and_not_on_its_place_in_the_batch() -> None:
    together = sample_noise([3, 8, 5], 64, seed=1, epoch=2)
    apart = torch.cat([sample_noise([index], 64, seed=1, epoch=2) for index in (3, 8, 5)])
    assert torch.equal(together, apart)


def test_noise_differs_between_samples() -> None:
    rows = [
        sample_noise([3], 64, seed=1, epoch=2)[0],
        sample_noise([4], 64, seed=1, epoch=2)[0],
        sample_noise([3], 64, seed=1, epoch=3)[0],
        sample_noise([3], 64, seed=2, epoch=2)[0],
    ]
    for first in range(len(rows)):
        for second in range(first):
            assert not torch.equal(rows[first], rows[second])


def test_noise_is_uniform_and_never_zero() -> None:
    noise = sample_noise(list(range(64)), 2048, seed=0, epoch=0)
    assert noise.dtype == torch.float32
    assert noise.min() > 0 and noise.max() < 1
    histogram = torch.histc(noise, bins=8, min=0, max=1) / noise.numel()
    assert (histogram - 1 / 8).abs().max() < 0.005
