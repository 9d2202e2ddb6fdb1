"""The import direction of the project: models know nothing of the rest, and only core knows Hydra."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ALLOWED = {
    "models": {"models"},
    "datamodules": {"datamodules"},
    "metrics": {"metrics"},
    "tasks": {"tasks", "models", "metrics"},
    "callbacks": {"callbacks"},
    "core": {"core"},
}
FOR_ALL = {"core.atomic", "core.safe_pickle"}  # know nothing but the standard library, and numpy
# Plain functions of tensors and of any torch module; callbacks know no concrete model, and no metric of a task.
FOR_CALLBACKS = ("models.saliency", "metrics.faithfulness", "metrics.randomisation")
FOREIGN = {
    "models": {"lightning", "hydra", "omegaconf", "torchmetrics"},
    "datamodules": {"hydra", "omegaconf"},
    "metrics": {"lightning", "hydra", "omegaconf"},
    "tasks": {"hydra", "omegaconf"},
    "callbacks": {"hydra", "omegaconf"},
}
HEAVY = {"torch", "lightning", "torchmetrics", "timm", "numpy", "einops", "wandb", "rich"}
BEFORE_A_JOB = [
    *(f"core/{name}.py" for name in ("atomic", "errors", "launch", "run_id", "sweep")),
    *("core/processes/__init__.py", "core/processes/signals.py"),
    *(path.relative_to(REPOSITORY).as_posix() for path in sorted((REPOSITORY / "core/command_line").glob("*.py"))),
]
FILES = [path.relative_to(REPOSITORY) for name in ALLOWED for path in sorted((REPOSITORY / name).rglob("*.py"))]


def imported(path: Path, nodes: str = "anywhere") -> set[str]:
    """Packages that a file imports, by their top-level names: ``anywhere``, or as soon as it is imported ``itself``.

    Modules in ``FOR_ALL`` are named in full; those in ``FOR_CALLBACKS`` callbacks may import.
    """
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree) if nodes == "anywhere" else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    if path.parts[0] == "callbacks":
        names = {name for name in names if not name.startswith(FOR_CALLBACKS)}
    return {name if name in FOR_ALL else name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_package_imports_only_what_it_may_know(path: Path) -> None:
    package, found = path.parts[0], imported(path)
    assert not (found & set(ALLOWED)) - ALLOWED[package] - FOR_ALL
    assert not found & FOREIGN.get(package, set())
    assert "tests" not in found


@pytest.mark.parametrize("path", BEFORE_A_JOB)
def test_what_answers_a_command_line_imports_nothing_heavy(path: str) -> None:
    assert not imported(Path(path), "itself") & HEAVY


def test_the_entry_point_imports_nothing_heavy() -> None:
    assert not imported(Path("train.py"), "itself") & (HEAVY | {"hydra", "omegaconf"})
