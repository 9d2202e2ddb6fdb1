"""Names of the tensors of a head: ours, and those of CKK-coder/FBI-Learning, whose masks go by crossed names."""

from models.weights_family import rename

# Upstream's ``context_atten`` sees the background, its ``local_atten`` the foreground.
_PARTS = {"feature_encoder": "encoder", "local_atten": "foreground", "context_atten": "background"}
_LAYERS = {"self_atten": "self_attention", "cross_atten": "cross_attention", "ffn": "feed_forward"}
_ATTENTIONS = {"self_atten": "self_attn", "cross_atten": "multihead_attn"}
_SINGLE = {"conv_reduce": "reduce", "fc": "classifier", "norm": "norm"}
_WEIGH = {"0": "0", "1": "2", "2": "4"}  # ReLUs count in ours


def _pairs() -> list[tuple[str, str]]:
    """Beginnings of names, upstream and ours, with ``#`` for the number of a layer."""
    pairs = [(f"{theirs}.", f"{ours}.") for theirs, ours in _SINGLE.items()]
    pairs += [(f"weight_linear.layers.{theirs}.", f"weigh.{ours}.") for theirs, ours in _WEIGH.items()]
    for part, our_part in _PARTS.items():
        for layer, our_layer in _LAYERS.items():
            theirs, ours = f"{part}.{layer}.#.", f"{our_part}.#.{our_layer}."
            if layer in _ATTENTIONS:
                pairs.append((f"{theirs}{_ATTENTIONS[layer]}.", f"{ours}attention."))
            pairs.append((theirs, ours))
    return pairs


PAIRS = _pairs()


def our_key(upstream: str) -> str | None:
    """Name of a tensor of `FBILHead` or `LinearRoIHead` by that of upstream's head; None for a tensor of neither.

    Args:
        upstream: Without what wraps the head, such as ``head.module.``.
    """
    return rename(upstream, PAIRS)


def upstream_key(ours: str) -> str | None:
    """Name of a tensor in upstream's head by that in `FBILHead` or `LinearRoIHead`; None for a tensor of neither."""
    return rename(ours, [(ours, theirs) for theirs, ours in PAIRS])
