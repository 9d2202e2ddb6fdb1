"""Rotary positions of time and place: attention sees when and where a token is, without a parameter more."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

Layout = Literal["interleaved", "chunked", "heads"]
AXES = ("time", "row", "column")
NOT_ROTATED = -1


class Rotary:
    """Where tokens of faces and of sound are, and by which angles that turns queries and keys.

    A slot is a pair of channels of a head, j and j + d / 2, that turns by ``position * theta ** (-2 j / d)``. Each slot
    follows one of the axes:

    - ``chunked``: time has the first slots, then rows, then columns, so that columns turn slowest (Wang et al.,
      "Qwen2-VL", 2024);
    - ``interleaved``: by turns, the rest to time, so that each axis has fast and slow slots (Qwen3-VL);
    - ``heads``: all slots of a head follow one axis, first heads time; heads that are left do not turn (Huang et al.,
      "Revisiting multimodal positional encoding", 2025; JJJYmmm/Multimodal-RoPEs).

    Positions are floats and are never rounded: time_rate positions per second, space_scale positions across a frame.
    That attention across modalities shares the axis of time is the way of Qwen2.5-Omni, with its 25 positions per
    second. For 8 slots the usual theta of language models would leave most slots without effect; with 200 the slowest
    turns once in 26 seconds.

    Args:
        layout: How slots follow axes.
        ratio: Shares of time, rows and columns in the slots (``heads``: in the heads) of every layer; those of rows and
            columns are rounded down.
        sections: Numbers of slots (``heads``: of heads) instead; they must fit every layer that turns.
        theta: Base of the frequencies.
        time_rate: Positions per second.
        space_scale: Positions across the height and the width of a frame.
        audio_pos: Where sound comes from: the ``centre`` of the frame, the ``face`` it is compared with, or ``zero``,
            the upper left corner.
        apply_to: The layers that turn: ``cross``, between the streams, and ``self``, of both together.

    Raises:
        ValueError: For numbers out of range.
    """

    def __init__(
        self,
        layout: Layout = "interleaved",
        ratio: Annotated[tuple[int, int, int], "ratio >= 0"] = (2, 1, 1),
        sections: Annotated[tuple[int, int, int] | None, "sections >= 0"] = None,
        theta: Annotated[float, "theta > 1"] = 200.0,
        time_rate: Annotated[float, "time_rate > 0"] = 25.0,
        space_scale: Annotated[float, "space_scale >= 0"] = 16.0,
        audio_pos: Literal["centre", "face", "zero"] = "centre",
        apply_to: Sequence[Literal["cross", "self"]] = ("cross", "self"),
    ) -> None:
        if layout not in ("interleaved", "chunked", "heads"):
            raise ValueError(f"layout: expected 'interleaved', 'chunked' or 'heads', found {layout!r}")
        for name, shares in (("ratio", ratio), ("sections", sections)):
            if shares is not None and (len(shares) != len(AXES) or min(shares) < 0 or not sum(shares)):
                raise ValueError(f"{name}: expected shares of {', '.join(AXES)}, found {list(shares)}")
        if theta <= 1 or time_rate <= 0 or space_scale < 0:
            raise ValueError(
                f"expected theta > 1, time_rate > 0 and space_scale >= 0, found {theta}, {time_rate}, {space_scale}"
            )
        if audio_pos not in ("centre", "face", "zero"):
            raise ValueError(f"audio_pos: expected 'centre', 'face' or 'zero', found {audio_pos!r}")
        if not set(apply_to) <= {"cross", "self"}:
            raise ValueError(f"apply_to: expected some of 'cross' and 'self', found {list(apply_to)}")
        self.layout, self.audio_pos, self.apply_to = layout, audio_pos, tuple(apply_to)
        self.ratio, self.sections = tuple(ratio), None if sections is None else tuple(sections)
        self.theta, self.time_rate, self.space_scale = theta, time_rate, space_scale

    def positions(
        self, seconds: Tensor, boxes: Tensor | None = None, seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Say where the tokens of faces and of sound are.

        Args:
            seconds: (B, T) since a moment near by: angles are exact to 1e-4 for some minutes.
            boxes: (B, T, 4) xyxy in [0, 1] of the frame, whose centres count; None puts the time on all three axes.
            seen: (B, T) bool, False where there is no box; those are in the centre. None: all are there.

        Returns:
            (B, T, 3) of faces and of sound, float32 or wider: time, row, column.
        """
        time = _wide(seconds * self.time_rate)
        if boxes is None:
            faces = time.unsqueeze(-1).expand(*time.shape, len(AXES))
            return faces, faces
        centres = _wide(boxes).unflatten(-1, (2, 2)).mean(-2).flip(-1)  # of corners (x, y): row, column
        if seen is not None:
            centres = centres.masked_fill(~seen.unsqueeze(-1), 0.5)
        sound = {"centre": torch.full_like(centres, 0.5), "face": centres, "zero": torch.zeros_like(centres)}
        faces, sound = (
            torch.cat([time.unsqueeze(-1).to(where.dtype), self.space_scale * where], -1)
            for where in (centres, sound[self.audio_pos])
        )
        return faces, sound

    def slots(self, num_heads: int, head_dim: int) -> list[list[int]]:
        """Say which axis each slot of each head follows, -1 for none; one row stands for all heads that are alike.

        Raises:
            ValueError: When the heads have an odd number of channels, or the axes do not fit them.
        """
        if head_dim % 2:
            raise ValueError(f"expected heads with an even number of channels to be turned, found {head_dim}")
        places = num_heads if self.layout == "heads" else head_dim // 2
        if self.sections is not None:
            return slots_of(self.layout, self.sections, num_heads, head_dim)
        row, column = (places * share // sum(self.ratio) for share in self.ratio[1:])
        sections = (places - row - column if self.ratio[0] else 0, row, column)
        if any(share and not section for share, section in zip(self.ratio, sections, strict=True)):
            what = "heads" if self.layout == "heads" else "slots of a head"
            raise ValueError(f"ratio={list(self.ratio)}: {places} {what} leave an axis without any; set sections")
        return slots_of(self.layout, sections, num_heads, head_dim)

    def angles(self, positions: Tensor, num_heads: int, head_dim: int) -> Tensor:
        """Turn positions (B, N, 3) into angles (B, H, N, d / 2) of H = num_heads, or 1 where all heads are alike.

        They are float32, or wider where positions are, whatever the precision of the model.
        """
        positions = _wide(positions)
        axes = torch.tensor(self.slots(num_heads, head_dim), device=positions.device)
        power = torch.arange(0, head_dim, 2, device=positions.device, dtype=positions.dtype) / head_dim
        turning = 1 / self.theta**power * (axes != NOT_ROTATED)
        return (positions[..., axes.clamp(min=0)] * turning).movedim(-2, 1)


def slots_of(layout: Layout, sections: Sequence[int], num_heads: int, head_dim: int) -> list[list[int]]:
    """Deal slots to axes, see `Rotary`: a row of axes of the slots, or a row for each head.

    Args:
        layout: How they are dealt.
        sections: Numbers of slots, or with ``heads`` of heads, for each axis.
        num_heads: Heads of the layer.
        head_dim: Channels d of a head; it has d / 2 slots.

    Raises:
        ValueError: When they do not sum to what there is, or cannot be dealt by turns.
    """
    slots, found = head_dim // 2, f"found sections {list(sections)}"
    if layout == "heads":
        if sum(sections) > num_heads:
            raise ValueError(f"expected sections of at most {num_heads} heads, {found}")
        owners = _in_a_row(sections)
        return [[owner] * slots for owner in owners + [NOT_ROTATED] * (num_heads - len(owners))]
    if sum(sections) != slots:
        raise ValueError(f"expected sections that sum to {slots}, the slots of a head of {head_dim} channels, {found}")
    if layout == "chunked":
        return [_in_a_row(sections)]
    dealt = [0] * slots
    for axis in (1, 2):  # by turns: time has slots 0, 3, ... and all that are left
        places = range(axis, axis + len(AXES) * sections[axis], len(AXES))
        if sections[axis] and places[-1] >= slots:
            raise ValueError(f"{AXES[axis]}: {sections[axis]} of {slots} slots cannot be dealt by turns, {found}")
        for place in places:
            dealt[place] = axis
    return [dealt]


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn queries or keys x (B, H, N, d) by angles (B, H or 1, N, d / 2): (B, H, N, d), in the dtype of ``x``.

    The two channels of a slot lie half a head apart, as in the code of Qwen; computed in float32 at least.
    """
    first, second = _wide(x).chunk(2, -1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1).to(x.dtype)


def _in_a_row(sections: Sequence[int]) -> list[int]:
    return [axis for axis, count in enumerate(sections) for _ in range(count)]


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
