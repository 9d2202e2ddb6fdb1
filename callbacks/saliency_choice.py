"""Which answers of a task are explained: a few of any number, the same ones on any number of processes."""

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, Literal, Protocol

from torch import Tensor

Which = Literal["worst", "best", "first", "listed"]
PREDICTED, TRUE = "predicted", "true"
SUBJECTS = ("box", "face")
Order = list[Any]  # value, then numbers and names that tell answers of the same value apart


class Answer(Protocol):
    """The part of `tasks.explaining.Explainable` that is used here."""

    name: str
    key: tuple[int, ...]
    frames: Tensor
    output: Tensor
    subject: str
    kind: str
    classes: tuple[str, ...]
    truth: tuple[int, ...] | None
    probabilities: Callable[[Tensor], Tensor]


def explained_class(answer: Answer, target: str | int) -> int | None:
    """Which output of an answer a target means.

    Args:
        answer: The answer.
        target: ``predicted``, the highest output; ``true``, the highest of those that are true; the number or name of
            a class; ``box`` or ``face``, the highest output of each of them.

    Returns:
        Its number; None where nothing can be explained: where there is no output, or nothing that is known to be true.

    Raises:
        ValueError: When there is no such class.
    """
    outputs = len(answer.output)
    if not outputs:
        return None
    if target in (PREDICTED, *SUBJECTS):
        return int(answer.output.argmax())
    if target == TRUE:
        return max(answer.truth or (), key=lambda place: float(answer.output[place]), default=None)
    if target in answer.classes:
        return answer.classes.index(target)
    if isinstance(target, int) and 0 <= target < outputs:
        return target
    known = ", ".join(answer.classes) or "no names of classes"
    raise ValueError(
        f"callbacks.saliency.target: expected {PREDICTED}, {TRUE}, {', '.join(SUBJECTS)}, a number from 0 to "
        f"{outputs - 1} or a class ({known}), found {target!r}"
    )


def sureness(answer: Answer, target: str | int) -> float:
    """The probability of what is true, or where that is not known of what is explained; 0 where there is neither.

    Where nothing is true, that none of the outputs is: 1 less the highest probability.
    """
    probabilities = answer.probabilities(answer.output.float())
    if answer.truth is not None and not answer.truth:
        return 1 - float(probabilities.max())
    places = answer.truth or [place for place in [explained_class(answer, target)] if place is not None]
    return max((float(probabilities[place]) for place in places), default=0.0)


class Choice:
    """Keeps the answers that may have to be explained while all come by.

    With the target ``box`` or ``face`` a clip is chosen with all it has of them, otherwise answers one by one.

    Args:
        which: ``worst``, those of the lowest `sureness`; ``best``; ``first``, in the order of the split; ``listed``.
        number: How many; of ``listed`` for each name.
        target: See `explained_class`.
        names: Videos of ``listed``; ``video:frame`` are the clips that show the frame.
    """

    def __init__(self, which: Which, number: int, target: str | int, names: Sequence[str] = ()) -> None:
        self.which, self.number, self.target = which, number, target
        self.wishes = list(names) if which == "listed" else [""]
        self._kept: dict[str, list[tuple[Order, list[Any]]]] = {wish: [] for wish in self.wishes}

    def offer(self, answers: Iterable[Answer]) -> None:
        """Look at the answers about a batch.

        Raises:
            ValueError: When none is about what the target says, or of no clip it is known what is true.
        """
        answers = list(answers)
        with_output = [each for each in answers if len(each.output)]
        if self.target == TRUE and with_output and all(_unknown(each) for each in with_output):
            raise ValueError(
                f"callbacks.saliency.target=true: of {with_output[0].name} it is not known what is true; "
                "use callbacks.saliency.target=predicted"
            )
        for group in self._groups(answers):
            for wish in self.wishes:
                if not wish or wanted(group[0], wish):
                    row = self._kept[wish]
                    insort(row, (self._order(group), group), key=lambda each: each[0])
                    del row[self.number :]
                    break

    def settle(self, exchange: Callable[[Any], list[Any]], rank: int) -> tuple[list[tuple[int, Any]], list[str]]:
        """Agree with all processes on which answers are explained.

        Args:
            exchange: Hands in the note of this process, JSON, and returns those of all.
            rank: Of this process.

        Returns:
            Those of this process, each with its number among all, from 1; and names for which there is no clip.
        """
        notes = exchange({wish: [[order, len(group)] for order, group in row] for wish, row in self._kept.items()})
        mine, missing, number = [], [], 1
        for wish in self.wishes:
            offers = [
                (order, process, place, size)
                for process, note in enumerate(notes)
                for place, (order, size) in enumerate(note[wish])
            ]
            if not offers and wish:
                missing.append(wish)
            for _, process, place, size in sorted(offers)[: self.number]:
                if process == rank:
                    mine += list(enumerate(self._kept[wish][place][1], start=number))
                number += size
        return mine, missing

    def _groups(self, answers: list[Any]) -> list[list[Any]]:
        if self.target not in SUBJECTS:
            kept = [each for each in answers if not len(each.output) or explained_class(each, self.target) is not None]
            return [[each] for each in kept]
        of_kind = [each for each in answers if each.kind == self.target]
        if answers and not of_kind:
            kinds = ", ".join(sorted({each.kind for each in answers}))
            raise ValueError(f"callbacks.saliency.target={self.target}: this task says something of each {kinds} only")
        return [list(group) for _, group in groupby(of_kind, key=lambda each: each.key)]

    def _order(self, group: list[Any]) -> Order:
        values = [sureness(each, self.target) for each in group if len(each.output)]
        value = sum(values) / len(values) if values and self.which in ("worst", "best") else 0.0
        return [-value if self.which == "best" else value, *group[0].key, group[0].subject]


def _unknown(answer: Answer) -> bool:
    """Whether nobody knows what is true of a clip; of a box that a detector proposes it may just be nothing."""
    return answer.kind == "clip" and answer.truth is None


def wanted(answer: Answer, wish: str) -> bool:
    """Whether a wish, ``video`` or ``video:frame``, means the clip of an answer."""
    name, colon, frame = wish.rpartition(":")
    if colon and frame.isdigit() and answer.name == name:
        return bool(answer.frames[0] <= int(frame) <= answer.frames[-1])
    return answer.name == wish


def texts(answer: Answer, places: Iterable[int]) -> list[str]:
    """The names of outputs; their numbers where they have none."""
    return [answer.classes[place] if answer.classes else f"class {place}" for place in places]
