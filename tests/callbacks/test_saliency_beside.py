"""Pictures of what is no map of a clip: drawn from plain values, each saying what it shows."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callbacks.saliency_beside import DRAWN, draw_beside
from callbacks.saliency_face import envelope
from callbacks.saliency_pathways import faint
from callbacks.saliency_tokens import enlarged

RED, BLUE = (180, 4, 38), (59, 76, 192)


def pathways() -> dict[str, Any]:
    maps = {"slow": np.zeros((2, 3)), "fast": np.zeros((4, 6))}
    maps["slow"][1, 2] = 1.0
    numbers = {"inside": {"slow": 0.25, "fast": float("nan")}, "shares": {"slow": 1.0, "fast": 0.0}}
    box, frame = np.array([0.6, 0.5, 1.0, 1.0]), np.full((32, 48, 3), 90, np.uint8)
    return {"frame": frame, "box": box, "maps": maps, "extent": (1.0, 1.0), "method": "tube", "error": 1e-8, **numbers}


def face(frames: int = 30) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    valid, scores = np.arange(frames) % 7 != 3, np.sin(np.arange(frames))
    return {
        "seconds": np.arange(frames) / 25,
        "faces": generator.integers(0, 256, (frames, 16, 16)).astype(np.uint8),
        "maps": generator.normal(size=(frames, 4, 4)),
        "valid": valid,
        "scores": scores,
        "blanked": {"faces": scores - 1, "audio": scores / 2},
        "speaks": np.arange(frames) > frames / 2,
        "cepstra": generator.normal(size=(4 * frames, 13)),
        "heard": generator.normal(size=(4 * frames, 13)),
        "explained": "speaking",
        "numbers": {"share of the sound": 0.5, "in the lower half of the face": float("nan")},
    }


def tokens() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    grid = (4, 3, 5)
    return {
        "frames": generator.integers(0, 256, (8, 24, 40, 3)).astype(np.uint8),
        "numbers": np.arange(8) + 100,
        "shown": generator.random(grid) < 0.2,
        "maps": {"attention": generator.normal(size=grid), "probability to be shown": np.zeros(grid)},
        "features": generator.random((*grid, 3)),
    }


def rows() -> dict[str, Any]:
    return {
        "spans_of_rows": np.array([(0, 15), (16, 31), (32, 40)]),
        "evidence": np.array([3.0, 0.0, -6.0]),
        "chosen": np.array([True, False, True]),
        "logit": -1.0,
        "scores": np.linspace(0, 1, 41),
        "labels": (np.arange(41) > 30).astype(int),
    }


VALUES: dict[str, Callable[[], dict[str, Any]]] = {"pathways": pathways, "face": face, "tokens": tokens, "rows": rows}


def has(picture: bytes, colour: tuple[int, int, int], tolerance: int = 2) -> bool:
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    return bool((np.abs(pixels - colour).max(-1) <= tolerance).any())


@pytest.mark.parametrize("kind", list(DRAWN))
def test_a_picture_depends_on_nothing_but_its_values(kind: str) -> None:
    first, second = (draw_beside(kind, "video7, actor 1", VALUES[kind]()) for _ in range(2))
    assert first == second and first.startswith(b"\x89PNG")
    assert Image.open(io.BytesIO(first)).width > 600
    assert draw_beside(kind, "another video", VALUES[kind]()) != first


def test_what_speaks_for_an_anomaly_is_red_and_what_speaks_against_it_blue() -> None:
    values = rows()
    assert has(draw_beside("rows", "", values), RED) and has(draw_beside("rows", "", values), BLUE)
    values["evidence"] = np.abs(values["evidence"])
    assert has(draw_beside("rows", "", values), RED) and not has(draw_beside("rows", "", values), BLUE)


@pytest.mark.parametrize("kind", ["pathways", "face", "tokens"])
def test_a_picture_without_any_evidence_is_drawn_all_the_same(kind: str) -> None:
    values = VALUES[kind]()
    maps = values["maps"]
    values["maps"] = {name: 0 * each for name, each in maps.items()} if isinstance(maps, dict) else 0 * maps
    if kind == "face":
        values |= {"heard": 0 * values["heard"], "cepstra": 0 * values["cepstra"]}
    assert draw_beside(kind, "", values).startswith(b"\x89PNG")


@pytest.mark.parametrize("frames", [1, 2])
def test_a_face_of_few_frames_is_drawn(frames: int) -> None:
    assert draw_beside("face", "", face(frames)).startswith(b"\x89PNG")


def test_approximate_evidence_is_not_called_exact() -> None:
    assert draw_beside("pathways", "", pathways()) != draw_beside("pathways", "", pathways() | {"error": None})


def test_parts_of_pictures() -> None:
    cells = enlarged(np.array([[True, False]]), np.zeros((3, 5, 3)))
    assert cells.astype(int).tolist() == [[1, 1, 1, 0, 0]] * 3
    assert faint(np.array([[[0, 30, 60]]], np.uint8)).tolist() == [[[30, 30, 30]]]
    assert envelope(np.array([[-2 * np.log(4), 5.0], [0.0, 9.0]])).tolist() == pytest.approx([0.25, 1])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of pathways, face, tokens, rows, found 'pie'"):
        draw_beside("pie", "", {})
