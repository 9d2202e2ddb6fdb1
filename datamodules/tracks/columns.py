"""Columns of words and numbers: their types, and Parquet files of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from core.atomic import replace_file
from datamodules.errors import DataFileError

NOTE = b"vidzoo"  # key of what a file says beside its columns
T = TypeVar("T")


def coded(column: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Number the words of a column.

    Returns:
        The different words in order, an object array, and int64 (N,), place of each word among them.
    """
    column = np.asarray(column, dtype=object)
    begins = np.flatnonzero(np.append(True, column[1:] != column[:-1])[: len(column)])  # words mostly come in runs
    places: dict[str, int] = {}
    codes = np.array([places.setdefault(word, len(places)) for word in column[begins]], dtype=np.int64)
    words = np.empty(len(places), dtype=object)
    words[:] = list(places)
    order = np.argsort(words)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return words[order], np.repeat(rank[codes], np.diff(begins, append=len(column)))


def typed_columns(columns: Mapping[str, Sequence], dtypes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Bring columns into type and to one length; equal words of a column become one object.

    Args:
        columns: All columns by name; a single value stands for a column of it.
        dtypes: Type of each column; ``object`` for words.

    Raises:
        ValueError: When columns are missing, differ in length, or hold something else.
    """
    if missing := [name for name in dtypes if name not in columns]:
        raise ValueError(f"lacks {'column' if len(missing) == 1 else 'columns'} {', '.join(missing)}")
    lengths = {len(columns[name]) for name in dtypes if not np.isscalar(columns[name])}
    if len(lengths) > 1:
        raise ValueError(f"its columns differ in length: {', '.join(map(str, sorted(lengths)))} rows")
    length = lengths.pop() if lengths else 1
    arrays = {}
    for name, dtype in dtypes.items():
        column, alone = columns[name], np.isscalar(columns[name])
        if dtype is object:
            words, codes = coded([column] if alone else column)
            if not all(isinstance(word, str) for word in words):
                raise ValueError(f"column {name}: expected words in every row")
            arrays[name] = words.repeat(length) if alone else words[codes]
        else:
            arrays[name] = np.full(length, column, dtype=dtype) if alone else np.array(column, dtype=dtype)
    return arrays


def write_columns(path: Path, columns: Mapping[str, np.ndarray], version: int, **said: Any) -> None:
    """Write columns as a Parquet file; words are stored once.

    Args:
        path: The file; its folder must exist.
        columns: By name.
        version: Of the columns and their meaning.
        said: Plain values that the file also holds.
    """
    arrays = [
        pa.array(column).dictionary_encode()
        if column.dtype == object and len(column)
        else pa.array(column, pa.string())
        if column.dtype == object
        else pa.array(column)
        for column in columns.values()
    ]
    note = {NOTE: json.dumps({"version": version, **said}, sort_keys=True).encode()}
    table = pa.table(arrays, names=list(columns)).replace_schema_metadata(note)
    replace_file(path, lambda file: parquet.write_table(table, file))


def read_columns(
    path: Path, dtypes: Mapping[str, Any], version: int, make: Callable[[Mapping[str, Sequence]], T]
) -> tuple[T, dict[str, Any]]:
    """Read a Parquet file of known columns; others are left aside.

    Args:
        path: The file.
        dtypes: Type of each column; ``object`` for words.
        version: Of the columns; a file without one, of another program, is taken at its word.
        make: What to make of the columns; its ``ValueError`` becomes one about the file.

    Returns:
        What was made, and the plain values that the file holds.

    Raises:
        FileNotFoundError: When there is no such file.
        DataFileError: When it is no such file.
    """
    try:
        with path.open("rb") as file:
            table = parquet.read_table(file)
    except pa.ArrowInvalid as error:
        raise DataFileError(path, f"cannot be read as Parquet ({error})") from error
    said = json.loads((table.schema.metadata or {}).get(NOTE, b"{}"))
    if said.get("version", version) != version:
        raise DataFileError(path, f"is of version {said['version']}, expected {version}; make it anew")
    columns = {}
    for name in set(dtypes) & set(table.column_names):
        column = table.column(name)
        columns[name] = column.to_pylist() if dtypes[name] is object else column.to_numpy()
    try:
        return make(columns), said
    except (ValueError, TypeError) as error:
        raise DataFileError(path, str(error)) from error
