"""What training does to faces is the same for all frames of a track, and sometimes nothing."""

import numpy as np
import pytest

from datamodules.faces.augment import KINDS, augmented, crop, flip, rotate
from datamodules.loading import seeded

SIZE = 32


def faces(count: int = 3) -> np.ndarray:
    """The same picture ``count`` times."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.repeat((4 * x + 2 * y + 50).astype(np.uint8)[None], count, axis=0)


@pytest.mark.parametrize("kind", KINDS)
def test_all_frames_of_a_track_are_treated_alike(kind: str) -> None:
    for draw in range(5):
        found = augmented(faces(), seeded(draw), kind)
        assert found.shape == faces().shape and found.dtype == np.uint8
        assert (found == found[0]).all()
        assert (kind == "none") == np.array_equal(found, faces())


def test_each_of_the_four_is_as_likely() -> None:
    seen = {"none": faces(1), "flip": flip(faces(1))}
    counts = dict.fromkeys(("none", "flip", "cut", "turned"), 0)
    for draw in range(400):
        found = augmented(faces(1), seeded(1, draw))
        same = next((name for name, known in seen.items() if np.array_equal(found, known)), None)
        counts[same or ("turned" if (found == 0).any() else "cut")] += 1
    assert min(counts.values()) > 60 and counts["cut"] + counts["turned"] < 260


def test_what_happens_is_a_function_of_the_generator() -> None:
    assert np.array_equal(augmented(faces(), seeded(3)), augmented(faces(), seeded(3)))
    assert len({augmented(faces(1), seeded(draw)).tobytes() for draw in range(30)}) > 10


def test_a_mirrored_face_mirrored_again_is_itself() -> None:
    assert np.array_equal(flip(faces())[..., 0], faces()[..., -1]) and np.array_equal(flip(flip(faces())), faces())


def test_a_crop_shows_its_square_and_nothing_else() -> None:
    framed = np.zeros((1, SIZE, SIZE), np.uint8)
    framed[:, 8:24, 4:20] = 90
    assert (crop(framed, left=4, top=8, side=16) == 90).all()
    assert np.array_equal(crop(faces(), 0, 0, SIZE), faces())


def test_a_turn_leaves_the_middle_and_blackens_corners() -> None:
    found = rotate(np.full((2, SIZE, SIZE), 100, np.uint8), 15)
    assert (found[:, 8:24, 8:24] == 100).all() and (found[:, 0, 0] == 0).all()
    assert np.array_equal(rotate(faces(), 0), faces())


def test_a_quarter_turn_is_against_the_clock() -> None:
    marked = np.zeros((1, SIZE, SIZE), np.uint8)
    marked[0, SIZE // 2, SIZE // 2 + 10] = 200  # to the right of the middle
    row, column = np.argwhere(rotate(marked, 90)[0] > 100)[0]
    assert (row, column) == (SIZE // 2 - 10, SIZE // 2)
