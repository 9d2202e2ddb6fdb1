"""Ego4D and AVA-ActiveSpeaker in their official files: what is found, what a split holds, what is said to be wrong."""

import csv
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.check_data import DataDefectsError, check_data
from datamodules.action_checks import AnnotationError
from datamodules.ava_asd import AvaASD
from datamodules.checking import LEAK, UNREADABLE
from datamodules.ego4d_asd import Ego4DASD
from datamodules.errors import DatasetNotFoundError, PathNotFoundError, SoundReadError, VideoReadError
from datamodules.speaker_checks import NO_PICTURE, NO_SOUND, SHARED, SOUND_LENGTH
from datamodules.speakers import Speakers
from tests.datamodules.sounds import write_sound
from tests.datamodules.talks import (
    BOX,
    FPS,
    FRAMES,
    HEIGHT,
    RATE,
    WIDTH,
    bursts,
    frames_of,
    person,
    talks,
    track,
    write_bursts,
    write_talks,
)

SEEN = FRAMES - 4 + 25  # annotated faces of a clip with the usual persons


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_talks(tmp_path_factory.mktemp("sound") / "talks")
    talks(made, None)
    return made


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy that may be changed, beside a cache in which all is packed."""
    shutil.copytree(sound.parent / "cache", tmp_path / "cache")
    return Path(shutil.copytree(sound, tmp_path / "talks"))


def rows_of(loader: object) -> list[tuple]:
    """Clip, entity and frame of every annotated face that a loader brings."""
    found = []
    for batch in loader:
        for row, (name, entity) in enumerate(zip(batch["name"], batch["entity"], strict=True)):
            frames = batch["frames"][row][batch["annotated"][row]].tolist()
            found += [(name, entity, frame) for frame in frames]
    return found


@pytest.mark.parametrize("batching", ["budget", "windows"])
@pytest.mark.parametrize("max_len", [11, None])
@pytest.mark.parametrize("budget", [40, 400])
def test_evaluation_brings_every_annotated_face_once(
    root: Path, batching: str, max_len: int | None, budget: int
) -> None:
    data = talks(root, "validate", batching=batching, max_len=max_len, budget=budget, window_s=0.5, max_gap=2)
    found = rows_of(data.val_dataloader())
    wanted = {
        (clip, "1:a", frame) for clip in ("four", "five") for frame in range(FRAMES) if frame not in range(10, 14)
    }
    wanted |= {(clip, "2:a", frame) for clip in ("four", "five") for frame in range(5, 30)}
    assert len(found) == len(set(found)) == 2 * SEEN and set(found) == wanted
    index = sorted(number for batch in data.val_dataloader() for number in batch["index"].tolist())
    assert index == list(range(data.val_data.num_clips))


@pytest.mark.parametrize("folders", [False, True])
def test_faces_labels_and_voices_are_those_of_their_frames(tmp_path: Path, folders: bool) -> None:
    data = talks(write_talks(tmp_path / "talks", folders=folders), "validate")
    for batch in data.val_dataloader():
        for row, entity in enumerate(batch["entity"]):
            length = int(batch["length"][row])
            frames = batch["frames"][row, :length]
            assert frames_of(batch["faces"][row, :length].numpy()) == frames.tolist()
            speaking = (frames >= 8) & (frames <= 20) & (entity == "1:a")
            heard = (frames >= 8) & (frames <= 20) | (frames >= 40) & (frames <= 44)
            assert torch.equal(batch["target"][row, :length], speaking.long())
            assert torch.equal(batch["voice"][row, :length], heard.long())
            assert torch.allclose(batch["seconds"][row, :length], frames.double() / FPS)
            assert batch["fps"][row] == FPS and batch["frame_size"][row].tolist() == [HEIGHT, WIDTH]


def test_short_gaps_are_filled_and_say_so_and_long_ones_part_a_track(root: Path) -> None:
    filled, parted = (talks(root, "validate", max_gap=gap, cache=str(root.parent / str(gap))) for gap in (4, 3))
    spans = [[(span.first, span.length) for span in data.val_data.spans[:3]] for data in (filled, parted)]
    assert spans == [[(0, 48), (5, 25), (0, 48)], [(0, 10), (14, 34), (5, 25)]]
    (row,) = (row for row in filled.val_data[0] if row["index"] == 0)
    assert np.flatnonzero(~row["annotated"]).tolist() == [10, 11, 12, 13] and row["valid"].all()
    assert frames_of(row["faces"]) == list(range(FRAMES)) and (row["target"][10:14] == 1).all()


def test_training_leaves_out_what_is_too_short_and_evaluation_nothing(tmp_path: Path) -> None:
    short = [person("1", {"a": track([7]), "b": track(range(20, 40))}, [(0, 9)])]
    root = write_talks(tmp_path / "talks", persons={"one": short, "four": short, "five": short})
    data = talks(root, min_len=5)
    lengths = {(span.source, span.length) for span in data.train_data.spans}
    assert min(length for _, length in lengths) == 20
    rows = [row for batch in data.val_dataloader() for row in batch["length"].tolist()]
    assert sorted(rows) == [1, 1, 20, 20]


def test_boxes_without_area_and_boxes_outside_are_left_out_or_black(tmp_path: Path) -> None:
    boxes = {3: (*BOX[:2], 0.0, 9.0), 4: BOX, 5: BOX, 6: (-50.0, 10.0, 30.0, 30.0), 7: (-10.0, -8.0, 30.0, 30.0)}
    root = write_talks(tmp_path / "talks", {"train": ("one",), "val": ("two",)}, {"two": [person("1", {"a": boxes})]})
    (batch,) = talks(root, "validate").val_dataloader()
    assert batch["frames"].tolist() == [[4, 5, 6, 7]] and batch["valid"].all()
    assert [bool(face.any()) for face in batch["faces"][0]] == [True, True, False, True]


def test_a_face_in_an_image_that_is_missing_is_black(tmp_path: Path) -> None:
    root = write_talks(tmp_path / "talks", folders=True)
    (root / "video_imgs/four/img_00010.jpg").unlink()  # frame 9
    data = talks(root, "validate")
    row = next(row for row in data.val_data[0] if row["name"] == "four")
    assert [frame for frame, face in zip(row["frames"], row["faces"], strict=True) if not face.any()] == [9]


def test_training_shares_tracks_among_ranks_and_loads_them_with_any_number_of_workers(root: Path) -> None:
    alone = [batch["frames"].tolist() for batch in talks(root, budget=60, jitter=0.2).train_dataloader()]
    data = talks(root, budget=60, jitter=0.2, num_workers=2, other_voice=0.5, face_augment=True)
    helped = list(data.train_dataloader())
    assert [batch["frames"].tolist() for batch in helped] == alone
    again = talks(root, budget=60, jitter=0.2, num_workers=0, other_voice=0.5, face_augment=True)
    for one, two in zip(helped, again.train_dataloader(), strict=True):
        assert torch.equal(one["faces"], two["faces"]) and torch.equal(one["audio"], two["audio"])


@pytest.mark.parametrize("batching", ["budget", "windows"])
def test_two_processes_share_training_and_evaluation(
    root: Path, batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, evaluated = [], []
    for rank in range(2):
        monkeypatch.setattr(Ego4DASD, "place", lambda _, rank=rank: (rank, 2))
        data = talks(root, batching=batching, window_s=0.8, batch_size=1)
        trained.append([batch["index"].tolist() for batch in data.train_dataloader()])
        evaluated.append(rows_of(data.val_dataloader()))
    assert len(trained[0]) == len(trained[1]) > 0 and all(evaluated)
    visited = [row for rank in trained for batch in rank for row in batch]
    assert len(visited) == len(set(visited))
    assert len(evaluated[0] + evaluated[1]) == len(set(evaluated[0] + evaluated[1])) == 2 * SEEN


@pytest.mark.parametrize("policy", ["silence", "drop", "error"])
def test_a_clip_without_sound_is_answered_by_the_policy(root: Path, policy: str) -> None:
    (root / "wave/four.wav").unlink()
    if policy == "error":
        with pytest.raises(
            SoundReadError, match=r"four.avi: it and 0 more of 2 clips have no sound; expected wave/four.wav"
        ):
            talks(root, "validate", missing_audio=policy)
        return
    data = talks(root, "validate", missing_audio=policy)
    names = {name for batch in data.val_dataloader() for name in batch["name"]}
    assert names == ({"five"} if policy == "drop" else {"four", "five"})


@pytest.mark.parametrize("change", [-FRAMES // 2, 20])
def test_sound_that_is_not_as_long_as_its_video_is_named(
    root: Path, change: int, caplog: pytest.LogCaptureFixture
) -> None:
    write_bursts(root / "wave/four.wav", FRAMES + change)
    data = talks(root, "validate")
    assert f"the sound of 1 of 2 clips is not as long as its video (four: {change / FPS:+.3f} s)" in caplog.text
    row = next(row for row in data.val_data[0] if row["name"] == "four" and row["entity"] == "1:a")
    silent = row["audio"][1::4, 0] < 0
    assert np.flatnonzero(silent).tolist() == list(range(FRAMES + min(change, 0), FRAMES))


@pytest.mark.parametrize(("rate", "codec", "channels"), [(8_000, "pcm_s16le", 1), (44_100, "pcm_s24le", 2)])
def test_sound_of_any_rate_and_format_is_heard_in_time(root: Path, rate: int, codec: str, channels: int) -> None:
    before = talks(root, "validate").val_data[0][0]["audio"]
    time = np.arange(round(FRAMES / FPS * rate)) / rate
    write_sound(
        root / "wave/five.wav",
        np.interp(time, np.arange(len(bursts(FRAMES))) / RATE, bursts(FRAMES)),
        rate,
        codec,
        channels,
    )
    row = talks(root, "validate").val_data[0][0]
    loud = [np.flatnonzero(audio[1::4, 0] > 13).tolist() for audio in (before, row["audio"])]
    assert loud[0] == loud[1] == list(range(0, FRAMES, 5)) and not np.array_equal(before, row["audio"])


def test_what_is_packed_is_kept_and_packed_anew_when_it_is_made_of_something_else(root: Path) -> None:
    states = lambda data: sorted((one.kind, one.state) for one in data.prepare())  # noqa: E731
    assert states(talks_unpacked(root, pack=True)) == [("faces", "kept")] * 5 + [("sound", "kept")] * 5
    write_bursts(root / "wave/four.wav", FRAMES)
    assert states(talks_unpacked(root, pack=True)).count(("sound", "made")) == 1
    assert states(talks_unpacked(root, pack=True, face_size=20)).count(("faces", "made")) == 5


def talks_unpacked(root: Path, **options: object) -> Ego4DASD:
    """The datamodule before anything is packed."""
    plain = {"cache": str(root.parent / "cache"), "num_workers": 0, "face_size": 28, "crop": "ava"}
    return Ego4DASD(str(root), **plain | options)


def test_mode_prepare_without_anything_to_make_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a value for datamodule.pack or datamodule.clip_seconds"):
        list(talks_unpacked(root).prepare())


def test_mode_prepare_cuts_windows(root: Path) -> None:
    data = talks_unpacked(root, clip_seconds=1.0, clip_folder=str(root.parent / "windows"))
    assert {one.state for one in data.prepare()} == {"made"}
    folders = sorted(
        path.relative_to(root.parent / "windows").as_posix() for path in root.parent.glob("windows/*/*/*/")
    )
    assert folders[:2] == ["train/one/clip_f000000", "train/one/clip_f000030"] and len(folders) == 10
    assert {one.state for one in data.prepare()} == {"kept"}


def test_what_a_killed_process_left_is_removed_and_the_tree_is_the_same(root: Path) -> None:
    data = talks_unpacked(root, pack=True)
    list(data.prepare())
    tree = {path: path.read_bytes() for path in (root.parent / "cache").rglob("*.npy")}
    victim = next(path for path in tree if path.parent.name == "faces")
    victim.unlink()
    victim.with_name(".saving-123.npy.part").write_bytes(b"half")
    assert sorted(one.state for one in data.prepare()) == ["kept"] * 9 + ["made"]
    assert {path: path.read_bytes() for path in (root.parent / "cache").rglob("*.np*")} == tree


def test_a_broken_training_clip_is_left_out_and_a_broken_one_of_evaluation_stops_the_run(root: Path) -> None:
    (root / "videos/two.avi").write_bytes(b"no video")
    data = talks(root, max_bad_share=0.5)
    assert {source.name for source in data.train_data.sources} == {"one", "two", "three"}
    assert {name for batch in data.train_dataloader() for name in batch["name"]} == {"one", "three"}
    with pytest.raises(VideoReadError, match=r"two.avi: it cannot be read as a video"):
        talks(root, on_error="error")
    (root / "videos/five.avi").write_bytes(b"no video")
    with pytest.raises(VideoReadError, match=r"five.avi: it cannot be read as a video"):
        talks(root, "validate")


def test_a_clip_that_cannot_be_packed_is_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "wave/five.wav").write_bytes(b"no sound")
    with pytest.raises(VideoReadError, match=r"five.avi: .*five-\w+.npy is not there; mode=prepare"):
        talks(root, "validate")
    assert "five cannot be packed" in caplog.text and "five.wav" in caplog.text


@pytest.mark.parametrize(("reader", "used"), [("auto", "pyav"), ("decord", "decord")])
def test_whole_videos_are_packed_by_a_reader_of_bounded_memory_unless_another_is_named(
    root: Path, reader: str, used: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(root.parent / "cache")
    with caplog.at_level(logging.INFO):
        data = talks(root, "validate", reader=reader)
    assert f"2 videos: {used} 2" in caplog.text
    with pytest.MonkeyPatch.context() as patched:
        asked: list[str] = []
        patched.setattr("datamodules.speaker_set.pack_all", lambda _, backend, *rest: asked.append(backend) or ())
        assert list(data.pack({})) == [] and asked == [used]


def test_too_many_rows_that_cannot_be_used_stop_the_run(root: Path) -> None:
    path = root / "json/av_val.json"
    content = json.loads(path.read_text())
    for box in content["videos"][0]["clips"][0]["persons"][0]["tracking_paths"][0]["track"][:9]:
        box["frame"] += 1000
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"9 rows cannot be used"):
        talks(root, "validate")
    assert talks(root, "validate", max_bad_share=0.2).val_data.num_clips == 4


@pytest.mark.parametrize("place", ["annotations", "."])
def test_annotations_are_found_beside_the_media_too(root: Path, place: str) -> None:
    (root / place).mkdir(exist_ok=True)
    for path in list((root / "json").iterdir()):
        path.rename(root / place / path.name)
    assert talks(root, "validate").val_data.num_clips == 4
    elsewhere = root.parent / "elsewhere"
    shutil.copytree(root / place, elsewhere, ignore=shutil.ignore_patterns("wave", "videos"))
    assert talks(root, "validate", annotations=str(elsewhere)).val_data.num_clips == 4


def test_sound_of_the_video_takes_the_place_of_a_file(tmp_path: Path) -> None:
    root = write_talks(tmp_path / "talks", sound=False)
    for path in list((root / "videos").iterdir()):
        path.unlink()
        write_sound(path.with_suffix(".mkv"), bursts(FRAMES), RATE, "flac", video_s=FRAMES / FPS, fps=FPS)
    persons = [person("1", {"a": track(range(FRAMES), (2.0, 3.0, 20.0, 20.0))})]
    content = {"videos": [{"video_uid": "v", "clips": [{"clip_uid": n, "persons": persons} for n in ("four", "five")]}]}
    (root / "json/av_val.json").write_text(json.dumps(content))
    row = talks(root, "validate").val_data[0][0]
    assert np.flatnonzero(row["audio"][1::4, 0] > 14).tolist() == list(range(0, FRAMES, 5))


@pytest.mark.parametrize(
    ("remove", "error", "match"),
    [
        ("videos", DatasetNotFoundError, r"lacks videos/<clip_uid>.mp4 or video_imgs/<clip_uid>/img_00001.jpg"),
        ("json", DatasetNotFoundError, r"lacks json/av_train.json"),
        (".", PathNotFoundError, r"datamodule.root: .* does not exist"),
    ],
)
def test_what_is_missing_is_named(root: Path, remove: str, error: type, match: str) -> None:
    shutil.rmtree(root / remove)
    with pytest.raises(error, match=match):
        talks(root, "validate")


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop": "face"},
        {"audio_level": "loud"},
        {"hop": "long"},
        {"batching": "rows"},
        {"missing_audio": "skip"},
        {"media": "tapes"},
        {"window_s": 0.0},
        {"budget": 0},
        {"other_voice": 1.5},
        {"clip_seconds": -1.0},
        {"max_gap": -1},
    ],
    ids=str,
)
def test_options_out_of_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=rf"datamodule.{next(iter(wrong))}: expected .*, found"):
        Ego4DASD("data", **wrong)


def spoil_sound_length(root: Path) -> None:
    write_bursts(root / "wave/two.wav", FRAMES - 9)


def spoil_leak(root: Path) -> None:
    shutil.copyfile(root / "videos/one.avi", root / "videos/five.avi")


def spoil_shared(root: Path) -> None:
    path = root / "json/av_val.json"
    content = json.loads(path.read_text())
    train = json.loads((root / "json/av_train.json").read_text())
    content["videos"][0]["clips"].append(train["videos"][0]["clips"][0])
    path.write_text(json.dumps(content))


DEFECTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda root: (root / "videos/three.avi").write_bytes(b"no video"), UNREADABLE),
    (lambda root: (root / "wave/three.wav").write_bytes(b"no sound"), UNREADABLE),
    (lambda root: (root / "wave/three.wav").unlink(), NO_SOUND),
    (spoil_sound_length, SOUND_LENGTH),
    (spoil_leak, LEAK),
    (spoil_shared, SHARED),
]


def checked(root: Path) -> dict[str, int]:
    node = {"_target_": "datamodules.ego4d_asd.Ego4DASD", "root": str(root), "cache": str(root.parent / "nothing")}
    try:
        check_data({"datamodule": node | {"num_workers": 1}, "paths": {"run": str(root.parent / "run")}})
    except DataDefectsError:
        logging.getLogger(__name__).debug("there are defects")
    report = json.loads((root.parent / "run/check.json").read_text())
    assert list(report["counts"]) == list(Ego4DASD.kinds_of_defects) and report["complete"]
    return {kind: count for kind, count in report["counts"].items() if count}


def test_a_check_finds_nothing_in_sound_data_and_writes_nothing(root: Path) -> None:
    assert checked(root) == {} and not (root.parent / "nothing").exists()


@pytest.mark.parametrize(("spoil", "kind"), DEFECTS, ids=[kind for _, kind in DEFECTS])
def test_a_check_finds_what_is_wrong(root: Path, spoil: Callable[[Path], object], kind: str) -> None:
    spoil(root)
    assert kind in checked(root)


def test_a_check_finds_faces_in_images_that_are_missing(tmp_path: Path) -> None:
    root = write_talks(tmp_path / "talks", folders=True)
    (root / "video_imgs/four/img_00010.jpg").unlink()
    assert checked(root)[NO_PICTURE] == 1


# The same clips in other files.


def write_ava_csv(root: Path, split: str, names: tuple[str, ...]) -> None:
    """A csv for each clip, without header, of a face that speaks in every second frame."""
    (root / "csv" / split).mkdir(parents=True)
    for name in names:
        with (root / f"csv/{split}/{name}-activespeaker.csv").open("w", newline="") as stream:
            for frame in range(3, 33):
                label = "SPEAKING_AUDIBLE" if frame % 2 else "NOT_SPEAKING"
                box = (0.3, 0.3, 0.5, 0.6)
                csv.writer(stream).writerow((name, round(frame / FPS, 3), *box, label, f"{name}_0000_0060:1"))


def test_files_of_ava_give_the_same_batches(root: Path) -> None:
    write_ava_csv(root, "train", ("one", "two"))
    write_ava_csv(root, "val", ("four",))
    quiet = {"face_augment": False, "other_voice": 0.0, "num_workers": 0, "face_size": 28}
    data = AvaASD(str(root), cache=str(root.parent / "cache"), **quiet)
    data.prepare_data()
    data.setup("fit")
    (batch,) = data.val_dataloader()
    assert batch["frames"].tolist() == [list(range(3, 33))] == [frames_of(batch["faces"][0].numpy())]
    assert batch["target"][0].tolist() == [frame % 2 for frame in range(3, 33)]
    assert batch["seconds"][0].tolist() == [round(frame / FPS, 3) for frame in range(3, 33)]
    assert set(batch["voice"][0].tolist()) == {1, -1}  # nobody says that nobody is heard
    assert data.hparams.crop == "ava" and data.hparams.budget == 2500


def test_tracks_of_ones_own_are_parted_into_training_and_validation(root: Path) -> None:
    lines = ["video_id,frame,x1,y1,x2,y2,entity_id,label"]
    names = ("one", "two", "three", "four", "five")
    lines += [f"{name},{frame},40,30,64,58,a,{frame % 2}" for name in names for frame in range(20)]
    (root / "tracks.csv").write_text("\n".join(lines))
    quiet = {"face_augment": False, "other_voice": 0.0, "num_workers": 0, "face_size": 28, "crop": "ava"}
    data = Speakers(str(root), cache=str(root.parent / "cache"), val_fraction=0.4, **quiet)
    data.prepare_data()
    data.setup("fit")
    parts = [{source.name for source in part.sources} for part in (data.train_data, data.val_data)]
    assert [len(part) for part in parts] == [3, 2] and parts[0] | parts[1] == set(names)
    (batch,) = data.val_dataloader()
    assert frames_of(batch["faces"][0].numpy()) == list(range(20))
    assert batch["target"][0].tolist() == [frame % 2 for frame in range(20)]
