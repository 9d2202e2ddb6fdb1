"""From scores of the rows of a feature file to scores of frames; also in the ways in which others compare them."""

import torch
from torch import Tensor


class AlignmentError(ValueError):
    """The rows of a video do not fit its frames."""


def row_spans(num_rows: int, num_frames: int, stride: int = 16, clip_len: int = 16, name: str = "") -> Tensor:
    """List the frames that each row was computed from, for a feature file that does not say so itself.

    Rows are windows that start at 0, ``stride``, 2 ``stride``, ... With ``tail=drop`` they lie wholly inside the video;
    with ``tail=pad`` there is one more where frames are left, completed by the last frame. (``tail=overlap`` has as
    many rows as ``pad``, but its last window ends with the video: only a file that names its frames can tell.)

    Args:
        num_rows: T.
        num_frames: N.
        stride: Frames between the starts of two rows.
        clip_len: Frames of a window.
        name: The video, for messages.

    Returns:
        int64 (T, 2), first and last frame of each row, in [0, N).

    Raises:
        AlignmentError: When there is no row, or T is not what one of the rules makes of N frames.
    """
    if stride < 1 or clip_len < 1:
        raise ValueError(f"expected a stride and a clip_len of 1 or more, found {stride} and {clip_len}")
    video = name or "a video"
    if num_rows < 1 or num_frames < 1:
        raise AlignmentError(
            f"{video}: {num_rows} rows cannot score {num_frames} frames; leave the video out, or dump its features "
            "with tail=pad, which makes a row of any video"
        )
    behind = num_frames - clip_len  # frames behind the first window
    drop, pad = max(behind // stride + 1, 0), max(-(-behind // stride), 0) + 1
    if num_rows not in (drop, pad):
        raise AlignmentError(
            f"{video}: {num_rows} rows do not fit {num_frames} frames: windows of {clip_len} frames at stride {stride} "
            f"make {drop} (tail=drop) or {pad} (tail=pad); set stride and clip_len to those of the features, or dump "
            "them anew"
        )
    first = torch.arange(num_rows) * stride
    return torch.stack([first, first + clip_len - 1], 1).clamp(max=num_frames - 1)


def frame_scores(scores: Tensor, num_frames: int, spans: Tensor) -> Tensor:
    """Give every frame of a video one score: the mean over the rows that cover it.

    Frames that no row covers take the last row that begins before them, or else the first row. For rows that follow one
    another without a gap, frame f has the score of row min(f // clip_len, T - 1), unchanged.

    Args:
        scores: (T,), floating point.
        num_frames: N. Rows may end behind it, as where a decoder finds a frame more than there are labels.
        spans: int64 (T, 2), first and last frame of each row, counted from 0, in the order of time.

    Returns:
        float64 (N,), on the CPU. The mean of equal float32 scores is that score, so that ties remain ties.

    Raises:
        AlignmentError: When there is no row, or spans are no such list.
    """
    scores, spans = scores.detach().cpu().double(), spans.cpu()
    if scores.ndim != 1 or len(scores) < 1 or spans.shape != (len(scores), 2):
        raise AlignmentError(f"expected scores (T,) and spans (T, 2), found {(*scores.shape,)} and {(*spans.shape,)}")
    first, last = spans.unbind(1)
    if (first < 0).any() or (last < first).any() or (first.diff() < 0).any():
        raise AlignmentError(f"rows are not in the order of time, or end before they begin: {spans.tolist()}")
    counts = (last.clamp(max=num_frames - 1) - first + 1).clamp(min=0)
    row = torch.arange(len(scores)).repeat_interleave(counts)
    frame = first[row] + torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
    total = torch.zeros(num_frames, dtype=torch.float64).index_add_(0, frame, scores[row])
    times = frame.bincount(minlength=num_frames)
    before = torch.searchsorted(first.contiguous(), torch.arange(num_frames)) - 1
    return torch.where(times > 0, total / times.clamp(min=1), scores[before.clamp(min=0)])


def truncate(scores: Tensor, labels: Tensor, clip_len: int = 16) -> tuple[Tensor, Tensor]:
    """Cut frames as the evaluation of AR-Net does (Wan et al., ICME 2020), to compare with numbers made that way.

    Args:
        scores: (T,), rows that follow one another without a gap.
        labels: (N,).
        clip_len: Frames of a row.

    Returns:
        Scores and labels of the first min(N, T clip_len) frames. (The published code fails where N is the lesser.)
    """
    scores = scores.repeat_interleave(clip_len)
    return scores[: len(labels)], labels[: len(scores)]


def edge_pad(scores: Tensor, labels: Tensor, clip_len: int = 16) -> tuple[Tensor, Tensor]:
    """Continue labels by their last value to the end of the last row, as in RTFM's ``gt-sh.npy`` (Tian et al., 2021).

    Args:
        scores: (T,), rows that follow one another without a gap.
        labels: (N,). Those behind the last row are cut off.
        clip_len: Frames of a row.

    Returns:
        Scores and labels of T clip_len frames, some of which the video does not have.
    """
    scores = scores.repeat_interleave(clip_len)
    return scores, torch.cat([labels, labels[-1:].repeat(max(len(scores) - len(labels), 0))])[: len(scores)]
