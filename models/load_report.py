"""What happened to every tensor of a checkpoint and of the model it was loaded into."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

Shape = tuple[int, ...]
MAX_LINES = 60  # of a table
BLOCK = re.compile(r"(\b(?:res_)?blocks\.|_res[1-4]\.|\blayer[1-4]\.|pathway[01]_res)\d+\.")
PART = re.compile(
    r"(\b(?:blocks|get_token_probs)\.).*$|(?<=\.)(?:weight|bias)$|^.*(?=\.num_batches_tracked$|_momentum$)"
)


@dataclass(frozen=True)
class LoadReport:
    """Account of a load, complete: each tensor of the file and of the model is in exactly one of the first six fields.

    Attributes:
        path: The file.
        source: Who wrote it and how it was packed, in words.
        loaded: Names copied as they are.
        reshaped: Names of positional tables resized to the model's grid, with the shapes in file and model.
        fresh: Names in the model that the file lacks for a known reason, with the reason; they keep their values.
        dropped: Names in the file that the model lacks for a known reason, with the reason.
        missing: Names in the model, with their shapes, that the file should have and has not.
        unused: Names in the file, with their shapes, that the model should have and has not.
        mismatched: Names in both with different shapes: in the file and in the model. They are in no other field.
        converted: Number of tensors whose floating-point type was changed, by ``from -> to``.
    """

    path: Path
    source: str
    loaded: tuple[str, ...] = ()
    reshaped: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    missing: dict[str, Shape] = field(default_factory=dict)
    unused: dict[str, Shape] = field(default_factory=dict)
    mismatched: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    converted: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether nothing is left unexplained, so that the weights may be copied."""
        return not (self.missing or self.unused or self.mismatched)

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.source}; {len(self.loaded) + len(self.reshaped)} tensors fit"]
        lines += [f"  {count} tensors {change}" for change, count in self.converted.items()]
        rows = [
            *(("missing", name, "-", shape, "") for name, shape in self.missing.items()),
            *(("unused", name, shape, "-", "") for name, shape in self.unused.items()),
            *(("shape differs", name, theirs, ours, "") for name, (theirs, ours) in self.mismatched.items()),
            *(
                ("resized", name, theirs, ours, "positions of another grid")
                for name, (theirs, ours) in self.reshaped.items()
            ),
            *(("fresh", name, "-", "", reason) for name, reason in self.fresh.items()),
            *(("not used", name, "", "-", reason) for name, reason in self.dropped.items()),
        ]
        return "\n".join([*lines, *_table(rows)])


def _table(rows: list[tuple]) -> list[str]:
    """Aligned lines; tensors that differ in the number of the block only share one, as do those of an excused part."""
    merged: dict[tuple, list[str]] = {}
    for state, name, theirs, ours, reason in rows:
        family = PART.sub(r"\1*", name) if reason else BLOCK.sub(r"\1*.", name)
        merged.setdefault((state, family, theirs, ours, reason), []).append(name)
    cells = [("", "tensor", "file", "model", "")] if rows else []
    for (state, family, theirs, ours, reason), names in merged.items():
        name = names[0] if len(names) == 1 else f"{family} ({len(names)}x)"
        cells.append((state, name, _spell(theirs), _spell(ours), reason))
    more = len(cells) - MAX_LINES
    cells = cells[:MAX_LINES]
    widths = [max(len(row[column]) for row in cells) for column in range(5)] if cells else []
    lines = ["  ".join(["", *map(str.ljust, row, widths)]).rstrip() for row in cells]
    return [*lines, f"  and {more} more lines"] if more > 0 else lines


def _spell(shape: Shape | str) -> str:
    return shape if isinstance(shape, str) else "x".join(map(str, shape)) or "scalar"
