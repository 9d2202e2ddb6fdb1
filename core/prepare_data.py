"""``mode=prepare``: make what other programs read, such as frames as images, and say what could not be made."""

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

REPORT_FILE = "prepare.json"
SHOWN_PER_KIND = 3  # on the screen; the file has all
STATES = ("made", "kept", "failed")


class NotPreparedError(ValueError):
    """Something could not be made; the report says what, and why."""


def prepare_data(config: dict[str, Any]) -> None:
    """Let the datamodule make what its options name, show a table, and write ``prepare.json`` into the run folder.

    The datamodule's ``prepare()`` yields products: data classes with ``kind``, ``path``, ``state`` (``made``, ``kept``
    because it was there, ``failed``) and ``detail``. One process does the work. What was made before an interruption
    is written, and says that it is not all.

    Args:
        config: Config of the job as plain containers.

    Raises:
        NotPreparedError: When anything failed, so that the program ends with exit code 1.
        ConfigError: When the datamodule has nothing to prepare.
    """
    datamodule = build(config["datamodule"], "datamodule")
    if not hasattr(datamodule, "prepare"):
        raise wrong("mode", "prepare", f"{type(datamodule).__name__} has nothing to prepare")
    if not primary_process():
        return
    products: list[dict[str, Any]] = []
    complete = False
    file = Path(config["paths"]["run"], REPORT_FILE)
    try:
        products += (asdict(product) for product in datamodule.prepare())
        complete = True
    finally:
        counts = {kind: Counter() for kind in dict.fromkeys(product["kind"] for product in products)}
        for product in products:
            counts[product["kind"]][product["state"]] += 1
        counts = {kind: {state: count[state] for state in STATES} for kind, count in counts.items()}
        content = {"datamodule": config["datamodule"], "complete": complete, "counts": counts, "products": products}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(content, indent=1).encode())
        if products:
            show(complete, counts, products)
    failed = sum(count["failed"] for count in counts.values())
    if failed:
        raise NotPreparedError(f"{failed} of {len(products)} could not be made; {report.near(file)} lists them")
    made = sum(count["made"] for count in counts.values())
    kept = f", {len(products) - made} were there already" if made < len(products) else ""
    done = f"{made} made{kept}" if made else "nothing to do: all is there already"
    log.info("%s (%s)", done, report.near(file))


def show(complete: bool, counts: dict[str, dict[str, int]], products: list[dict[str, Any]]) -> None:
    """Print how much of each kind was made, and the first of each that failed."""
    title = "prepared" if complete else "INTERRUPTED"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("product", no_wrap=True)
    for state in STATES:
        table.add_column(state, justify="right")
    table.add_column("where", overflow="fold")
    for kind, count in counts.items():
        bad = [product for product in products if product["kind"] == kind and product["state"] == "failed"]
        lines = [f"{report.near(Path(product['path']))}: {product['detail']}" for product in bad[:SHOWN_PER_KIND]]
        lines += [f"and {len(bad) - SHOWN_PER_KIND} more"] if len(bad) > SHOWN_PER_KIND else []
        table.add_row(kind, *(str(count[state]) for state in STATES), Text("\n".join(lines)))
    report.console().print(table)
