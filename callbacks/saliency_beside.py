"""Pictures of what a task has to show beside maps of clips, by kind; see ``Beside.pictures`` in `tasks.explaining`."""

from collections.abc import Callable, Mapping
from typing import Any

from callbacks.saliency_face import draw_face
from callbacks.saliency_pathways import draw_pathways
from callbacks.saliency_rows import draw_rows
from callbacks.saliency_tokens import draw_tokens

DRAWN: dict[str, Callable[..., bytes]] = {
    "pathways": draw_pathways,
    "face": draw_face,
    "tokens": draw_tokens,
    "rows": draw_rows,
}


def draw_beside(kind: str, title: str, values: Mapping[str, Any]) -> bytes:
    """Draw a picture.

    Args:
        kind: A key of ``DRAWN``.
        title: What it is of, above everything.
        values: Arguments of the function of that kind.

    Returns:
        A PNG file.

    Raises:
        ValueError: For an unknown kind.
    """
    if kind not in DRAWN:
        raise ValueError(f"kind of picture: expected one of {', '.join(DRAWN)}, found {kind!r}")
    return DRAWN[kind](title, **values)
