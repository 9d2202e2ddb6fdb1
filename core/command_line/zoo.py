"""What the zoo holds: one line for each config, taken from the first comment of its file."""

import sys
from collections.abc import Iterator
from pathlib import Path

from core.errors import wrong

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
LISTED = {"task": "tasks", "datamodule": "datamodules", "model": "models", "experiment": "experiments"}
_NAMED = ("optim", "scheduler", "callbacks", "logger", "trainer", "debug")
_HIDDEN = ("none", "default")

HEAD = """vidzoo: train, evaluate and use video models

  python train.py task=NAME [option=value ...]     python train.py -m task=NAME option=value,value
"""
TAIL = """
options  mode=fit|validate|test|predict|check|prepare  ckpt_path=FILE|last|best  seed=0  run_id=NAME  compile=true
         trainer.devices=2  trainer.max_epochs=20  trainer.precision=bf16-mixed  model.pretrained=FILE
look     python train.py task=NAME --cfg job      (the composed config, without running it)"""


def groups() -> list[str]:
    """Names of the config groups, which are the folders of ``conf``."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))


def choices(group: str) -> list[str]:
    """Names that can be chosen in a config group, sorted."""
    folder = CONF / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def summary(group: str, name: str) -> str:
    """First comment of a config file that is not a directive to Hydra, or an empty text."""
    with (CONF / group / f"{name}.yaml").open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("#") and not line.startswith("# @package"):
                return line.lstrip("# ").rstrip()
            if line.strip() and not line.startswith("#"):
                break
    return ""


def listing(only: str | None = None) -> Iterator[str]:
    """Lines of the zoo's table of contents.

    Args:
        only: A config group to list alone, or None for everything.
    """
    shown = LISTED if only is None else {only: LISTED.get(only, only)}
    for group, title in shown.items():
        names = [name for name in choices(group) if only or name not in _HIDDEN]
        width = max((len(name) for name in names), default=0)
        yield f"\n{title}  ({group}=NAME)" if names else f"\n{title}  (none yet)"
        yield from (f"  {name:<{width}}  {summary(group, name)}".rstrip() for name in names)
    if only is None:
        yield "\nparts"
        width = max(len(group) for group in _NAMED)
        yield from (f"  {group:<{width}}  {' '.join(choices(group))}" for group in _NAMED if choices(group))


def text() -> str:
    """The page that ``python train.py`` prints when it is given nothing to do."""
    return "\n".join([HEAD.rstrip(), *listing(), TAIL])


def main(arguments: list[str]) -> int:
    """Entry of ``python -m core.command_line.zoo list [group]``; returns the exit code."""
    command, *names = arguments or ["list"]
    if command != "list" or len(names) > 1:
        print(f"{' '.join(arguments)}: expected list [{'|'.join(groups())}]", file=sys.stderr)
        return 1
    if names and names[0] not in groups():
        print(wrong("list", names[0], "no such config group", groups()), file=sys.stderr)
        return 1
    print("\n".join(listing(names[0])) if names else text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
