"""Rows of batches: faces, sound and labels of the same frames; what is drawn; what is filling."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.errors import VideoReadError
from datamodules.frame_budget import CroppedVisit
from datamodules.sound import at_level, mfcc, sample_range
from datamodules.speaker_clips import Augmentation, Listening, SpeakerClips, SpeakerSource, collate_speakers
from datamodules.speaker_spans import Span, alike, scenes, track_spans, window_spans
from datamodules.tracks import ANNOTATED, TrackTable, VoiceTable
from tests.datamodules.talks import DARKEST, FPS, RATE, STEP, bursts, frames_of

FRAMES = 60
ROW_LOUD = 14  # log energy at the level of 16-bit files, of rows in loud frames alone


def table(name: str, faces: dict[str, list[int]], label: int = 0) -> TrackTable:
    """Faces of entities in frames."""
    frames = np.concatenate([np.array(found) for found in faces.values()])
    entity = [key for key, found in faces.items() for _ in found]
    plain = {"dataset": "", "video_id": name, "person_id": entity, "entity_id": entity, "track_id": entity}
    box = {"x1": 0.25, "y1": 0.25, "x2": 0.5, "y2": 0.75, "frame_w": 128, "frame_h": 96}
    return TrackTable.from_columns(
        plain | box | {"frame": frames, "timestamp": 900 + frames / FPS, "label": label, "source": ANNOTATED}
    )


def voices(*segments: tuple[str, int, int]) -> VoiceTable:
    names, first, last = zip(*segments, strict=True) if segments else ((), (), ())
    columns = {"video_id": names, "person_id": ["p"] * len(names), "first_frame": first, "last_frame": last}
    return VoiceTable.from_columns(columns | {"wearer": [False] * len(names)}, complete=["one", "two"])


def source(
    folder: Path, name: str, faces: dict[str, list[int]], sound: np.ndarray | None, *heard: tuple
) -> SpeakerSource:
    """A source whose faces say their frame by their grey."""
    tracks, files = table(name, faces), (folder / f"{name}.npy", folder / f"{name}_sound.npy")
    np.save(files[0], np.tile((DARKEST + STEP * tracks.frame)[:, None, None], (1, 8, 8)).astype(np.uint8))
    if sound is not None:
        np.save(files[1], sound.astype(np.float32))
    packed = (files[0], None if sound is None else files[1])
    return SpeakerSource(name, FPS, FRAMES, tracks, voices(*heard), *packed)


def clips(
    sources: list[SpeakerSource], spans: list[Span], groups: list[list[int]] | None = None, **options: object
) -> SpeakerClips:
    return SpeakerClips(sources, spans, groups or [[n] for n in range(len(spans))], Listening(), 5, **options)


@pytest.fixture
def one(tmp_path: Path) -> SpeakerSource:
    faces = {"a": [*range(40), *range(45, 60)], "b": [*range(20, 50)]}
    return source(tmp_path, "one", faces, bursts(FRAMES), ("one", 10, 19))


def loud_frames(audio: np.ndarray) -> list[int]:
    """Frames whose second row is loud; it is the one whose window lies in its frame alone."""
    return np.flatnonzero(audio[1::4, 0] > ROW_LOUD).tolist()


def test_tracks_are_parted_at_gaps_and_long_ones_in_like_parts(one: SpeakerSource) -> None:
    spans = track_spans(one.tracks, 3, 7)
    assert [(span.first, span.length) for span in spans] == [(0, 40), (45, 15), (20, 30)]
    assert [span.scene for span in spans] == [7, 8, 9] and {span.source for span in spans} == {3}
    parts = track_spans(one.tracks, 0, 0, max_len=16)
    assert [(span.first, span.length) for span in parts] == [(0, 14), (14, 13), (27, 13), (45, 15), (20, 15), (35, 15)]
    for span in spans + parts:
        frames = one.tracks.frame[span.start : span.stop]
        assert frames.tolist() == list(range(span.first, span.first + span.length))


def test_windows_hold_all_their_faces_and_the_last_one_is_shorter(one: SpeakerSource) -> None:
    spans = window_spans(one.tracks, 0, 0, FRAMES, window=25)
    assert [(span.scene, span.first, span.length) for span in spans] == [(0, 0, 25)] * 2 + [(1, 25, 25)] * 2 + [
        (2, 50, 10)
    ]
    assert sorted(row for span in spans for row in range(span.start, span.stop)) == list(range(len(one.tracks)))
    assert scenes(spans) == [[0, 1], [2, 3], [4]]


def test_a_window_without_a_face_is_none(tmp_path: Path) -> None:
    late = source(tmp_path, "two", {"a": list(range(50, 60))}, None)
    assert [(span.scene, span.first) for span in window_spans(late.tracks, 0, 4, FRAMES, 20)] == [(4, 40)]


def test_evaluation_fills_batches_up_to_the_budget_and_one_longer_is_alone() -> None:
    lengths = [30, 500, 20, 28, 10, 31]
    spans = [Span(0, 0, length, 0, length, place) for place, length in enumerate(lengths)]
    groups = alike(spans, 100)
    assert groups == [[1], [5, 0, 3], [2, 4]]
    assert sorted(place for group in alike(spans, 100, least=5) for place in group) == list(range(6))
    assert [len(group) for group in alike(spans, 100, least=6)] == [1] * 6 and len(alike(spans, 100, least=9)) == 6


def test_faces_sound_and_labels_of_a_row_are_of_the_same_frames(one: SpeakerSource) -> None:
    (row,) = clips([one], track_spans(one.tracks, 0, 0))[2]
    assert row["frames"].tolist() == list(range(20, 50)) == frames_of(row["faces"])
    assert loud_frames(row["audio"]) == list(range(0, 30, 5))
    start, stop = sample_range(20, 50, FPS)
    wanted = mfcc(at_level(bursts(FRAMES).astype(np.float32)[start:stop], "int16"), 30, FPS)
    assert np.allclose(row["audio"], wanted, atol=1e-4) and row["audio"].shape == (120, 13)
    assert row["seconds"].tolist() == pytest.approx([900 + frame / FPS for frame in range(20, 50)])
    assert row["faces_in_frame"].tolist() == [2] * 20 + [1] * 5 + [2] * 5
    assert (row["width"] == 32).all() and row["frame_size"] == [96, 128]


def test_frames_of_a_window_without_the_face_are_black_and_unknown_but_timed(one: SpeakerSource) -> None:
    spans = window_spans(one.tracks, 0, 0, FRAMES, FRAMES)
    row = clips([one], spans)[0][0]
    gone = np.arange(40, 45)
    assert np.flatnonzero(~row["valid"]).tolist() == gone.tolist()
    assert not row["faces"][gone].any() and not row["boxes"][gone].any() and (row["target"][gone] == -1).all()
    assert row["seconds"].tolist() == pytest.approx([900 + frame / FPS for frame in range(FRAMES)])
    assert row["voice"].tolist() == [int(10 <= frame <= 19) for frame in range(FRAMES)]


def test_a_crop_lies_at_a_place_that_is_drawn_and_everything_is_cropped_alike(one: SpeakerSource) -> None:
    data = clips([one], track_spans(one.tracks, 0, 0))
    firsts = set()
    for epoch in range(30):
        (row,) = data[CroppedVisit(epoch, 0, 12)]
        first = int(row["frames"][0])
        assert (
            row["length"] == 12 and frames_of(row["faces"]) == list(range(first, first + 12)) == row["frames"].tolist()
        )
        assert loud_frames(row["audio"]) == [frame - first for frame in range(0, 60, 5) if first <= frame < first + 12]
        firsts.add(first)
    assert len(firsts) > 10 and max(firsts) <= 28
    assert data[CroppedVisit(3, 0, 12)][0]["frames"].tolist() == data[CroppedVisit(3, 0, 12)][0]["frames"].tolist()
    assert data[CroppedVisit(3, 0, 999)][0]["length"] == 40


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.99, 2.5])
def test_sound_that_is_shorter_or_longer_than_the_clip_is_silent_behind_its_end(tmp_path: Path, seconds: float) -> None:
    sound = np.full(round(seconds * RATE), 0.1)
    made = source(tmp_path, "one", {"a": list(range(FRAMES))}, sound)
    heard = made.hear(0, FRAMES)
    end = min(len(sound), 2 * RATE)
    assert heard.shape == (2 * RATE,) and (heard[:end] != 0).all() and not heard[end:].any()


def test_a_clip_without_sound_is_silent(tmp_path: Path) -> None:
    made = source(tmp_path, "one", {"a": [7]}, None)
    (row,) = clips([made], track_spans(made.tracks, 0, 0))[0]
    assert not made.hear(7, 1).any() and row["audio"].shape == (4, 13) and np.isfinite(row["audio"]).all()


def test_another_voice_is_that_of_another_clip_and_the_label_stays(tmp_path: Path, one: SpeakerSource) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 2 * RATE)
    two = source(tmp_path, "two", {"a": list(range(FRAMES))}, noise, ("two", 0, 59))
    spans = track_spans(one.tracks, 0, 0) + track_spans(two.tracks, 1, 3)
    plain = clips([one, two], spans)[0][0]
    mixed = [clips([one, two], spans, augmentation=Augmentation(False, 1.0))[epoch, 0][0] for epoch in range(20)]
    assert all(loud_frames(row["audio"]) == list(range(40)) for row in mixed)  # the noise is everywhere
    assert all(np.array_equal(row["target"], plain["target"]) for row in mixed)
    assert all((row["voice"] == 1).all() for row in mixed) and (plain["voice"] == 0).any()
    assert len({row["audio"].tobytes() for row in mixed}) == 20
    some = [clips([one, two], spans, augmentation=Augmentation(False, 0.5))[epoch, 0][0] for epoch in range(60)]
    assert 15 < sum(np.array_equal(row["audio"], plain["audio"]) for row in some) < 45


def test_alone_nothing_is_laid_over(one: SpeakerSource) -> None:
    spans = track_spans(one.tracks, 0, 0)
    alone = clips([one], spans, augmentation=Augmentation(False, 1.0))[0][0]
    assert np.array_equal(alone["audio"], clips([one], spans)[0][0]["audio"])


def test_faces_of_a_window_hear_the_same_and_are_treated_each_in_its_way(tmp_path: Path, one: SpeakerSource) -> None:
    two = source(tmp_path, "two", {"a": [3]}, bursts(FRAMES))
    spans = window_spans(one.tracks, 0, 0, FRAMES, 25) + window_spans(two.tracks, 1, 3, FRAMES, 25)
    data = clips([one, two], spans, scenes(spans), augmentation=Augmentation(True, 1.0))
    for epoch in range(5):
        first, second = data[epoch, 0]
        assert np.array_equal(first["audio"], second["audio"]) and first["scene"] == second["scene"]


def test_a_batch_is_filled_up_behind_each_row(one: SpeakerSource) -> None:
    data = clips([one], track_spans(one.tracks, 0, 0), [[0], [1, 2]])
    batch = collate_speakers([data[0], data[1]])
    assert batch["length"].tolist() == [40, 15, 30] and batch["index"].tolist() == [0, 1, 2]
    assert batch["scene"].tolist() == [0, 1, 2] and batch["entity"] == ["a", "a", "b"] and batch["name"] == ["one"] * 3
    filling = {"target": -1, "voice": -1, "frames": -1}
    for key in (
        "faces",
        "target",
        "voice",
        "valid",
        "annotated",
        "frames",
        "seconds",
        "boxes",
        "width",
        "faces_in_frame",
    ):
        assert batch[key].shape[:2] == (3, 40)
        assert (batch[key][1, 15:] == filling.get(key, 0)).all() and (batch[key][2, 30:] == filling.get(key, 0)).all()
    assert batch["audio"].shape == (3, 160, 13) and not batch["audio"][1, 60:].any() and batch["audio"][1, :60].any()
    kinds = {"faces": torch.uint8, "audio": torch.float32, "seconds": torch.float64, "fps": torch.float64}
    assert all(batch[key].dtype == kind for key, kind in kinds.items())


def test_the_scenes_of_a_batch_are_numbered_by_their_windows(one: SpeakerSource) -> None:
    spans = window_spans(one.tracks, 0, 0, FRAMES, 25)
    data = clips([one], spans, scenes(spans))
    assert collate_speakers([data[2], data[0]])["scene"].tolist() == [0, 1, 1]


def test_the_published_hop_repeats_the_first_rows_where_sound_is_missing() -> None:
    sound = bursts(30)[: RATE // 2]
    exact, upstream = (Listening("int16", hop)(sound, 30, FPS) for hop in ("exact", "upstream"))
    assert exact.shape == upstream.shape == (120, 13) and np.allclose(upstream[-3:, 0].std(), 0, atol=10)
    assert exact[-1, 0] < 0 < upstream[-1, 0]
    assert Listening("rms0.1")(sound, 30, FPS)[0, 0] < exact[0, 0] - 15


def test_packed_faces_that_are_gone_are_named(one: SpeakerSource) -> None:
    one.faces.unlink()
    with pytest.raises(VideoReadError, match=r"one.npy: is gone; mode=prepare"):
        clips([one], track_spans(one.tracks, 0, 0))[0]
