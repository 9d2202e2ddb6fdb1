"""Pickles of plain values and arrays are read as pickle reads them; anything else is refused, and nothing is called."""

import copyreg
import os
import pickle
import random
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from core.safe_pickle import arrays as allowed
from core.safe_pickle import machine as machines
from datamodules import safe_pickle
from datamodules.errors import LabelFileError
from datamodules.safe_pickle import UnsafePickleError, load

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
DTYPES = ("u1", "i1", "<i2", ">i4", "i8", "?", "f2", "<f4", ">f8", "u8")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.pickle"


def written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def same(found: object, expected: object) -> bool:
    """Equal values of equal types, through containers and arrays."""
    if isinstance(expected, np.ndarray | np.generic):
        return found.dtype == expected.dtype and np.array_equal(found, expected) and type(found) is type(expected)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        return type(found) is type(expected) and all(map(same, found, expected)) and len(found) == len(expected)
    return type(found) is type(expected) and found == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_protocol_and_number_type_are_read(file: Path, protocol: int, dtype: str) -> None:
    array = (np.arange(12) % 3 == 0).astype(dtype).reshape(3, 4)
    value = {"line": array[0], "row": array[:1], "fortran": np.asfortranarray(array), "part": array[:, ::2]}
    value |= {"scalar": array[0, 0], "again": array[0], "cube": array.reshape(3, 2, 2)}
    found = load(written(file, pickle.dumps(value, protocol)))
    assert same(found, pickle.loads(file.read_bytes()))
    assert all(np.array_equal(found[name], value[name]) for name in value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_of_every_protocol_are_read(file: Path, protocol: int) -> None:
    shared = [1, 2]
    value = {
        "numbers": [0, 1, -1, 255, 256, 65536, 2**31, 2**70, -(2**2100), 0.5, -1e300],
        "texts": ["", "é", "\n", "日本", "x" * 300],
        "constants": (None, True, False),
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "shared": [shared, shared],
        "many": list(range(3000)),
        7: {"deep": [[[{}]]]},
    }
    found = load(written(file, pickle.dumps(value, protocol)))
    assert same(found, value)
    assert found["shared"][0] is found["shared"][1]


def test_bytes_sets_and_ordered_dictionaries_are_read(file: Path) -> None:
    value = [b"\x00\xff" * 200, bytearray(b"ab"), {1, 2}, frozenset("ab"), OrderedDict(b=1, a=np.ones(2))]
    found = load(written(file, pickle.dumps(value, 5)))
    assert same(found[:4], value[:4])
    assert list(found[4]) == ["b", "a"] and same(found[4]["a"], np.ones(2))
    assert list(load(written(file, pickle.dumps(OrderedDict(b=1, a=2), 2)))) == ["b", "a"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("generation", [b"numpy.core", b"numpy._core"])
def test_arrays_of_every_numpy_generation_are_read(file: Path, protocol: int, generation: bytes) -> None:
    value = {"array": np.arange(5) % 2, "scalar": np.float32(1)}
    content = pickle.dumps(value, protocol)
    here = b"numpy._core" if b"numpy._core" in content else b"numpy.core"
    for module in (b".multiarray", b".numeric"):  # in protocol 4 and above a name follows its length
        old, new = here + module, generation + module
        content = content.replace(bytes([len(old)]) + old, bytes([len(new)]) + new).replace(b"c" + old, b"c" + new)
    content = unframed(content)
    assert generation + b".multiarray" in content or generation + b".numeric" in content
    assert same(load(written(file, content)), value)


def unframed(content: bytes) -> bytes:
    """Without the frames of protocol 4, whose lengths a change of names makes wrong."""
    return content[:2] + content[11:] if content[2:3] == pickle.FRAME else content


# What Python 2.7 writes for {"01_0014": array([0., 1.])}: bytes are quoted in protocol 0, as they are in 2.
PYTHON_2 = {
    0: b"(dp0\nS'01_0014'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\n"
    b"tp6\nRp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\n"
    b"bI00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?'\np15\ntp16\nbs.",
    2: b"\x80\x02}q\x00U\x0701_0014q\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04"
    b"U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\tU\x02f8q\nK\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01<q\r"
    b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    b"\xf0?q\x0ftq\x10bs.",
}


@pytest.mark.parametrize("protocol", PYTHON_2)
def test_files_of_python_2_are_read(file: Path, protocol: int) -> None:
    assert same(load(written(file, PYTHON_2[protocol])), {"01_0014": np.array([0.0, 1.0])})


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval, exec, open, getattr, np.load, np.memmap])
def test_what_is_no_array_is_refused_by_name_and_not_called(file: Path, protocol: int, function: object) -> None:
    trace = file.parent / "trace"
    arguments = {os.mkdir: (str(trace),), os.system: (f"touch {trace}",), open: (str(trace), "w"), getattr: (1, "real")}
    call = Calls(function, *arguments.get(function, (f"__import__('os').mkdir({str(trace)!r})",)))
    content = pickle.dumps({"01_001": np.ones(3), "01_002": [call]}, protocol)
    name = f"{function.__module__}.{function.__name__}".replace(
        "builtins", "__builtin__" if protocol < 3 else "builtins"
    )
    with pytest.raises(UnsafePickleError) as caught:
        load(written(file, content))
    message = str(caught.value)
    assert message.startswith(f"{file}: needs {name.replace('_io', 'io')}, ")
    assert f"numpy.savez('{file.with_suffix('.npz')}'" in message and f"open('{file}', 'rb')" in message
    assert not trace.exists()


def test_the_advice_converts_a_file_that_one_trusts(file: Path) -> None:
    written(file, pickle.dumps({"01_001": Calls(list, (0.0, 1.0)), "01_002": np.array([[1, 0]], object)}))
    with pytest.raises(UnsafePickleError) as caught:
        load(file)
    command = str(caught.value).split('python -c "')[1].rstrip('"')
    exec(command, {})
    with np.load(file.with_suffix(".npz"), allow_pickle=False) as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {"01_001": [0, 1], "01_002": [1, 0]}


def short(text: bytes) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04" + short(b"numpy") + short(b"ndarray.tofile") + b"\x93.", "needs numpy.ndarray.tofile"),
        (b"\x80\x04" + short(b"numpy.core.multiarray") + short(b"_reconstruct.__self__") + b"\x93.", "__self__"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "needs numpy.core.multiarray.fromfile"),
        (b"cnumpy.core\nmultiarray._reconstruct\n.", "needs numpy.core.multiarray._reconstruct"),
        (b"cnumpy.testing._private.utils\nrunstring\n(S'y = 1'\n}tR.", "numpy.testing._private.utils.runstring"),
        (b"ccollections\ndefaultdict\n.", "needs collections.defaultdict"),
        (b"c_codecs\ndecode\n.", "needs _codecs.decode"),
        (b"c_codecs\nencode\n(Vab\nVrot13\ntR.", "calls _codecs.encode with 'rot13' instead of 'latin1'"),
        (b"c_codecs\nencode\n(Vab\ntR.", "calls _codecs.encode with a NoneType"),
        (b"Pname\n.", r"instruction PERSID \('name'\)"),
        (b"Vname\nQ.", "instruction BINPERSID"),
        (b"(Vls\niposix\nsystem\n.", r"instruction INST \('posix system'\)"),
        (b"(cnumpy\nndarray\no.", "instruction OBJ"),
        (b"ccollections\nOrderedDict\n)\x81.", "instruction NEWOBJ"),
        (b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "instruction NEWOBJ_EX"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (b"cnumpy\nndarray\n(I0\ntR.", "calls numpy.ndarray"),
        (b"Vprint\n)R.", "calls str"),
        (b"cnumpy\ndtype\n}Vx\nK\x01sb.", "sets the state of a Global"),
        (b"]}b.", "sets the state of a list"),
        (b"cnumpy\ndtype\n(VO8\ntR.", "an array of 'O8', which is no type of numbers"),
        (b"cnumpy\ndtype\n(Vobject\ntR.", "an array of 'object'"),
        (b"cnumpy\ndtype\n(]tR.", "an array of a list"),
        (b"cnumpy\ndtype\n(Vf8\ntR(I3\nV|\nN(Va\ntNI-1\nI-1\nI0\ntb.", "an array of records"),
        (b"})Vx\ns.", "has a tuple as key"),
    ],
)
def test_every_other_way_to_run_something_is_refused(file: Path, content: bytes, message: str) -> None:
    with pytest.raises(UnsafePickleError, match=message):
        load(written(file, content))


@pytest.mark.parametrize("cached", [False, True])
def test_registered_extensions_are_refused(file: Path, cached: bool) -> None:
    copyreg.add_extension("os", "getcwd", 7)
    try:
        content = pickle.dumps(Calls(os.getcwd), 2).replace(b"cposix\ngetcwd\n", b"\x82\x07")
        assert pickle.loads(content) == str(Path.cwd())  # which also puts it into the cache that no allow-list sees
        if not cached:
            copyreg.clear_extension_cache()
        with pytest.raises(UnsafePickleError, match="instruction EXT1"):
            load(written(file, content))
    finally:
        copyreg.remove_extension("os", "getcwd", 7)


def test_an_object_array_is_refused_also_behind_a_type_of_numbers(file: Path) -> None:
    content = pickle.dumps(np.array([[1], None], object), 3)
    with pytest.raises(UnsafePickleError, match="'O8', which is no type of numbers"):
        load(written(file, content))
    with pytest.raises(UnsafePickleError, match="no type of numbers"):
        load(written(file, content.replace(b"\x02\x00\x00\x00O8", b"\x02\x00\x00\x00u1")))


VALID = pickle.dumps({"01_001": np.arange(40) % 2, "01_002": [1.0]}, 3)


def test_a_file_that_ends_too_early_is_told_from_one_that_is_unsafe(file: Path) -> None:
    for length in range(len(VALID)):
        with pytest.raises(LabelFileError, match=r"labels.pickle: is no pickle, or not all of one \(.+\)") as caught:
            load(written(file, VALID[:length]))
        assert not isinstance(caught.value, UnsafePickleError)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_file_gives_a_value_or_the_error_of_a_label_file(file: Path, seed: int) -> None:
    draw = random.Random(seed)
    for base in (*(pickle.dumps({"a": np.ones(3), "b": np.float32(1)}, number) for number in PROTOCOLS), PYTHON_2[0]):
        for _ in range(150):
            content = bytearray(base)
            for _ in range(draw.randint(1, 4)):
                content[draw.randrange(len(content))] = draw.randrange(256)
            try:
                load(written(file, bytes(content)))
            except LabelFileError:
                continue


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"\xff\xfe",
        b"r\xff\xff\xff\xff.",  # a memo of 32 GB
        b"N" + b"\x95" + struct.pack("<Q", 2**62),
        b"\x96" + struct.pack("<Q", 2**40) + b"x.",
        b"\x8e" + struct.pack("<Q", 2**63) + b"x.",
        b"h\x05.",
        b"I" + b"9" * 5000 + b"\n.",
        b"(K\x01e.",
        b"]K\x01K\x02s.",
        b"t.",
        b"(" + b"(" * 100000,
        b"N" + b"\x85" * 100000 + short(b"x") + b"\x93",  # a name that is no text but a very deep tuple
    ],
)
def test_what_no_pickle_holds_is_an_error_of_the_file(file: Path, content: bytes) -> None:
    with pytest.raises(LabelFileError, match="is no pickle, or not all of one"):
        load(written(file, content))


def reconstructed(shape: bytes, content: bytes = b"C\x04abcd", dtype: bytes = b"u1", order: bytes = b"|") -> bytes:
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01" + shape + b"cnumpy\ndtype\n"
        b"(V"
        + dtype
        + b"\n\x89\x88tR(K\x03V"
        + order
        + b"\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + content
        + b"tb."
    )


def test_a_hand_made_array_is_read(file: Path) -> None:
    assert load(written(file, reconstructed(b"K\x04\x85"))).tolist() == list(b"abcd")


@pytest.mark.parametrize(
    "content",
    [
        reconstructed(b"K\x05\x85"),
        reconstructed(b"J\xff\xff\xff\xff\x85"),
        reconstructed(b"L1000000000000000\nK\x00\x86"),
        reconstructed(b"\x88\x85"),
        reconstructed(b"K\x04"),
        reconstructed(b"(" + b"K\x01" * 100 + b"K\x04t"),
        reconstructed(b"K\x04\x85", order=b"?"),
        reconstructed(b"K\x04\x85", content=b"K\x07"),
        reconstructed(b"K\x04\x85", content=b"V\\u4e00abc\n"),
        b"cnumpy.core.multiarray\n_reconstruct\n)RNb.",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(Vu1\ntRC\x02abtR.",
        b"cnumpy.core.multiarray\nscalar\n(Vu1\nC\x01atR.",
    ],
)
def test_an_array_whose_parts_do_not_fit_is_refused_before_it_is_made(file: Path, content: bytes) -> None:
    with pytest.raises(LabelFileError, match="is no pickle, or not all of one"):
        load(written(file, content))


def test_sizes_are_limited(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(file, VALID)
    with monkeypatch.context() as limits:
        limits.setattr(safe_pickle, "MAX_BYTES", 100)
        with pytest.raises(LabelFileError, match=rf"has {len(VALID)} bytes, expected at most 100 for labels"):
            load(file)
    with monkeypatch.context() as limits:
        limits.setattr(machines, "MAX_INSTRUCTIONS", 10)
        with pytest.raises(LabelFileError, match="more than 10 instructions"):
            load(file)
    monkeypatch.setattr(allowed, "MAX_VALUES", 39)
    with pytest.raises(LabelFileError, match="a size that is not in 0 to 39"):
        load(file)


def test_nothing_may_be_named_but_this() -> None:
    for package in ("numpy.core", "numpy._core"):
        for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer"):
            module, _, attribute = f"{package}.{name}".rpartition(".")
            assert (module, attribute) in allowed.GLOBALS
    others = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict")}
    assert others <= allowed.GLOBALS.keys() and len(allowed.GLOBALS) == 10
