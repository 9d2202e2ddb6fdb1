"""Rows of a csv file by the names of their columns, with their lines."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datamodules.ava_files import MALFORMED
from datamodules.checking import Defect
from datamodules.errors import DataFileError


@dataclass(frozen=True)
class CsvRows:
    """What a file says.

    Attributes:
        path: The file.
        lines: int64 (N,), line of each row, from 1.
        columns: By name of the column: (N,) words as written, or arrays that were made of them.
    """

    path: Path
    lines: np.ndarray
    columns: dict[str, list[str] | np.ndarray]

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> list[str] | np.ndarray:
        return self.columns[name]

    def having(self, **columns: list[str] | np.ndarray) -> "CsvRows":
        """The same rows with further columns, or others of these names."""
        return replace(self, columns=self.columns | columns)

    def take(self, chosen: np.ndarray) -> "CsvRows":
        """Rows of a mask."""
        if chosen.all():
            return self
        places = np.flatnonzero(chosen)
        columns = {
            name: [column[place] for place in places] if isinstance(column, list) else column[places]
            for name, column in self.columns.items()
        }
        return CsvRows(self.path, self.lines[places], columns)

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64 (N,); NaN where no number is written."""
        try:
            return np.array(self.columns[name], dtype=np.float64)
        except ValueError:
            return np.array([number_of(word) for word in self.columns[name]], dtype=np.float64)

    def where(self, row: int) -> str:
        """Place of a row in the file."""
        return f"line {self.lines[row]}"


def read_csv(path: Path, names: Sequence[str], telling: str) -> tuple[CsvRows, list[Defect]]:
    """Read a csv with or without header; rows with too few or too many cells are left out and named.

    Args:
        path: The file.
        names: Columns of a file without header; further ones at the end of its rows are left aside.
        telling: A column that is in every header, and in no other first line.

    Raises:
        FileNotFoundError: When there is no such file.
        DataFileError: When it is no text, or no csv.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataFileError(path, f"cannot be read as csv ({error})") from error
    found = [(line, cells) for line, cells in found if any(cells)]
    header = [cell.lower() for cell in found[0][1]] if found else []
    has_header = telling in header
    names, found = (header, found[1:]) if has_header else (names, found)
    fits = [len(cells) == len(names) if has_header else len(cells) >= len(names) for _, cells in found]
    defects = [
        Defect(MALFORMED, "", str(path), f"line {line}: has {len(cells)} columns, expected {len(names)}")
        for (line, cells), good in zip(found, fits, strict=True)
        if not good
    ]
    kept = [row for row, good in zip(found, fits, strict=True) if good]
    columns = {name: [cells[place] for _, cells in kept] for place, name in enumerate(names)}
    return CsvRows(path, np.array([line for line, _ in kept], np.int64), columns), defects


def number_of(word: str) -> float:
    """A number as it is written; NaN where it is none."""
    try:
        return float(word)
    except ValueError:
        return np.nan
