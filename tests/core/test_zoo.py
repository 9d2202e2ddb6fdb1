"""The zoo's table of contents."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.command_line import zoo

SHOWN = [(group, name) for group in zoo.groups() for name in zoo.choices(group)]


@pytest.mark.parametrize(("group", "name"), SHOWN, ids=lambda part: part)
def test_every_config_says_in_one_line_what_it_is(group: str, name: str) -> None:
    assert 0 < len(zoo.summary(group, name)) <= 90


def test_the_page_lists_every_task_model_datamodule_and_experiment() -> None:
    page = zoo.text()
    for group in zoo.LISTED:
        for name in zoo.choices(group):
            assert name == "none" or f"\n  {name} " in page


def test_a_group_can_be_listed_alone(repository: Path) -> None:
    command = [sys.executable, "-m", "core.command_line.zoo", "list"]
    done = subprocess.run([*command, "model"], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.strip().splitlines()[1:]] == zoo.choices("model")
    wrong = subprocess.run([*command, "modle"], cwd=repository, capture_output=True, text=True)
    assert wrong.returncode == 1
    assert "did you mean 'model'?" in wrong.stderr


def test_a_directive_to_hydra_is_no_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "x.yaml").write_text("# @package _global_\n# What it is\na: 1\n")
    (tmp_path / "task" / "y.yaml").write_text("a: 1 # a comment on a\n# late\n")
    monkeypatch.setattr(zoo, "CONF", tmp_path)
    assert zoo.summary("task", "x") == "What it is"
    assert zoo.summary("task", "y") == ""
