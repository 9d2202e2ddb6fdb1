"""The region prior marks the tokens whose patches lie in candidate regions."""

import pytest
import torch

from models.region_prior import Regions, inflate_boxes, no_regions, region_prior

GRID, IMAGE_SIZE = (2, 4, 6), (64, 96)  # 16x16 patches, 2 frames per token


def regions(*frames: list[tuple[float, ...]]) -> Regions:
    """Regions of one clip from boxes ``(x1, y1, x2, y2, score)`` per frame, with padding that must not matter."""
    rows = max(len(boxes) for boxes in frames) + 2
    boxes, scores = torch.full((1, len(frames), rows, 4), 1000.0), torch.ones(1, len(frames), rows)
    boxes[..., :2] = -1000.0  # padding rows that would cover everything
    for t, found in enumerate(frames):
        for r, (*box, score) in enumerate(found):
            boxes[0, t, r], scores[0, t, r] = torch.tensor(box), score
    return Regions(boxes, scores, torch.tensor([[len(found) for found in frames]]))


def mark(found: Regions, **options) -> torch.Tensor:
    return region_prior(found, GRID, IMAGE_SIZE, **{"inflation": 1.0, **options}).view(*GRID)


BOX = (16.0, 0.0, 48.0, 16.0, 0.5)  # patches (0, 1) and (0, 2)
OTHER = (80.0, 48.0, 96.0, 64.0, 0.9)  # patch (3, 5)


def places(prior: torch.Tensor) -> list[list[int]]:
    return prior.nonzero().tolist()


def test_patches_whose_centre_is_in_a_box_are_marked_in_every_slice() -> None:
    prior = mark(regions([BOX], [], [], []))
    assert places(prior[0]) == [[0, 1], [0, 2]]
    assert torch.equal(prior[0], prior[1])


def test_rows_are_y_and_columns_are_x() -> None:
    tall = mark(regions([(0.0, 0.0, 16.0, 64.0, 1.0)], [], [], []))
    assert places(tall[0]) == [[0, 0], [1, 0], [2, 0], [3, 0]]


def test_a_centre_on_the_edge_is_inside_and_one_beyond_is_not() -> None:
    assert places(mark(regions([(8.0, 8.0, 8.0, 24.0, 1.0)], [], [], []))[0]) == [[0, 0], [1, 0]]
    assert places(mark(regions([(8.01, 8.0, 20.0, 24.0, 1.0)], [], [], []))[0]) == []


@pytest.mark.parametrize("mode", ["geometric", "upstream"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_prior_is_the_same_where_the_default_type_is_a_short_one(mode: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(8, 4, 3, 2, generator=generator) * 224
    boxes = torch.cat((corners, corners + torch.rand(8, 4, 3, 2, generator=generator) * 60), -1)
    found = Regions(
        boxes, torch.rand(8, 4, 3, generator=generator), torch.tensor([0, 1, 2, 3] * 2).unsqueeze(1).expand(8, 4)
    )
    options = {"grid": (2, 32, 32), "image_size": (224, 224), "mode": mode, "soft": True}
    expected = region_prior(found, **options)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # as in the steps of trainer.precision=bf16-true
    try:
        prior = region_prior(found, **options)
    finally:
        torch.set_default_dtype(before)
    assert prior.dtype == torch.float32
    assert torch.equal(prior, expected)


def test_boxes_are_inflated_about_their_centre_before_marking() -> None:
    assert places(mark(regions([(17.0, 17.0, 31.0, 31.0, 1.0)], [], [], []), inflation=3.0)[0]) == [
        [row, column] for row in range(3) for column in range(3)
    ]


def test_inflation_keeps_centre_and_multiplies_size() -> None:
    boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0], [5.0, 5.0, 5.0, 5.0]])
    assert inflate_boxes(boxes, 1.5).tolist() == [[5.0, 10.0, 35.0, 70.0], [5.0, 5.0, 5.0, 5.0]]


def test_first_uses_the_first_frame_and_tubelet_the_union_of_each_slices_own_frames() -> None:
    found = regions([BOX], [], [], [OTHER])
    assert places(mark(found)[1]) == [[0, 1], [0, 2]]
    per_slice = mark(found, frames="tubelet")
    assert places(per_slice[0]) == [[0, 1], [0, 2]]
    assert places(per_slice[1]) == [[3, 5]]
    both = mark(regions([BOX], [OTHER], [], []), frames="tubelet")
    assert places(both[0]) == [[0, 1], [0, 2], [3, 5]]
    assert places(both[1]) == []


def test_a_clip_without_boxes_gets_the_central_half_or_nothing() -> None:
    # Edges of the central half at y = 16, 48 and x = 24, 72: the centres of columns 1 and 4 lie on it.
    centre = [[row, column] for row in (1, 2) for column in (1, 2, 3, 4)]
    for empty in (regions([], [], [], []), no_regions(1, 4)):
        assert places(mark(empty, inflation=2.0)[0]) == centre
        assert mark(empty, fallback="none").sum() == 0
    # Boxes in frames that are not looked at do not count, nor does a box too small to hold a centre fall back.
    assert places(mark(regions([], [BOX], [], []))[0]) == centre
    assert mark(regions([(1.0, 1.0, 2.0, 2.0, 1.0)], [], [], [])).sum() == 0


def test_soft_priors_take_the_score_of_the_most_confident_box() -> None:
    overlapping = (32.0, 0.0, 64.0, 16.0, 0.25)
    prior = mark(regions([BOX, overlapping], [], [], []), soft=True)
    assert prior[0, 0].tolist() == [0.0, 0.5, 0.5, 0.25, 0.0, 0.0]
    assert mark(no_regions(1, 4), soft=True).max() == 1.0
    assert mark(regions([BOX], [], [], []), soft=False).max() == 1.0


def test_clips_of_a_batch_do_not_mix() -> None:
    with_box, without = regions([BOX], [], [], []), regions([], [], [], [])
    rows = with_box.boxes.shape[2]
    padded = Regions(without.boxes[:, :, :1].expand(-1, -1, rows, -1), with_box.scores, without.count)
    batch = Regions(*(torch.cat(pair) for pair in zip(with_box, padded, strict=True)))
    together = region_prior(batch, GRID, IMAGE_SIZE, inflation=1.0).view(2, *GRID)
    assert torch.equal(together[0], mark(with_box))
    assert torch.equal(together[1], mark(without))


def test_upstream_mode_compares_x_with_rows() -> None:
    # 360x480 pixels as the published code assumes them: the left half of the frame becomes the upper half of the grid.
    found = Regions(
        torch.tensor([[[[0.0, 0.0, 180.0, 480.0]]]]), torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.int64)
    )
    prior = region_prior(found, (1, 14, 14), (224, 224), 1, mode="upstream", inflation=1.0).view(14, 14)
    assert prior[:8].all()
    assert not prior[8:].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "random"}, "prior: expected"), ({"fallback": "all"}, "fallback: "), ({"frames": "last"}, "frames: ")],
    ids=str,
)
def test_unknown_choices_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mark(no_regions(1, 4), **options)


def test_regions_of_another_clip_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 4 frames per clip, found 3"):
        mark(no_regions(1, 3))
