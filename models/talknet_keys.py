"""Names of the tensors of TalkNet: ours, and those of TaoRuijie/TalkNet-ASD and zcxu-eric/Ego4d_TalkNet_ASD."""

from models.weights_family import rename

MODEL = "model."  # in front of all but the heads, which upstream keeps in its losses

_LAYER = {  # of attention
    "self_attn.in_proj_": "attention.in_proj.",
    "self_attn.out_proj.": "attention.out_proj.",
    "linear1.": "feed_forward.linear1.",
    "linear2.": "feed_forward.linear2.",
    "norm1.": "norm.",
    "norm2.": "feed_forward.norm.",
}
_LAYERS = {"crossA2V": "audio_attention", "crossV2A": "video_attention", "selfAV": "joint_attention"}
_PAIR = {  # of residual units on faces
    "conv1a.": "first.0.",
    "bn1a.": "first.1.",
    "conv2a.": "first.3.",
    "downsample.": "shortcut.",
    "outbna.": "first_norm.",
    "conv1b.": "second.0.",
    "bn1b.": "second.1.",
    "conv2b.": "second.3.",
    "outbnb.": "second_norm.",
}
_BLOCK = {  # on sound
    "conv1.": "conv1.",
    "bn1.": "norm1.",
    "conv2.": "conv2.",
    "bn2.": "norm2.",
    "se.fc.0.": "excitation.reduce.",
    "se.fc.2.": "excitation.expand.",
    "downsample.0.": "shortcut.",
    "downsample.1.": "shortcut_norm.",
}
_TEMPORAL = {
    "net.1.": "norm.",
    "net.2.": "depthwise.",
    "net.3.": "activation.",
    "net.4.gamma": "global_norm.scale",
    "net.4.beta": "global_norm.bias",
    "net.5.": "pointwise.",
}
_SINGLE = {
    "visualFrontend.frontend3D.0.": "video_encoder.frontend.conv.",
    "visualFrontend.frontend3D.1.": "video_encoder.frontend.norm.",
    "visualConv1D.net.0.": "video_encoder.head.conv.",
    "visualConv1D.net.1.": "video_encoder.head.norm.",
    "visualConv1D.net.3.": "video_encoder.head.project.",
    "audioEncoder.conv1.": "audio_encoder.conv.",
    "audioEncoder.bn1.": "audio_encoder.norm.",
    "lossAV.FC.": "head.",
    "lossA.FC.": "audio_head.",
    "lossV.FC.": "video_head.",
}
STAGES = 4


def _pairs() -> list[tuple[str, str]]:
    """Beginnings of names, upstream and ours, with ``#`` for the number of a block."""
    pairs = list(_SINGLE.items())
    for layer, our_layer in _LAYERS.items():
        pairs += [(f"{layer}.{theirs}", f"{our_layer}.{ours}") for theirs, ours in _LAYER.items()]
    for stage in range(STAGES):  # which upstream counts from 1
        faces = f"visualFrontend.resnet.layer{stage + 1}.", f"video_encoder.frontend.pairs.{stage}."
        sound = f"audioEncoder.layer{stage + 1}.#.", f"audio_encoder.stages.{stage}.#."
        for (start, our_start), parts in ((faces, _PAIR), (sound, _BLOCK)):
            pairs += [(start + theirs, our_start + ours) for theirs, ours in parts.items()]
    start, our_start = "visualTCN.net.#.", "video_encoder.temporal.#."
    return pairs + [(start + theirs, our_start + ours) for theirs, ours in _TEMPORAL.items()]


PAIRS = _pairs()


def our_key(upstream: str) -> str | None:
    """Name of a tensor of `TalkNet` by that in a published file, with or without ``model.``; None: it has no such."""
    return rename(upstream.removeprefix(MODEL), PAIRS)


def upstream_key(ours: str) -> str | None:
    """Name of a tensor in published files by that in `TalkNet`; None for a tensor of neither."""
    theirs = rename(ours, [(ours, theirs) for theirs, ours in PAIRS])
    return theirs if theirs is None or theirs.startswith("loss") else MODEL + theirs
