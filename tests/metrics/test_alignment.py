"""Every frame of a video has one score, from the rows that cover it, whatever the stride and the rule of the tail."""

import pytest
import torch
from torch import Tensor

from metrics.alignment import AlignmentError, edge_pad, frame_scores, row_spans, truncate

WINDOWS = [(16, 16), (4, 16), (8, 16), (5, 16), (1, 16), (16, 4), (20, 16), (40, 16), (1, 1)]


def distinct(num_rows: int) -> Tensor:
    return torch.arange(num_rows, dtype=torch.float32).mul(0.37).sin()


def starts(num_frames: int, stride: int, clip_len: int, tail: str) -> list[int]:
    """Where windows begin, by counting frames one by one."""
    found, start = [], 0
    while start + clip_len <= num_frames:
        found.append(start)
        start += stride
    if tail == "pad" and (not found or found[-1] + clip_len < num_frames):
        found.append(start)
    return found


@pytest.mark.parametrize(("stride", "clip_len"), WINDOWS)
@pytest.mark.parametrize("tail", ["drop", "pad"])
def test_rows_are_windows_that_end_with_the_video(stride: int, clip_len: int, tail: str) -> None:
    for num_frames in range(1, 70):
        expected = starts(num_frames, stride, clip_len, tail)
        if not expected:
            continue
        spans = row_spans(len(expected), num_frames, stride, clip_len)
        last = num_frames - 1
        assert spans.tolist() == [[min(start, last), min(start + clip_len - 1, last)] for start in expected]
        if tail == "pad" and stride <= clip_len:
            assert spans[-1, 1] == last


@pytest.mark.parametrize(("stride", "clip_len"), WINDOWS)
def test_every_other_number_of_rows_is_refused(stride: int, clip_len: int) -> None:
    for num_frames in range(1, 70):
        allowed = {len(starts(num_frames, stride, clip_len, tail)) for tail in ("drop", "pad")} - {0}
        for num_rows in range(75):
            if num_rows not in allowed:
                with pytest.raises(AlignmentError, match=rf"01_0014: {num_rows} rows .* {num_frames} frames"):
                    row_spans(num_rows, num_frames, stride, clip_len, "01_0014")


def test_a_mismatch_says_what_would_fit_and_how_to_go_on() -> None:
    with pytest.raises(
        AlignmentError, match=r"^01_0014: 30 rows do not fit 433 frames: .* make 27 .*drop.* or 28 .*pad"
    ):
        row_spans(30, 433, name="01_0014")
    with pytest.raises(AlignmentError, match=r"a video: 0 rows cannot score 15 frames; .* tail=pad"):
        row_spans(0, 15)
    with pytest.raises(ValueError, match="expected a stride and a clip_len of 1 or more, found 0 and 16"):
        row_spans(1, 15, stride=0)


@pytest.mark.parametrize("num_frames", [1, 15, 16, 17, 64, 65, 433])
def test_without_overlap_a_frame_has_the_very_score_of_its_row(num_frames: int) -> None:
    for num_rows in {num_frames // 16, -(-num_frames // 16)} - {0}:
        scores = distinct(num_rows)
        found = frame_scores(scores, num_frames, row_spans(num_rows, num_frames))
        assert found.dtype == torch.float64
        assert found.tolist() == [scores[min(frame // 16, num_rows - 1)].item() for frame in range(num_frames)]


def brute_force(scores: Tensor, num_frames: int, spans: Tensor) -> list[float]:
    found = []
    for frame in range(num_frames):
        covering = [row for row, (first, last) in enumerate(spans.tolist()) if first <= frame <= last]
        before = [row for row, first in enumerate(spans[:, 0].tolist()) if first <= frame] or [0]
        rows = covering or before[-1:]
        found.append(sum(scores[row].item() for row in rows) / len(rows))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_frame_has_the_mean_of_the_rows_that_cover_it_or_the_last_one_before(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for num_frames in (1, 7, 40, 100):
        first = torch.randint(0, num_frames + 3, (9,), generator=generator).sort().values
        spans = torch.stack([first, first + torch.randint(0, 20, (9,), generator=generator)], 1)
        scores = torch.rand(9, generator=generator)
        assert frame_scores(scores, num_frames, spans).tolist() == pytest.approx(
            brute_force(scores, num_frames, spans), abs=1e-12
        )


def test_gaps_between_rows_take_the_row_before_and_frames_before_all_the_first() -> None:
    scores, spans = torch.tensor([0.25, 0.5]), torch.tensor([[2, 3], [6, 7]])
    expected = [0.25] * 6 + [0.5] * 4
    assert frame_scores(scores, 10, spans).tolist() == expected


def test_the_tail_of_an_overlapping_last_window_is_averaged() -> None:
    scores = torch.tensor([0.0, 1.0, 0.5])
    spans = torch.tensor([[0, 3], [4, 7], [6, 9]])  # windows of 4 in 10 frames, the last moved back
    assert frame_scores(scores, 10, spans).tolist() == [0.0] * 4 + [1.0] * 2 + [0.75] * 2 + [0.5] * 2


@pytest.mark.parametrize("num_frames", [31, 33])
def test_rows_of_a_decoder_that_counts_a_frame_more_or_less_are_used_as_they_are(num_frames: int) -> None:
    scores, spans = torch.tensor([0.0, 1.0]), torch.tensor([[0, 15], [16, 31]])
    assert frame_scores(scores, num_frames, spans).tolist() == [0.0] * 16 + [1.0] * (num_frames - 16)


def test_equal_scores_stay_equal_under_any_number_of_overlapping_rows() -> None:
    for value in torch.rand(50, generator=torch.Generator().manual_seed(0)):
        found = frame_scores(value.expand(30), 133, row_spans(31 - 1, 133, 4, 16))
        assert found.unique().tolist() == [value.item()]


@pytest.mark.parametrize(
    ("scores", "spans", "message"),
    [
        (torch.zeros(2), [[0, 3]], r"found \(2,\) and \(1, 2\)"),
        (torch.zeros(2, 1), [[0, 3], [4, 7]], r"found \(2, 1\) and \(2, 2\)"),
        (torch.zeros(0), [], "expected scores"),
        (torch.zeros(2), [[4, 7], [0, 3]], "not in the order of time"),
        (torch.zeros(2), [[0, 3], [4, 2]], "end before they begin"),
        (torch.zeros(1), [[-1, 3]], "not in the order of time"),
    ],
)
def test_spans_that_are_none_are_refused(scores: Tensor, spans: list, message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        frame_scores(scores, 8, torch.tensor(spans, dtype=torch.int64).view(-1, 2))


def test_comparison_modes_cut_to_the_shorter_or_invent_labels() -> None:
    scores, labels = torch.tensor([0.25, 0.75]), torch.tensor([0, 0, 0, 0, 0, 0, 1])
    for cut, found in ((7, 7), (9, 8)):
        longer = torch.cat([labels, labels.new_ones(2)])[:cut]
        kept, known = truncate(scores, longer, 4)
        assert kept.tolist() == [0.25] * 4 + [0.75] * (found - 4) and known.tolist() == longer[:found].tolist()
    assert [each.tolist() for each in edge_pad(scores, labels, 4)] == [[0.25] * 4 + [0.75] * 4, [*labels.tolist(), 1]]
    assert edge_pad(scores, torch.zeros(9), 4)[1].tolist() == [0.0] * 8
