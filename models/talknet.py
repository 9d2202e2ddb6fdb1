"""TalkNet: who is heard is who is seen speaking, by attention between a face track and the sound under it."""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from models.face_tracks import ROWS_PER_FRAME, frames_there, normalised_faces, require_sizes
from models.interaction import Seats
from models.mrope import Rotary
from models.saliency_spec import SaliencySpec
from models.talknet_attention import StreamLayer
from models.talknet_audio import SE_REDUCTION, AudioEncoder
from models.talknet_visual import VisualEncoder

STAGES = 4
CLASSES = 2  # not speaking, speaking


class TalkNet(nn.Module):
    """Score every frame of a face track: does this face speak?

    Tao et al., "Is someone speaking? Exploring long-term temporal features for audio-visual active speaker detection"
    (ACM MM 2021); TaoRuijie/TalkNet-ASD, whose defaults these are. Faces and sound are encoded as a token per frame
    each, every stream is asked by the other one, and both look at themselves together. There the items of a batch leak
    into each other; here nothing depends on the rest of a batch, nor on what it is filled up with.

    Nothing in TalkNet says when a token is. With ``rope`` its attention turns queries and keys by time, or by time and
    the place of the face (`models.mrope.Rotary`); all modes have the same parameters. With ``context="scene"`` all
    faces of a window look at each other in the last attention; with a single face it is the same as ``track``.

    Args:
        widths: Channels of the residual network on faces.
        audio_widths: Channels of that on sound, each at least 8; the last is ``dim``.
        audio_layers: Blocks of its stages.
        dim: Width D of the tokens of either stream; both together have 2 D.
        num_heads: Attention heads.
        tcn_blocks: Temporal blocks on faces.
        head_width: Channels between these and the tokens.
        face_size: Side S of faces in pixels; published weights are for 112.
        rope: What turns queries and keys: ``none``, ``time``, or ``mrope``, time and place.
        rotary: How they turn; None: as `Rotary` does.
        context: Whom a face looks at in the last attention: itself (``track``) or all faces of the ``scene``.
        dropout: In all attention layers.

    Attributes:
        rope_scale: Factor of all positions, 1. With 0 every mode is ``none``, so that training may start from published
            weights and let it grow.

    Raises:
        ValueError: For numbers out of range.
    """

    def __init__(
        self,
        widths: Annotated[tuple[int, int, int, int], "widths >= 1"] = (64, 128, 256, 512),
        audio_widths: Annotated[tuple[int, int, int, int], "audio_widths >= 8"] = (16, 32, 64, 128),
        audio_layers: Annotated[tuple[int, int, int, int], "audio_layers >= 1"] = (3, 4, 6, 3),
        dim: Annotated[int, "dim >= 8"] = 128,
        num_heads: Annotated[int, "num_heads >= 1 and dim % num_heads == 0"] = 8,
        tcn_blocks: Annotated[int, "tcn_blocks >= 0"] = 5,
        head_width: Annotated[int, "head_width >= 1"] = 256,
        face_size: Annotated[int, "face_size >= 32"] = 112,
        rope: Literal["none", "time", "mrope"] = "none",
        rotary: Rotary | None = None,
        context: Literal["track", "scene"] = "track",
        dropout: Annotated[float, "0 <= dropout < 1"] = 0.1,
    ) -> None:
        super().__init__()
        for name, numbers in (("widths", widths), ("audio_widths", audio_widths), ("audio_layers", audio_layers)):
            lowest = SE_REDUCTION if name == "audio_widths" else 1
            if len(numbers) != STAGES or min(numbers) < lowest:
                raise ValueError(f"{name}: expected {STAGES} numbers >= {lowest}, found {list(numbers)}")
        if audio_widths[-1] != dim:
            raise ValueError(f"dim: expected {audio_widths[-1]}, the last of audio_widths, found {dim}")
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f"num_heads: expected a divisor of dim={dim}, found {num_heads}")
        for name, number, lowest in (("tcn_blocks", tcn_blocks, 0), ("head_width", head_width, 1)):
            if number < lowest:
                raise ValueError(f"{name}: expected a number >= {lowest}, found {number}")
        if face_size < 32:
            raise ValueError(f"face_size: expected a number >= 32, found {face_size}")
        if rope not in ("none", "time", "mrope"):
            raise ValueError(f"rope: expected 'none', 'time' or 'mrope', found {rope!r}")
        if context not in ("track", "scene"):
            raise ValueError(f"context: expected 'track' or 'scene', found {context!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), found {dropout}")
        self.dim, self.num_heads, self.face_size = dim, num_heads, face_size
        self.rope, self.rotary, self.context = rope, rotary or Rotary(), context
        self.rope_scale = 1.0
        if rope != "none":
            for layer in self.rotary.apply_to:  # refuses what does not fit
                self.rotary.slots(num_heads, self._head_dim(layer))

        self.audio_encoder = AudioEncoder(audio_widths, audio_layers)
        self.video_encoder = VisualEncoder(widths, tcn_blocks, head_width, dim)
        self.audio_attention = StreamLayer(dim, num_heads, dropout)
        self.video_attention = StreamLayer(dim, num_heads, dropout)
        self.joint_attention = StreamLayer(2 * dim, num_heads, dropout)
        self.head = nn.Linear(2 * dim, CLASSES)
        self.audio_head = nn.Linear(dim, CLASSES)
        self.video_head = nn.Linear(dim, CLASSES)

    def saliency_spec(self) -> SaliencySpec:
        """Say how scores can be explained: by the pixels of each face, or its last maps, one a frame.

        What a channel of these maps is worth changes from frame to frame, so that Grad-CAM's weights mislead.
        """
        return SaliencySpec(layers={"faces": "video_encoder.frontend.maps"}, method="gradient_x_input")

    def forward(
        self,
        faces: Tensor,
        audio: Tensor,
        valid: Tensor | None = None,
        length: Tensor | None = None,
        seconds: Tensor | None = None,
        boxes: Tensor | None = None,
        scene: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Score face tracks. What is said of frames without a face, or behind the end, means nothing.

        Args:
            faces: (B, T, S, S) grey in 0..255, uint8 or float.
            audio: (B, 4 T, 13) cepstra.
            valid: (B, T) bool, False where there is no face; None: they are all there.
            length: (B,) int64, frames of each row; None: T.
            seconds: (B, T) times of the frames, for ``rope``; float64 where they may be late in a long video.
            boxes: (B, T, 4) xyxy of the faces in [0, 1] of the frame, for ``rope="mrope"``.
            scene: (B,) int64, rows of one number are faces of one window, for ``context="scene"``; None: each is alone.

        Returns:
            ``logits``, ``audio_logits`` and ``video_logits`` (B, T, 2) of not speaking and speaking, by both streams
            and by each of them; the tokens ``audio`` and ``video`` (B, T, D) before attention; ``fused`` (B, T, 2 D).

        Raises:
            ValueError: When sizes do not fit, or what ``rope`` needs is missing.
        """
        require_sizes(faces, audio, self.face_size)
        heard, seen = frames_there(faces, valid, length)
        seats = None if self.context == "track" or scene is None else _seats(scene)
        sound = None if heard is None else heard.repeat_interleave(ROWS_PER_FRAME, 1)
        dtype = self.head.weight.dtype
        audio_tokens = self.audio_encoder(audio.to(dtype), sound)
        video_tokens = self.video_encoder(normalised_faces(faces, seen, dtype), seen)

        of_faces, of_sound = self._places(seconds, boxes, seen, seats)
        angles = self._angles("cross", of_sound, of_faces)
        audio_found = self.audio_attention(audio_tokens, video_tokens, heard, angles)
        angles = self._angles("cross", of_faces, of_sound)
        video_found = self.video_attention(video_tokens, audio_tokens, seen, angles)
        fused = self._look_at_themselves(torch.cat([audio_found, video_found], -1), seen, of_faces, seats)
        return {
            "logits": self.head(fused),
            "audio_logits": self.audio_head(audio_found),
            "video_logits": self.video_head(video_found),
            "audio": audio_tokens,
            "video": video_tokens,
            "fused": fused,
        }

    def _look_at_themselves(
        self, tokens: Tensor, seen: Tensor | None, places: Tensor | None, seats: Seats | None
    ) -> Tensor:
        """The last attention, over the tokens (B, T, 2 D) of each row, or over those of all rows of a scene."""
        if seats is None:
            return self.joint_attention(tokens, tokens, seen, self._angles("self", places, places))
        batch, frames, _ = tokens.shape
        if seen is None and len(seats.clip) < seats.taken.numel():
            seen = tokens.new_ones(batch, frames, dtype=torch.bool)
        tokens, seen, places = (
            None if rows is None else seats.seat(rows.flatten(1)).unflatten(2, rows.shape[1:]).flatten(1, 2)
            for rows in (tokens, seen, places)
        )
        found = self.joint_attention(tokens, tokens, seen, self._angles("self", places, places))
        return seats.collect(found.unflatten(1, (-1, frames)))

    def _places(
        self, seconds: Tensor | None, boxes: Tensor | None, seen: Tensor | None, seats: Seats | None
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Positions (B, T, 3) of faces and of sound, counted from the first frame of the row or of the scene."""
        if self.rope == "none":
            return None, None
        needed = {"seconds": seconds} | ({"boxes": boxes} if self.rope == "mrope" else {})
        if missing := [name for name, value in needed.items() if value is None]:
            raise ValueError(f"rope={self.rope!r} needs {' and '.join(missing)} of the frames, found None")
        start = seconds[:, :1]
        if seats is not None:
            start = seats.seat(start)[seats.clip, 0]
        places = self.rotary.positions(seconds - start, boxes if self.rope == "mrope" else None, seen)
        return tuple(place * self.rope_scale for place in places)

    def _angles(self, layer: str, stream: Tensor | None, other: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Angles of both streams, given their positions, in the layers called ``layer``; None: nothing turns."""
        if stream is None or layer not in self.rotary.apply_to:
            return None
        return tuple(self.rotary.angles(place, self.num_heads, self._head_dim(layer)) for place in (stream, other))

    def _head_dim(self, layer: str) -> int:
        return self.dim * (1 if layer == "cross" else 2) // self.num_heads


def _seats(scene: Tensor) -> Seats:
    numbers, place = torch.unique(scene, return_inverse=True)
    return Seats.of(place, len(numbers))
