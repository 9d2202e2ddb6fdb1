"""Faces and labels of Ego4D's annotations are those that the contract asks for, clip by clip."""

from datamodules.tracks import Medium
from datamodules.tracks.ego4d import read_ego4d
from tests.reference.asd.ego4d_files import annotation_with, contract, documents

WIDTH, HEIGHT, FPS = 640, 480, 30.0  # of media that are not there; boxes are compared in pixels
AGREE = 1e-9
MORE = 100  # frames of such media behind the last annotated one


def expected_clips() -> list[str]:
    found = documents(lambda content: "contract_rows" in content, "contract")
    return [clip for _, content in found for clip in content["clips"]]


def test_faces_and_their_labels_are_those_of_the_contract() -> None:
    for clip in expected_clips():
        rows = contract(clip)
        assert rows and {row["speaking"] for row in rows} <= {0, 1}
        medium = Medium(WIDTH, HEIGHT, FPS, max(row["frame"] for row in rows) + MORE)
        found = read_ego4d(annotation_with(clip), {clip: medium}).tracks
        boxes = found.boxes * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        x, y, right, lower = boxes.T
        names = zip(found.person_id, found.track_id, found.frame.tolist(), found.label.tolist(), strict=True)
        numbers = zip(x, y, right - x, lower - y, strict=True)
        by_name = dict(zip(names, numbers, strict=True))
        assert len(by_name) == len(rows)
        for row in rows:
            box = by_name[row["person_id"], row["track_id"], row["frame"], row["speaking"]]
            assert (
                max(abs(side - row[name]) for side, name in zip(box, ("x", "y", "width", "height"), strict=True))
                < AGREE
            )
        assert set(found.video_id) == {clip}


def test_what_the_contract_leaves_out_is_there_for_those_who_ask_for_reference_boxes() -> None:
    added = 0
    for clip in expected_clips():
        medium = Medium(WIDTH, HEIGHT, FPS, max(row["frame"] for row in contract(clip)) + MORE)
        path = annotation_with(clip)
        with_anchors = read_ego4d(path, {clip: medium}, visual_anchors=True).tracks
        anchors = ["visual_anchor" in track for track in with_anchors.track_id]
        assert len(with_anchors) - sum(anchors) == len(contract(clip))
        added += sum(anchors)
    assert added
