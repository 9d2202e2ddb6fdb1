"""The README's command lines are ones that the program accepts, and its second command is what CI runs."""

import re
import shlex
from pathlib import Path

import pytest

from core.command_line.check import check_overrides
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"^    .*?python train\.py (.+)$", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_is_accepted(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line.split("  #")[0].replace("=/data/", f"={tmp_path.as_posix()}/"))
    for path in re.findall(r"=(?:/data/|(?=logs/))([\w./]+)", line):  # the reader's data, and what earlier runs left
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
    sweep = "-m" in arguments
    # A checkpoint of the reader's own run is not here, nor are published weights.
    files = ("ckpt_path=", "model.pretrained=")
    given = [argument for argument in arguments if argument != "-m" and not argument.startswith(files)]
    check_overrides(given, sweep)


def test_there_are_commands_to_check() -> None:
    assert len(LINES) > 5


def test_the_test_command_stands_once_where_ci_looks_for_it() -> None:
    assert re.findall(r"^    (pip install -e .*pytest)$", TEXT, flags=re.MULTILINE) == [
        'pip install -e ".[test]" && pytest'
    ]
