"""Tubelet embedding equals the convolution it stands for, whole and for chosen tokens."""

import pytest
import torch
import torch.nn.functional as F

from models.masking import gather_tokens
from models.tubelets import TubeletEmbedding

SIZE, TUBELET, DIM = (4, 24, 32), (2, 8, 16), 12
INDEX = torch.tensor([[0, 5, 3], [11, 2, 7]])


@pytest.fixture
def embedding() -> TubeletEmbedding:
    torch.manual_seed(0)
    return TubeletEmbedding(SIZE, TUBELET, dim=DIM)


@pytest.fixture
def video() -> torch.Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def test_equals_a_convolution_with_tokens_in_order_of_time_row_column(embedding, video) -> None:
    convolved = F.conv3d(video, embedding.proj.weight, embedding.proj.bias, stride=TUBELET)
    tokens = embedding(video)
    assert embedding.grid == (2, 3, 2)
    assert tokens.shape == (2, 12, DIM)
    torch.testing.assert_close(tokens, convolved.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens[:, 1 * 6 + 2 * 2 + 1], convolved[:, :, 1, 2, 1], atol=1e-5, rtol=1e-5)


def test_chosen_tokens_equal_those_of_all_in_the_order_chosen(embedding, video) -> None:
    torch.testing.assert_close(embedding(video, INDEX), gather_tokens(embedding(video), INDEX), atol=1e-6, rtol=1e-6)


def test_chosen_tokens_give_the_gradients_of_all(embedding, video) -> None:
    weight = torch.randn(2, 3, DIM, generator=torch.Generator().manual_seed(2))
    (embedding(video, INDEX) * weight).sum().backward()
    chosen = {name: parameter.grad.clone() for name, parameter in embedding.named_parameters()}
    embedding.zero_grad()
    (gather_tokens(embedding(video), INDEX) * weight).sum().backward()
    for name, parameter in embedding.named_parameters():
        torch.testing.assert_close(chosen[name], parameter.grad, atol=1e-5, rtol=1e-5)


def test_a_chosen_token_depends_on_its_own_pixels_alone(embedding, video) -> None:
    other = video.clone()
    other[:, :, :, :, 16:] += 1  # the right half: tokens of odd index
    even, odd = torch.tensor([[0, 2], [4, 10]]), torch.tensor([[1, 3], [5, 11]])
    assert torch.equal(embedding(video, even), embedding(other, even))
    assert not torch.isclose(embedding(video, odd), embedding(other, odd)).all(-1).any()


def test_pixels_are_cast_to_the_dtype_of_the_weights(embedding) -> None:
    video = torch.randint(0, 256, (1, 3, *SIZE), dtype=torch.uint8)
    assert embedding(video).dtype == torch.float32
    assert embedding.bfloat16()(video.float()).dtype == torch.bfloat16


def test_shapes_are_known_without_data(embedding) -> None:
    meta = embedding.to("meta")
    assert meta(torch.empty(2, 3, *SIZE, device="meta"), INDEX.to("meta")).shape == (2, 3, DIM)


def test_a_clip_of_another_size_is_refused(embedding) -> None:
    with pytest.raises(ValueError, match=r"\(4, 24, 32\), found \(4, 32, 24\)"):
        embedding(torch.zeros(1, 3, 4, 32, 24))


def test_a_size_that_is_no_multiple_of_the_tubelet_is_refused() -> None:
    with pytest.raises(ValueError, match="num_frames or image_size"):
        TubeletEmbedding((5, 24, 32), TUBELET)
