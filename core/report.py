"""What a run shows of itself: its config, its model, and where to go from here."""

import copy
import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from core.command_line.targets import RESERVED
from core.errors import plain
from core.idle import only_trains

_FILE_WIDTH = 120  # columns where the output is no terminal
_NOT_SHOWN = ("next", "name")
_SHOWN_FIRST = ("mode", "task", "model", "datamodule", "optim", "scheduler", "trainer", "callbacks", "logger")
_NOT_REPEATED = ("mode", "ckpt_path", "run_id", "trainer.max_epochs", "hydra.run.dir")
_MAKING = ("fit", "predict")  # modes that leave something behind which a next command works on
_PICTURES_SHOWN = 3
_TITLE_WIDTH = 12  # the longest title, and two blanks

log = logging.getLogger(__name__)


def console() -> Console:
    """Standard output; without colours and at a fixed width where it is no terminal."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=_FILE_WIDTH, no_color=True)


def show_config(config: Mapping[str, Any], screen: Console) -> None:
    """Print the composed config as a tree: of each node its target, then its values."""
    tree = Tree(Text(str(config.get("name", "config")), style="bold"), guide_style="dim")
    leading = [key for key in _SHOWN_FIRST if key in config]
    order = [*leading, *(key for key in config if key not in (*leading, *_NOT_SHOWN))]
    _grow(tree, {key: config[key] for key in order})
    screen.print(tree)


def _grow(tree: Tree, node: Mapping[str, Any]) -> None:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            target = f"  {value['_target_']}" if "_target_" in value else ""
            branch = tree.add(Text.assemble((str(key), "bold"), (target, "dim")))
            _grow(branch, {name: child for name, child in value.items() if name not in RESERVED})
        elif value != {}:
            text = near(Path(value)) if isinstance(value, str) and Path(value).is_absolute() else plain(value)
            tree.add(Text.assemble((f"{key}: ", "dim"), text))


def show_model(model: nn.Module, flops: float | None, screen: Console) -> None:
    """Print parameters per submodule and, where it is known, the cost of a clip.

    Args:
        model: The network.
        flops: FLOPs of one forward pass on one clip.
        screen: Where to print.
    """
    table = Table(title=type(model).__name__, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading, side in (("part", "left"), ("class", "left"), ("parameters", "right"), ("trainable", "right")):
        table.add_column(heading, justify=side)
    for name, module in model.named_children():
        table.add_row(name, type(module).__name__, *_counts(list(module.parameters())))
    own = list(model.parameters(recurse=False))
    if own:
        table.add_row("(itself)", "", *_counts(own))
    table.add_section()
    table.add_row("total", "", *_counts(list(model.parameters())), style="bold")
    screen.print(table)
    if flops is not None:
        screen.print(Text(f"{flops / 1e9:.3g} GFLOPs per clip (forward; a multiply-add is two)"))


def _counts(parameters: list[nn.Parameter]) -> tuple[str, str]:
    unique = {id(parameter): parameter for parameter in parameters}.values()
    total = sum(parameter.numel() for parameter in unique)
    trained = sum(parameter.numel() for parameter in unique if parameter.requires_grad)
    return f"{total:,}", f"{trained:,}"


def forward_flops(model: nn.Module) -> float | None:
    """Count the FLOPs of one forward pass on one clip, without computing it.

    The model runs on the meta device, on a clip of the size in its attributes ``num_frames`` and ``image_size``
    (pixels: an int, or height and width); ``in_channels`` is 3 unless it says otherwise.

    Returns:
        The count, a multiply-add being two FLOPs. None for a model without these attributes, whose input is no clip of
        a known size, such as a detector on features; and, with a word in the log, for one that cannot run there.
    """
    frames, size = getattr(model, "num_frames", None), getattr(model, "image_size", None)
    if frames is None or size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    clip = torch.empty(1, getattr(model, "in_channels", 3), frames, height, width, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            _on_meta(model).eval()(clip)
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            name = type(model).__name__
            log.info("GFLOPs per clip unknown: %s does not run on the meta device (%s)", name, reason[:120])
            return None
    return float(counter.get_total_flops())


def _on_meta(model: nn.Module) -> nn.Module:
    """A copy of ``model`` whose tensors have shapes but no memory, so that it costs nothing for a model of any size."""
    tensors = {id(buffer): torch.empty_like(buffer, device="meta") for buffer in model.buffers()}
    for parameter in model.parameters():
        tensors[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    return copy.deepcopy(model, tensors)


def show_end(
    config: Mapping[str, Any],
    typed: list[str],
    best: float | None,
    best_path: Path | None,
    tested: float | None,
    since: float,
    screen: Console,
) -> None:
    """Print the block at the end of a job; a command stays one line, however long, so that it can be pasted.

    Args:
        config: Composed config.
        typed: Overrides of the command line, to be repeated in the next commands.
        best: Best value of the monitored metric in a training, else None.
        best_path: Its checkpoint, where one was kept.
        tested: The monitored quantity in the test that followed the training, where there was one.
        since: Time at which the job started, in seconds since the epoch; only newer pictures are named.
        screen: Where to print.
    """
    run = Path(config["paths"]["run"])
    lines = []
    if best is not None:
        lines.append(("best", f"{config['monitor']['metric']} {best:.5g}"))
    if tested is not None:
        lines.append(("test", f"{in_test(config['monitor']['metric'])} {tested:.5g}"))
    lines.append(("run folder", near(run)))
    pictures = [path for path in sorted(run.glob("pictures/*.png")) if path.stat().st_mtime >= since]
    if pictures:
        hidden = len(pictures) - _PICTURES_SHOWN
        names = [near(path) for path in pictures[-_PICTURES_SHOWN:]]
        names = [f"{hidden} earlier ones", *names] if hidden > 0 else names
        lines += zip(("pictures", *[""] * len(names)), names, strict=False)
    lines += next_commands(config, typed, best_path).items()
    if config["mode"] in _MAKING:
        lines += [("next", hint) for hint in config.get("next") or ()]
    screen.print(Rule(f"{config['name']}: done", align="left"))
    for title, line in lines:
        screen.print(Text.assemble((f"{title:<{_TITLE_WIDTH}}", "dim"), line), soft_wrap=True)
    screen.print(Rule())


def in_test(metric: str) -> str:
    """Name that a metric of validation has in a test: ``val/auc`` is ``test/auc``."""
    return f"test/{metric.partition('/')[2]}"


def next_commands(config: Mapping[str, Any], typed: list[str], best_path: Path | None) -> dict[str, str]:
    """Commands that evaluate and continue a finished training, by title."""
    kept = [override for override in typed if override.lstrip("+~").partition("=")[0] not in _NOT_REPEATED]
    start = ["python", "train.py", *kept]
    evaluating = [part for part in start if not only_trains(part)]
    commands = {}
    if best_path is not None:
        commands["evaluate"] = shlex.join([*evaluating, "mode=test", f"ckpt_path={near(best_path)}"])
        run = Path(config["paths"]["run"])
        is_single = run.name == str(config["run_id"])  # a job of a sweep has a folder below that of the sweep
        place = f"run_id={config['run_id']}" if is_single else f"hydra.run.dir={near(run)}"
        epochs = config["trainer"].get("max_epochs")
        further = [f"trainer.max_epochs={2 * epochs}"] if epochs and epochs > 0 else []
        commands["continue"] = shlex.join([*start, *further, place, "ckpt_path=last"])
    return commands


def near(path: Path) -> str:
    """Spell ``path`` as seen from the current folder where it lies below it."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
