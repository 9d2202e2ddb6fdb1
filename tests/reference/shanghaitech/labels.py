"""Labels of every encoding are the stored ones; whatever asks for more than arrays of numbers is refused."""

import numpy as np
import pytest

from datamodules.errors import LabelFileError
from datamodules.frame_labels import read_frame_labels, read_mask, read_video_labels
from datamodules.intervals import intervals_of
from datamodules.safe_pickle import UnsafePickleError, load
from tests.reference.shanghaitech.numbers import ForeignError, documents, folder, frame_label_files, pickles, some

EXPECTED = ("lengths", "intervals", "anomalous_frames")


def expected_of(videos: set[str]) -> tuple:
    return some([found for found in documents(*EXPECTED) if found[1]["lengths"].keys() == videos], "expected labels")[0]


def test_frame_labels_of_every_encoding_are_the_stored_intervals() -> None:
    for path in frame_label_files():
        labels = read_frame_labels(path)
        document, expected = expected_of(set(labels))
        assert {video: len(values) for video, values in labels.items()} == expected["lengths"], path
        assert {video: intervals_of(values) for video, values in labels.items()} == expected["intervals"], path
        assert {video: int(values.sum()) for video, values in labels.items()} == expected["anomalous_frames"], path
        for video, values in read_frame_labels(document).items():
            assert values.dtype == labels[video].dtype == np.uint8
            assert values.tolist() == labels[video].tolist(), (path, video)


def test_video_labels_say_which_videos_have_anomalous_frames() -> None:
    frames = frame_label_files()
    for path in some(
        [path for path, content in pickles() if isinstance(content, dict) and path not in frames], "labels"
    ):
        labels = read_video_labels(path)
        _, expected = expected_of(set(labels))
        assert labels == {video: int(count > 0) for video, count in expected["anomalous_frames"].items()}, path


def test_pickles_are_read_as_pickle_reads_them() -> None:
    for path, content in pickles():
        if isinstance(content, dict):
            found = load(path)
            assert list(found) == list(content)
            for video, values in content.items():
                assert type(found[video]) is type(values) and np.array_equal(found[video], values), (path, video)


def test_whatever_holds_something_else_is_refused_and_a_torn_file_is_called_torn() -> None:
    for path, content in pickles():
        if isinstance(content, Exception):
            with pytest.raises(LabelFileError, match=path.name) as caught:
                read_frame_labels(path)
            torn = isinstance(content, EOFError) or "truncated" in str(content)
            assert isinstance(caught.value, UnsafePickleError) != torn, path
            if isinstance(content, ForeignError):  # by its name, or by the type of the array that it is in
                assert any(what in str(caught.value) for what in (str(content), "which is no type of numbers")), path


def test_arrays_of_objects_are_refused() -> None:
    paths = sorted(folder().glob("*.npy"))
    for path in some([path for path in paths if b"'descr': '|O'" in path.read_bytes()], "arrays of objects"):
        with pytest.raises(LabelFileError, match=path.name):
            read_mask(path)
