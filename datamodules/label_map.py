"""Which classes of action there are: a label map (pbtxt) of AVA, or the names in a data set of one's own."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from datamodules.checking import Defect
from datamodules.errors import DataFileError, PathNotFoundError

POSE, OBJECT, PERSON, OTHER = "pose", "object", "person", "other"
# What the full list of AVA calls its groups, and the last id of each (Gu et al., AVA, 2018).
GROUPS = {"PERSON_MOVEMENT": POSE, "OBJECT_MANIPULATION": OBJECT, "PERSON_INTERACTION": PERSON}
LAST_IDS = {14: POSE, 63: OBJECT, 80: PERSON}
AVA_IDS = frozenset(range(1, max(LAST_IDS) + 1))

BROKEN_MAP = "broken label map"
DUPLICATE_CLASS = "class listed twice"

BLOCK = re.compile(r"(?:item|label)\s*\{(?P<fields>[^{}]*)\}")
FIELD = re.compile(r'(?P<key>\w+)\s*:\s*(?:"(?P<text>[^"\n]*)"|(?P<word>[\w.+-]+))\s*[,;]?')


class Action(NamedTuple):
    """A class of action.

    Attributes:
        id: Number in annotation and result files.
        name: What it is called.
        group: ``pose``, ``object`` (with an object), ``person`` (with another person) or ``other``.
    """

    id: int
    name: str
    group: str = OTHER


@dataclass(frozen=True)
class LabelMap:
    """The classes of a data set; their order is that of the channels of targets and scores.

    Attributes:
        actions: The classes, by increasing id.
        known: Ids that annotations may have beside those: they stand for nothing here and are left aside.
    """

    actions: tuple[Action, ...]
    known: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.actions)

    @cached_property
    def channels(self) -> dict[int, int]:
        """Channel of each id."""
        return {action.id: channel for channel, action in enumerate(self.actions)}

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of each name."""
        return {action.name: action.id for action in self.actions}


def of_names(names: Iterable[str]) -> LabelMap:
    """Number classes of one's own from 1, in the order of their names; names that are all numbers are the ids."""
    found = sorted(set(names))
    if all(name.isdecimal() for name in found):
        return LabelMap(tuple(Action(number, str(number)) for number in sorted({int(name) for name in found})))
    return LabelMap(tuple(Action(place, name) for place, name in enumerate(found, start=1)))


def read_label_map(path: Path) -> LabelMap:
    """Read a label map of AVA: ``item { name: "stand" id: 12 }``, or with ``label_id`` and ``label_type``.

    60 classes are evaluated (``ava_action_list_v2.2_for_activitynet_2019.pbtxt``), the full list has 80. The group is
    the ``label_type``, or follows from an id of AVA. A file without blocks holds a name per line; ids count from 1.

    Raises:
        PathNotFoundError: When there is no such file.
        DataFileError: With all that is wrong with it.
    """
    found, defects = scan(path)
    if defects:
        raise DataFileError(path, "; ".join(defect.detail for defect in defects))
    return found


def scan(path: Path) -> tuple[LabelMap, list[Defect]]:
    """Read a label map as far as that is possible, and say what is wrong with it, by line."""
    if not path.is_file():
        raise PathNotFoundError("datamodule.label_map", path, "Expected a list of actions (.pbtxt).")
    text = path.read_text(encoding="utf-8-sig")
    actions: dict[int, Action] = {}
    lines: dict[str, int] = {}
    defects: list[Defect] = []

    def wrong(kind: str, line: int, reason: str) -> None:
        defects.append(Defect(kind, "", str(path), f"line {line}: {reason}"))

    for line, fields in blocks(text) if "{" in text else plain(text):
        name, number = fields.get("name", ""), fields.get("label_id", fields.get("id", ""))
        if "?" in fields:
            wrong(BROKEN_MAP, line, f"{fields['?']!r} cannot be understood")
        elif not name or not number.isdecimal() or int(number) < 1:
            wrong(BROKEN_MAP, line, f"expected a name and an id from 1, found name {name!r} and id {number!r}")
        elif (key := int(number)) in actions:
            twin = actions[key].name
            wrong(DUPLICATE_CLASS, line, f"id {key} is {name!r}, and {twin!r} in line {lines[twin]}")
        elif name in lines:
            wrong(DUPLICATE_CLASS, line, f"{name!r} is id {key}, and another one in line {lines[name]}")
        else:
            group = GROUPS.get(fields["label_type"], OTHER) if "label_type" in fields else group_of(key)
            actions[key], lines[name] = Action(key, name, group), line
    if not actions:
        wrong(BROKEN_MAP, 1, "there is no class in it")
    return LabelMap(tuple(actions[key] for key in sorted(actions)), AVA_IDS - actions.keys()), defects


def group_of(number: int) -> str:
    """The group of an id of AVA."""
    return next((group for last, group in LAST_IDS.items() if number <= last), OTHER)


def plain(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the names of a list that has one per line, with ids from 1."""
    named = [(line, name.strip()) for line, name in enumerate(text.splitlines(), start=1)]
    for number, (line, name) in enumerate(((line, name) for line, name in named if name), start=1):
        yield line, {"name": name, "id": str(number)}


def blocks(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the fields of every block with the line it begins in; the field ``?`` is what cannot be understood."""
    text = re.sub(r"#[^\n]*", "", text)
    end = 0
    for block in [*BLOCK.finditer(text), None]:
        begin = len(text) if block is None else block.start()
        if rest := text[end:begin].strip():
            yield text.count("\n", 0, text.index(rest, end)) + 1, {"?": rest.partition("\n")[0]}
        if block is None:
            return
        fields = {field["key"]: field["text"] or field["word"] or "" for field in FIELD.finditer(block["fields"])}
        if rest := FIELD.sub("", block["fields"]).strip():
            fields["?"] = rest.partition("\n")[0]
        yield text.count("\n", 0, begin) + 1, fields
        end = block.end()
