"""Finds the reference numbers of Ego4D by what files hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import fixtures_root


def documents(fits: Callable[[Any], bool], kind: str) -> list[tuple[Path, Any]]:
    """Every JSON file whose content fits; there must be one."""
    files = [(path, json.loads(path.read_text())) for path in sorted((fixtures_root() / "asd").rglob("*.json"))]
    found = [(path, content) for path, content in files if isinstance(content, dict) and fits(content)]
    assert found, f"no {kind} among the reference numbers"
    return found


def clips_of(content: dict) -> dict[str, dict]:
    """Clips of an annotation file, by uid."""
    return {clip["clip_uid"]: clip for video in content["videos"] for clip in video["clips"]}


def annotation_with(clip_uid: str) -> Path:
    """The annotation file of a clip."""
    return documents(lambda content: "videos" in content and clip_uid in clips_of(content), f"clip {clip_uid}")[0][0]


def contract(clip_uid: str) -> list[dict[str, Any]]:
    """Faces of a clip that must be found, by name of the column."""
    _, content = documents(lambda content: clip_uid in content.get("clips", ()), f"faces of {clip_uid}")[0]
    rows = [dict(zip(content["contract_columns"], row, strict=True)) for row in content["contract_rows"]]
    return [row for row in rows if row["clip_uid"] == clip_uid]
