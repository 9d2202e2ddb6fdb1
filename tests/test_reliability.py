"""Every promise of docs/reliability.md names a test that is there."""

import re

import pytest

from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
HEADER = "promise"
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]
PROMISES = [row for row in ROWS if row[0] != HEADER]
FILES = sorted((REPOSITORY / "tests").rglob("*.py"))
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
TESTS = set(re.findall(r"^def (test_\w+)\(", SOURCES, flags=re.MULTILINE))


def named(text: str) -> list[str]:
    """Files and tests in backquotes; an earlier name may be cut short by dots: ``::..._on_ranks``."""
    return [
        name
        for quoted in re.findall(r"`([^`]+)`", text)
        for name in re.findall(r"(?:\.\.\.|test_)\w*(?:\.py)?", quoted)
    ]


def is_there(name: str) -> bool:
    if name.endswith(".py"):
        return name in {path.name for path in FILES}
    if name.startswith("..."):
        return any(test.endswith(name.lstrip(".")) for test in TESTS)
    return name in TESTS


def test_there_are_promises() -> None:
    assert len(PROMISES) > 40
    assert {len(row) for row in PROMISES} == {2}


@pytest.mark.parametrize("row", PROMISES, ids=[row[0][:50] for row in PROMISES])
def test_a_promise_names_tests_that_are_there(row: list[str]) -> None:
    names = named(row[1])
    assert names or row[1].startswith("the same")
    assert [name for name in names if not is_there(name)] == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[\w/]+)", TEXT))))
def test_folders_and_files_of_tests_are_where_they_are_said_to_be(path: str) -> None:
    assert (REPOSITORY / path).exists() or (REPOSITORY / f"{path}.py").exists()
