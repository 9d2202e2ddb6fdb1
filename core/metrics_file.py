"""The default logger: a CSV file in the run folder, continued when the run is."""

import csv
import io
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from core.atomic import write_file

_LEADING = "step"


class MetricsFile(Logger):
    """Write metrics as rows of one CSV file, a column per metric, a row per step.

    Lightning's CSVLogger drops the earlier rows of a folder that it opens again; this one keeps them. A run that is
    continued from a checkpoint repeats the steps it had logged after that checkpoint: the later row of a step counts.

    Rows are appended once their step is over. When a metric appears that has no column yet, the file is written anew
    beside the old one and replaces it, so that readers always see a whole table.

    The file is ``metrics.csv``; a job that does not train writes ``metrics_<mode>.csv`` beside that of a training.

    Args:
        folder: Run folder.
        mode: What the job does.
    """

    def __init__(self, folder: str, mode: str = "fit") -> None:
        super().__init__()
        self.path = Path(folder, "metrics.csv")
        if mode != "fit" and self.path.exists():
            self.path = self.path.with_name(f"metrics_{mode}.csv")
        self._rows: list[dict[str, Any]] = []
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the composed config is in the run folder already."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """Add values to the row of ``step``; a value that the row has already starts another row."""
        values = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        last = self._rows[-1] if self._rows else None
        if last is not None and last[_LEADING] == step and not (values.keys() - {"epoch"}) & last.keys():
            last.update(values)
            return
        self._rows.append({_LEADING: step, **values})

    @rank_zero_only
    def save(self) -> None:
        """Write the rows of finished steps; the newest waits for further metrics of its step."""
        self._write(self._rows[:-1])
        self._rows = self._rows[-1:]

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write all rows."""
        self._write(self._rows)
        self._rows = []

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        columns = self._known_columns()
        new = {name for row in rows for name in row} - set(columns)
        if new or not self.path.exists():
            self._columns = [_LEADING, *sorted({*columns, *new} - {_LEADING})]
            self._rewrite([*self._read(), *rows])
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerows(rows)

    def _known_columns(self) -> list[str]:
        """Columns of the file, in order; none before there is one."""
        if self._columns is None and self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file), [])
        return self._columns or []

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        table = io.StringIO()
        writer = csv.DictWriter(table, self._columns or [])
        writer.writeheader()
        writer.writerows(rows)
        write_file(self.path, table.getvalue().encode())
