"""What pickles of numpy arrays name, made from checked arguments by functions of our own instead of being called."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_VALUES = 10**7  # of an array; all videos of ShanghaiTech together have 3 * 10^5 frames
MAX_DIMENSIONS = 32
NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
BYTE_ORDERS = "|=<>"
KEYS = (str, bytes, int, float, type(None))  # whose hash is neither code of the file nor a walk through nested tuples


class RefusedError(Exception):
    """A pickle asks for something other than containers and arrays of numbers; the message goes on after "it"."""


@dataclass(frozen=True)
class Global:
    """A name that a pickle may use.

    Args:
        name: With its module.
        make: Makes what calling it would give; None for what is only handed on.
    """

    name: str
    make: Callable[..., Any] | None = None


@dataclass
class ElementType:
    """A ``numpy.dtype`` in the making: pickles give first its kind and size, then its byte order."""

    code: str
    order: str = "="

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)

    def set_state(self, state: Any) -> None:
        """Take over the byte order from (version, order, subarray, names, fields, ...)."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise RefusedError("holds an array of records")
        if not isinstance(state[1], str) or len(state[1]) != 1 or state[1] not in BYTE_ORDERS:
            raise ValueError("an array has no byte order")
        self.order = state[1]


def element_type(code: Any, *_: Any) -> ElementType:
    if code not in NUMBERS:
        raise RefusedError(f"holds an array of {shown(code)}, which is no type of numbers")
    return ElementType(code)


def empty_array(*_: Any) -> np.ndarray:
    """What is there of an array before its state."""
    return np.empty(0, np.uint8)


def fill_array(array: np.ndarray, state: Any) -> None:
    """Give an array its state (version, shape, type, is_fortran, content)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("an array has no shape and content")
    _, shape, element, fortran, content = state
    array.__setstate__((1, shape, *checked(element, shape, content, fortran)))


def array_of_buffer(buffer: Any, element: Any, shape: Any, order: Any) -> np.ndarray:
    dtype, fortran, content = checked(element, shape, buffer, order == "F")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy()


def scalar(element: Any, content: Any) -> np.generic:
    dtype, _, content = checked(element, (), content, False)
    return np.frombuffer(content, dtype)[0]


def checked(element: Any, shape: Any, content: Any, fortran: Any) -> tuple[np.dtype, bool, bytes]:
    """Compare type, shape and content of an array with one another, before there is one."""
    if isinstance(content, list):
        raise RefusedError("holds an array of 'O', which is no type of numbers")
    content = content.encode("latin-1") if isinstance(content, str) else content  # of Python 2
    if not isinstance(element, ElementType) or not isinstance(content, bytes | bytearray):
        raise ValueError("an array has no type or no content")
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("an array has no shape")
    if not all(type(size) is int and 0 <= size <= MAX_VALUES for size in shape) or math.prod(shape) > MAX_VALUES:
        raise ValueError(f"an array has a size that is not in 0 to {MAX_VALUES}")
    if len(content) != math.prod(shape) * element.dtype.itemsize:
        raise ValueError(f"an array has {len(content)} bytes, which do not fit its shape")
    return element.dtype, bool(fortran), bytes(content)


def encoded(text: Any, encoding: Any = None) -> bytes:
    """The bytes that Python 3 writes as text into files of protocol 2 and below."""
    if encoding != "latin1" or not isinstance(text, str):
        raise RefusedError(f"calls _codecs.encode with {shown(encoding)} instead of 'latin1'")
    return text.encode("latin-1")


def ordered(items: Any = ()) -> dict:
    """A dictionary of pairs, which keeps their order."""
    if not isinstance(items, list | tuple) or not all(isinstance(item, list | tuple) for item in items):
        raise ValueError("an ordered dictionary is not made of pairs")
    return dict((key(name), value) for name, value in items)


def key(value: Any) -> Any:
    """Refuse what is no plain key of a dictionary or element of a set."""
    if not isinstance(value, KEYS):
        raise RefusedError(f"has a {type(value).__name__} as key of a dictionary or element of a set")
    return value


def shown(value: Any) -> str:
    """A text as it is, as far as that is short; of anything else, what it is."""
    return repr(value[:40]) if isinstance(value, str) else f"a {type(value).__name__}"


# Exact names, nothing by prefix: numpy alone holds several functions that run code. Each numpy generation has its own.
GLOBALS = {
    (module, name): Global(f"{module}.{name}", make)
    for module, name, make in (
        ("numpy.core.multiarray", "_reconstruct", empty_array),
        ("numpy._core.multiarray", "_reconstruct", empty_array),
        ("numpy.core.multiarray", "scalar", scalar),
        ("numpy._core.multiarray", "scalar", scalar),
        ("numpy.core.numeric", "_frombuffer", array_of_buffer),
        ("numpy._core.numeric", "_frombuffer", array_of_buffer),
        ("numpy", "ndarray", None),
        ("numpy", "dtype", element_type),
        ("_codecs", "encode", encoded),
        ("collections", "OrderedDict", ordered),
    )
}
