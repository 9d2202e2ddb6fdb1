"""Runs the instructions of a pickle that make plain values, and no other."""

import codecs
import pickletools
from io import BytesIO
from typing import Any

import numpy as np

from core.safe_pickle.arrays import GLOBALS, ElementType, Global, RefusedError, fill_array, key

MAX_INSTRUCTIONS = 3 * 10**7  # enough for lists of 10^7 numbers, which are one or two each
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}


class Machine:
    """A pickle machine that calls nothing but what `GLOBALS` holds and imports nothing at all.

    Args:
        data: The pickle. `pickletools` takes its instructions apart.
    """

    def __init__(self, data: bytes) -> None:
        self.file = BytesIO(data)
        self.stacks: list[list] = [[]]  # a mark lays a new one on top
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run the pickle to its end and return its value.

        Raises:
            RefusedError: When it asks for anything that is no plain value.
            ValueError, TypeError, LookupError, AttributeError: When it is broken.
        """
        for _ in range(MAX_INSTRUCTIONS):
            name, argument = self.instruction()
            if name == "STOP":
                return self.pop()
            self.follow(name, argument)
        raise ValueError(f"it has more than {MAX_INSTRUCTIONS} instructions")

    def instruction(self) -> tuple[str, Any]:
        """Take the next instruction and its argument off the file."""
        code = self.file.read(1).decode("latin-1")
        if code not in pickletools.code2op:
            raise ValueError(f"byte {self.file.tell() - 1} is no instruction" if code else "it ends too early")
        opcode = pickletools.code2op[code]
        if opcode.name == "STRING":  # pickletools expects ASCII, but Python 2 wrote arrays with it
            quoted = pickletools.read_stringnl(self.file, decode=False)
            return opcode.name, codecs.escape_decode(quoted)[0].decode("latin-1")
        return opcode.name, opcode.arg.reader(self.file) if opcode.arg else None

    def follow(self, name: str, argument: Any) -> None:
        """Do what an instruction says."""
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.stacks.append([])
            case "POP" if self.stacks[-1]:
                self.pop()
            case "POP" | "POP_MARK":
                self.items()
            case "DUP":
                self.push(self.top)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.top
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.top
            case "GET" | "BINGET" | "LONG_BINGET":
                self.push(self.memo[argument])
            case "LIST":
                self.push(self.items())
            case "TUPLE":
                self.push(tuple(self.items()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.push(tuple(reversed([self.pop() for _ in range(int(name[-1]))])))
            case "DICT":
                items = self.items()
                self.push({})
                self.set_items(items)
            case "FROZENSET":
                self.push(frozenset(map(key, self.items())))
            case "APPEND" | "APPENDS":
                items = [self.pop()] if name == "APPEND" else self.items()
                self.top_of(list).extend(items)
            case "SETITEM" | "SETITEMS":
                self.set_items([self.pop(), self.pop()][::-1] if name == "SETITEM" else self.items())
            case "ADDITEMS":
                items = self.items()
                self.top_of(set).update(map(key, items))
            case "GLOBAL":
                self.push(named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                attribute, module = self.pop(), self.pop()
                self.push(named(module, attribute))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                self.push(called(function, arguments))
            case "BUILD":
                state = self.pop()
                set_state(self.top, state)
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4" | "FLOAT" | "BINFLOAT":
                self.push(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8" | "UNICODE":
                self.push(argument)
            case (
                "STRING" | "BINSTRING" | "SHORT_BINSTRING" | "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8"
            ):
                self.push(argument)
            case _ if name in CONSTANTS:
                self.push(CONSTANTS[name])
            case _ if name in EMPTY:
                self.push(EMPTY[name]())
            case _:
                raise RefusedError(f"holds the instruction {name} ({str(argument)[:80]!r}), which makes other objects")

    def push(self, value: Any) -> None:
        self.stacks[-1].append(value)

    def pop(self) -> Any:
        return self.stacks[-1].pop()

    def items(self) -> list:
        """Take everything above the last mark, and the mark."""
        if len(self.stacks) == 1:
            raise LookupError("a mark is missing")
        return self.stacks.pop()

    @property
    def top(self) -> Any:
        return self.stacks[-1][-1]

    def top_of(self, kind: type) -> Any:
        """The value on top, which must be of a kind."""
        if type(self.top) is not kind:
            raise ValueError(f"a {type(self.top).__name__} is where a {kind.__name__} should be")
        return self.top

    def set_items(self, items: list) -> None:
        """Give the dictionary on top keys and values, by turns."""
        found = self.top_of(dict)
        for name, value in zip(items[::2], items[1::2], strict=True):
            found[key(name)] = value


def named(module: Any, name: Any) -> Global:
    """What a pickle names; only by the exact name, for a dotted one leads anywhere."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a name is no text")
    if (module, name) not in GLOBALS:
        raise RefusedError(f"needs {module}.{name}, which is no part of an array of numbers")
    return GLOBALS[module, name]


def called(function: Any, arguments: Any) -> Any:
    """What calling something that was named would give."""
    if not isinstance(function, Global) or function.make is None:
        raise RefusedError(f"calls {function.name if isinstance(function, Global) else type(function).__name__}")
    return function.make(*arguments)


def set_state(value: Any, state: Any) -> None:
    """Give an array, or the type of one, its state."""
    if isinstance(value, ElementType):
        value.set_state(state)
    elif isinstance(value, np.ndarray):
        fill_array(value, state)
    else:
        raise RefusedError(f"sets the state of a {type(value).__name__}")
