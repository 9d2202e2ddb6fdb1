"""What a model says of itself, so that it can be explained without knowing it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Head = Literal["pooled_linear", "tokens", "homogeneous"]


@dataclass(frozen=True)
class SaliencySpec:
    """Where to look in a model, and which of its heads can be taken apart exactly.

    A model offers it as method ``saliency_spec()``; whoever explains a model that has none passes one along. Names are
    dotted, as of ``named_modules``. A stream is a part of the model with a grid of its own, such as a pathway.

    Args:
        layers: Layer of each stream that gradient methods look at. Outputs are volumes (B, C, T', H', W'), planes
            (B, C, H', W') or (B * T', C, H', W'), or tokens (B, N, D).
        grid: ``(T', H', W')`` of tokens, time slowest; tokens before these are class tokens.
        head: How outputs come about from the ``features``: ``pooled_linear``, a linear map of the means of all streams
            over time and space, joined in the order of the streams; ``tokens``, a linear map of the layer norm
            (``norm``) of the mean token; ``homogeneous``, a linear map of what scales with the features, as means,
            maxima, absolute values and RoIAlign do. None: none of these, so that there is no exact evidence.
        features: Layers whose outputs the head gets, of each stream; None: ``layers``.
        classifier: The linear map, a module with ``weight`` (K, C) and ``bias``; None: the outputs are what it would
            get. Where it is applied to several boxes, outputs are joined, (B, R * K).
        norm: The layer norm of ``tokens``.
        attention: Modules that are called with queries, keys and values, as `models.transformer.DotProduct` is, from
            the first block to the last.
        summary: Which tokens attention is followed back from: the mean of all, or the ``first``.
        method: What is used where nobody asks for another; None: ``tube`` where there is a head, otherwise
            ``grad_cam``.

    Raises:
        ValueError: For an unknown head, or one without what it needs.
    """

    layers: Mapping[str, str]
    grid: tuple[int, int, int] | None = None
    head: Head | None = None
    features: Mapping[str, str] | None = None
    classifier: str | None = None
    norm: str | None = None
    attention: tuple[str, ...] = field(default=())
    summary: Literal["mean", "first"] = "mean"
    method: str | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers: expected the layer of at least one stream, found none")
        if self.head is not None and self.head not in get_args(Head):
            raise ValueError(f"head: expected one of {', '.join(get_args(Head))} or None, found {self.head!r}")
        if self.head == "tokens" and (self.norm is None or self.grid is None):
            raise ValueError("head='tokens' needs norm, the name of the layer norm, and grid")
        if self.summary not in ("mean", "first"):
            raise ValueError(f"summary: expected 'mean' or 'first', found {self.summary!r}")

    @property
    def pooled(self) -> Mapping[str, str]:
        """Layers whose outputs the head gets."""
        return self.layers if self.features is None else self.features
