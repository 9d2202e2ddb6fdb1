"""``mode=check``: walk a data set without training, and say what is wrong with it."""

import json
import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from core import report
from core.atomic import write_file
from core.build import build
from core.errors import primary_process, wrong

log = logging.getLogger(__name__)

REPORT_FILE = "check.json"
SHOWN_PER_KIND = 3  # on the screen; the file has all


class DataDefectsError(ValueError):
    """Something is wrong with a data set; the report says what."""


def check_data(config: dict[str, Any]) -> None:
    """Run the check of the datamodule, show a table, and write ``check.json`` into the run folder.

    The datamodule's ``check()`` yields steps with the numbers ``videos`` and ``frames`` and a tuple ``defects`` of data
    classes with ``kind``, ``split``, ``path`` and ``detail``; its ``kinds_of_defects`` are all kinds there are. One
    process does the work. What was found before an interruption is written, and says that it is not all.

    Args:
        config: Config of the job as plain containers.

    Raises:
        DataDefectsError: When anything is wrong, so that the program ends with exit code 1.
        ConfigError: When the datamodule has no check.
    """
    datamodule = build(config["datamodule"], "datamodule")
    if not hasattr(datamodule, "check"):
        raise wrong("mode", "check", f"{type(datamodule).__name__} has no check of its data")
    if not primary_process():
        return
    defects: list[dict[str, Any]] = []
    found = {"complete": False, "videos": 0, "frames": 0}
    file = Path(config["paths"]["run"], REPORT_FILE)
    try:
        for step in datamodule.check():
            found["videos"] += step.videos
            found["frames"] += step.frames
            defects += [asdict(defect) for defect in step.defects]
        found["complete"] = True
    finally:
        counts = Counter(defect["kind"] for defect in defects)
        counts = {kind: counts[kind] for kind in datamodule.kinds_of_defects}
        content = {"datamodule": config["datamodule"], **found, "counts": counts, "defects": defects}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(content, indent=1).encode())
        show(found, counts, defects, Path(config["datamodule"].get("root") or ""))
    if defects:
        count = f"{len(defects)} defect{'' if len(defects) == 1 else 's'}"
        raise DataDefectsError(f"{count} in the data; {report.near(file)} lists all of them")
    log.info("nothing is wrong with the data (%s)", report.near(file))


def show(found: dict[str, Any], counts: dict[str, int], defects: list[dict[str, Any]], root: Path) -> None:
    """Print how many defects of each kind there are, and the first of each with its path below ``root``."""
    looked = "looked at" if found["complete"] else "INTERRUPTED after"
    title = f"{looked} {found['videos']} videos, {found['frames']} frames"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("defect", no_wrap=True)
    table.add_column("count", justify="right")
    table.add_column("where", overflow="fold")
    for kind, count in counts.items():
        own = [defect for defect in defects if defect["kind"] == kind]
        lines = [f"{below(root, Path(defect['path']))}: {defect['detail']}" for defect in own[:SHOWN_PER_KIND]]
        lines += [f"and {count - SHOWN_PER_KIND} more"] if count > SHOWN_PER_KIND else []
        table.add_row(kind, str(count), Text("\n".join(lines)), style="" if count else "dim")
    report.console().print(table)


def below(root: Path, path: Path) -> str:
    """Spell a path as it is seen from ``root``, or as it is where it lies elsewhere."""
    return str(path.relative_to(root)) if path.is_relative_to(root) and path != root else report.near(path)
