"""What came of a sweep, as a table: jobs that differ in nothing but their seed are one line, with mean and spread."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, ClassVar

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from core.atomic import write_file

OUTCOME, TABLE = "outcome.json", "table.csv"
SEED = "seed"
NOTHING = "-"
DIGITS = 4


class SweepTable(Callback):
    """Keeps what each job of a sweep returned, and shows them all when the last one has ended.

    ``<run folder>/outcome.json`` of each job has its number, its overrides, the monitored metric and its best value;
    ``<sweep>/table.csv`` the table. Jobs may run in any processes.
    """

    sweep: ClassVar[Path | None] = None  # folder of the sweep of this process

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        SweepTable.sweep = Path(config.hydra.sweep.dir)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        hydra = config.hydra
        if hydra.mode != RunMode.MULTIRUN:
            return
        ended = job_return.status == JobStatus.COMPLETED
        outcome = {
            "job": hydra.job.num,
            "overrides": list(job_return.overrides or ()),
            "metric": OmegaConf.select(config, "monitor.metric"),
            "value": job_return.return_value if ended else None,
            "failed": not ended,
        }
        content = f"{json.dumps(outcome, indent=1)}\n".encode()
        write_file(Path(hydra.runtime.output_dir, OUTCOME), content)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        show_table()


def show_table() -> None:
    """Print and write the table of this process's sweep, where any of its jobs has measured something."""
    sweep = SweepTable.sweep
    outcomes = [json.loads(path.read_text()) for path in sweep.glob(f"*/{OUTCOME}")] if sweep else []
    outcomes = sorted((each for each in outcomes if each["metric"]), key=lambda each: each["job"])
    if not any(each["value"] is not None for each in outcomes):
        return
    head, lines = table(outcomes)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    write_file(sweep / TABLE, text.getvalue().encode())
    metrics = ", ".join(dict.fromkeys(each["metric"] for each in outcomes))
    print(f"\n{sweep / TABLE}: best {metrics} of each job, over seeds", aligned([head, *lines]), sep="\n")


def table(outcomes: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Put jobs together that differ in nothing but their seed.

    Args:
        outcomes: Of the jobs of a sweep, in order.

    Returns:
        Names of columns, and a line for each setting in the order of its first job: what the jobs differ in; how many
        have a value, their mean, sample standard deviation, least and greatest; where any failed, how many.
    """
    settings = [dict(override.partition("=")[::2] for override in each["overrides"]) for each in outcomes]
    keys = [key for key in dict.fromkeys(key for each in settings for key in each) if key != SEED]
    keys = [key for key in keys if len({each.get(key) for each in settings}) > 1]
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for each, setting in zip(outcomes, settings, strict=True):
        groups.setdefault(tuple(setting.get(key, NOTHING) for key in keys), []).append(each)
    failed = any(each["failed"] for each in outcomes)
    lines = []
    for setting, jobs in groups.items():
        values = [job["value"] for job in jobs if job["value"] is not None]
        numbers = [mean(values), stdev(values) if len(values) > 1 else None, min(values), max(values)] if values else []
        spelled = [NOTHING if number is None else f"{number:.{DIGITS}f}" for number in numbers] or [NOTHING] * 4
        count = [str(sum(job["failed"] for job in jobs))] if failed else []
        lines.append([*setting, str(len(values)), *spelled, *count])
    return [*keys, "jobs", "mean", "std", "min", "max", *(["failed"] if failed else [])], lines


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text with columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
