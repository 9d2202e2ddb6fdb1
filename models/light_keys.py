"""Names of the tensors of Light-ASD and LR-ASD: ours, and those of Junhua-Liao/Light-ASD and Junhua-Liao/LR-ASD."""

from collections.abc import Callable

from models.light_asd import KERNELS as LIGHT_KERNELS
from models.lr_asd import KERNELS as LR_KERNELS
from models.weights_family import rename

BLOCKS = 3
_STREAMS = (("visualEncoder", "video_encoder", "s"), ("audioEncoder", "audio_encoder", "m"))
_HEADS = [("lossAV.FC.", "head."), ("lossV.FC.", "video_head.")]

Pairs = list[tuple[str, str]]


def _encoder_pairs(block_pairs: Callable[[str], Pairs]) -> Pairs:
    """Beginnings of names in both encoders, upstream and ours; blocks have layers called ``s`` or ``m``, and ``t``."""
    return [
        (f"{stream}.block{block + 1}.{theirs}", f"{our_stream}.blocks.{block}.{ours}")
        for stream, our_stream, within in _STREAMS
        for block in range(BLOCKS)
        for theirs, ours in block_pairs(within)
    ]


def _light_block(within: str) -> Pairs:
    """Upstream names layers by the size of their kernels."""
    layers = [("last", "mix")]
    for place, kernel in enumerate(LIGHT_KERNELS):
        layers += [(f"{within}_{kernel}", f"within.{place}"), (f"t_{kernel}", f"over_time.{place}")]
    return [
        pair
        for theirs, ours in layers
        for pair in ((f"{theirs}.", f"{ours}.conv."), (f"bn_{theirs}.", f"{ours}.norm."))
    ]


def _lr_block(within: str) -> Pairs:
    """Upstream counts layers from 1."""
    layers = [
        (letter, f"{ours}.{place}", place + 1)
        for letter, ours in ((within, "within"), ("t", "over_time"))
        for place in range(len(LR_KERNELS))
    ]
    return [
        pair
        for letter, ours, number in layers
        for pair in ((f"{letter}_{number}.", f"{ours}.conv."), (f"{letter}_norm_{number}.", f"{ours}.norm."))
    ]


LIGHT_PAIRS = [
    *_encoder_pairs(_light_block),
    ("GRU.gru_forward.", "forward_gru."),
    ("GRU.gru_backward.", "backward_gru."),
    *_HEADS,
]
LR_PAIRS = [
    *_encoder_pairs(_lr_block),
    ("fusion.attention.", "fusion.project."),
    ("fusion.bn.", "fusion.norm."),
    ("detector.gru_forward.", "forward_gru."),
    ("detector.gru_backward.", "backward_gru."),
    ("detector.attention.attention.", "directions.project."),
    ("detector.attention.bn.", "directions.norm."),
    *_HEADS,
]


def light_key(upstream: str) -> str | None:
    """Name of a tensor of `LightASD` by that in a published file, without ``model.``; None: it has no such."""
    return rename(upstream, LIGHT_PAIRS)


def lr_key(upstream: str) -> str | None:
    """Name of a tensor of `LRASD` by that in a published file, without ``model.``; None: it has no such."""
    return rename(upstream, LR_PAIRS)
