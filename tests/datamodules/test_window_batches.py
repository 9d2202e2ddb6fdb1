"""Windows of whole videos in batches: the right pixels, each frame decoded once, and a function of the list alone."""

import shutil
from collections import defaultdict
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from PIL import Image

from datamodules import sequential, window_batches
from datamodules.errors import VideoReadError
from datamodules.frame_indices import strided_clip, window_starts
from datamodules.packing import count_batches
from datamodules.reading import open_video, probe
from datamodules.transforms import channels_first
from datamodules.videos import Videos
from datamodules.windows import VIEWS, Windows
from tests.datamodules import counters

SIZE = (counters.HEIGHT, counters.WIDTH)
LENGTHS = {"a": 40, "frames/d": 30, "one": 1, "scene/b": 150, "scene/c": 50, "short": 5, "z": 45}
LENGTH = 8
KEPT = ("video", "frames", "seconds", "index", "rows", "views", "label")  # of every clip


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered frames in mp4 and avi files, and in folders of images, one of which counts from 1."""
    root = tmp_path_factory.mktemp("videos")
    (root / "scene").mkdir()
    for name in ("a", "scene/b", "short", "z"):
        counters.encode(root / f"{name}.mp4", count=LENGTHS[name])
    counters.encode(root / "scene/c.avi", "mpeg4", LENGTHS["scene/c"], b_frames=None)
    counters.write_frames(root / "frames/d", {number: f"img_{number:05}.png" for number in range(1, 31)})
    counters.write_frames(root / "one", {0: "000.png"})
    return root


@pytest.fixture
def make(videos: Path, tmp_path: Path):
    """Make a datamodule of windows whose frames can be read, ready to predict."""

    def build(place: tuple[int, int] = (0, 1), left_out: tuple = (), windows: dict | None = None, **options) -> Videos:
        plain = {"root": str(videos), "cache": str(tmp_path), "image_size": SIZE, "num_workers": 0, "batch_size": 4}
        made = Videos(**plain | {"num_frames": LENGTH, "frame_step": 1, "windows": Windows(**windows or {})} | options)
        made.place = lambda: place
        made.prepare_data()
        made.setup("predict")
        made.leave_out(left_out)
        return made

    return build


def rows_of(batches) -> dict[tuple[str, int, int], dict]:
    """What is said of every clip, by name, row and view; each once."""
    found = {}
    for batch in batches:
        for place, (name, row, view) in enumerate(
            zip(batch["name"], batch["row"].tolist(), batch["view"].tolist(), strict=True)
        ):
            if row < 0:
                continue
            assert (name, row, view) not in found
            found[name, row, view] = {key: batch[key][place] for key in KEPT}
    return found


def cut(datamodule: Videos) -> list[dict]:
    """The batches as they are before normalisation."""
    return [datamodule.windows.cut(batch, datamodule.eval_transform.size) for batch in datamodule.predict_dataloader()]


def identical(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if torch.is_tensor(value) else str(value) == str(other[key])
        for key, value in one.items()
    )


def naive(path: Path, windows: Windows, size: tuple[int, int], length: int) -> dict[tuple[int, int], torch.Tensor]:
    """Every view of every window, each decoded and brought to size anew: uint8 or float (3, T, H, W)."""
    facts, clips = probe(path, 25.0), {}
    for row, start in enumerate(window_starts(facts.frame_count, length, windows.stride, windows.tail).tolist()):
        with open_video(facts) as reader:
            frames = reader.read(strided_clip(start, facts.frame_count, length, 1))
        sized = windows.bring_to_size(channels_first(frames), size)
        for view, crop in enumerate(windows.crops(*sized.shape[-2:], size)):
            clips[row, view] = crop.pixels(sized).transpose(0, 1)
    return clips


@pytest.mark.parametrize("tail", ["pad", "drop", "overlap"])
@pytest.mark.parametrize("stride", [3, 8, 11])
def test_rows_are_the_windows_of_all_videos_and_show_the_frames_they_name(make, tail: str, stride: int) -> None:
    datamodule = make(windows={"stride": stride, "tail": tail})
    found = rows_of(cut(datamodule))
    for name, count in LENGTHS.items():
        starts = window_starts(count, LENGTH, stride, tail)
        assert {(row, view) for video, row, view in found if video == name} == {(row, 0) for row in range(len(starts))}
        for row, start in enumerate(starts.tolist()):
            clip, base = found[name, row, 0], 1 if name == "frames/d" else 0
            expected = [min(start + frame, count - 1) for frame in range(LENGTH)]
            assert (clip["frames"] - base).tolist() == expected
            assert clip["frames"].tolist() == counters.numbers_of(clip["video"].permute(1, 2, 3, 0).numpy())
            torch.testing.assert_close(clip["seconds"], torch.tensor(expected, dtype=torch.float64) / 25)
            assert clip["rows"] == len(starts) and clip["views"] == 1 and (clip["label"] == -1).all()
    indices = [int(clip["index"]) for clip in found.values()]
    assert sorted(indices) == list(range(len(indices)))


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("stride", [3, 16])
def test_every_window_equals_a_naive_read_bit_by_bit(make, videos: Path, views: str, stride: int) -> None:
    datamodule = make(windows={"views": views, "stride": stride}, image_size=(28, 42))
    found = rows_of(cut(datamodule))
    for source in datamodule.feature_sources().items():
        name, path = source[0], videos / source[1]["path"]
        expected = naive(path, datamodule.windows, (28, 42), LENGTH)
        assert {(row, view) for video, row, view in found if video == name} == expected.keys()
        for (row, view), clip in expected.items():
            assert torch.equal(found[name, row, view]["video"], clip), (name, row, view)


def test_floats_reach_the_model_as_the_published_script_makes_them(make, videos: Path) -> None:
    options = {"image_size": (28, 42), "normalization": "zero_one", "windows": {"views": "squash", "resize": "float"}}
    datamodule, found = make(**options), {}
    for batch in datamodule.predict_dataloader():
        found |= rows_of([datamodule.on_after_batch_transfer(batch, 0)])
    expected = naive(videos / "z.mp4", datamodule.windows, (28, 42), LENGTH)
    for (row, view), clip in expected.items():
        assert torch.equal(found["z", row, view]["video"], clip) and clip.dtype == torch.float32
    assert "pools" in Videos.exact  # or bfloat16 would round them before they are cut


def test_batches_have_one_shape_and_say_what_only_fills_them_up(make) -> None:
    datamodule = make(windows={"views": "three_width", "stride": 8}, batch_size=5)
    batches = list(datamodule.predict_dataloader())
    assert len(batches) == len(datamodule.predict_dataloader().dataset) == len(datamodule.predict_dataloader())
    keys = {"video", "mean", "std", "name", "frames", "seconds", "index", "row", "rows", "view", "views", "label"}
    for batch in batches:
        filled = datamodule.on_after_batch_transfer(datamodule.on_before_batch_transfer(batch, 0), 0)
        assert set(filled) == keys and keys <= set(Videos.provides)
        assert filled["video"].shape == (5, 3, LENGTH, *SIZE) and filled["video"].dtype == torch.float32
        nothing = filled["row"] < 0
        assert [name == "" for name in filled["name"]] == nothing.tolist()
        assert len(filled["video"][nothing].unique()) <= 3  # black
    clips = 3 * sum(len(window_starts(count, LENGTH, 8, "pad")) for count in LENGTHS.values())
    assert sum(int((batch["row"] >= 0).sum()) for batch in batches) == clips


def write_colour(path: Path, colour: tuple[int, int, int], count: int = 20) -> None:
    """A video or a folder of JPEGs of one colour."""
    frame = np.full((64, 96, 3), colour, dtype=np.uint8)
    if not path.suffix:
        path.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(frame).save(path / f"{number:03}.jpg", quality=95)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264" if path.suffix == ".mp4" else "mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize(("channels", "place"), [("rgb", 0), ("bgr", 2)])
def test_red_stays_red_unless_the_order_of_channels_is_turned(make, tmp_path, channels, place, views) -> None:
    for name in ("a.mp4", "b.avi", "c"):
        write_colour(tmp_path / "red" / name, (255, 0, 0))
    windows = {"channels": channels, "views": views}
    datamodule = make(root=str(tmp_path / "red"), windows=windows, image_size=32, normalization="zero_one")
    seen = set()
    for batch in datamodule.predict_dataloader():
        batch = datamodule.on_after_batch_transfer(batch, 0)
        for name, row, video in zip(batch["name"], batch["row"].tolist(), batch["video"], strict=True):
            if row >= 0:
                means = video.mean((1, 2, 3)).tolist()
                assert means.pop(place) > 0.95 and max(means) < 0.05, name
                seen.add(name)
    assert seen == {"a", "b", "c"}


def test_a_frame_folder_gives_the_windows_of_the_video_it_was_made_from(make, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    shutil.copy(videos / "z.mp4", tmp_path / "both" / "video.mp4")
    facts = probe(videos / "z.mp4", 25.0)
    with open_video(facts) as reader:
        frames = reader.read(range(facts.frame_count))
    (tmp_path / "both" / "folder").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "both" / "folder" / f"{number:03}.jpg", quality=95)
    found = rows_of(cut(make(root=str(tmp_path / "both"), windows={"stride": 4})))
    pairs = [(found["video", row, 0], found["folder", row, 0]) for row in range(len(found) // 2)]
    assert len(pairs) == 11
    for video, folder in pairs:
        assert torch.equal(video["frames"], folder["frames"]) and torch.equal(video["seconds"], folder["seconds"])
        difference = (video["video"].float() - folder["video"].float()).abs()
        assert 0 < difference.mean() < 2 and difference.max() < 40  # grey levels that JPEG costs


def batches_by_content(datamodule: Videos) -> dict[str, dict]:
    """Batches by the first clip of each, so that they can be compared whatever order they come in."""
    batches = cut(datamodule)
    found = {f"{batch['name'][0]}:{int(batch['index'][0])}": batch for batch in batches}
    assert len(batches) == len(found) == len(datamodule.predict_dataloader())
    return found


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_neither_ranks_nor_workers_change_a_batch(make, world_size: int, workers: int, monkeypatch) -> None:
    monkeypatch.setattr("datamodules.packing.PACK_BATCHES", 3)
    windows = {"stride": 5, "views": "three_width"}
    expected = batches_by_content(make(windows=windows))
    together: dict[str, dict] = {}
    for rank in range(world_size):
        share = batches_by_content(make(place=(rank, world_size), windows=windows, num_workers=workers))
        assert share and not share.keys() & together.keys()
        together |= share
    assert together.keys() == expected.keys()
    assert all(identical(together[key], batch) for key, batch in expected.items())


def test_leaving_out_what_is_finished_changes_no_batch_of_the_others(make, monkeypatch) -> None:
    monkeypatch.setattr("datamodules.packing.PACK_BATCHES", 3)
    windows = {"stride": 5}
    expected = batches_by_content(make(windows=windows))
    data = make(windows=windows).predict_dataloader().dataset
    of_pack = [{data.sources[video].name for video in pack} for pack in data.packs]
    assert len(of_pack) > 3
    for names in of_pack:
        left = batches_by_content(make(windows=windows, left_out=tuple(names)))
        assert left.keys() < expected.keys() and all(identical(expected[key], batch) for key, batch in left.items())
        assert not names & {name for batch in left.values() for name in batch["name"]}
        partly = tuple(sorted(names)[1:])
        assert batches_by_content(make(windows=windows, left_out=partly)).keys() == expected.keys()
    assert len(make(windows=windows, left_out=tuple(LENGTHS)).predict_dataloader()) == 0
    assert list(make(windows=windows, left_out=tuple(LENGTHS)).predict_dataloader()) == []


def test_a_long_video_is_read_in_chunks_and_every_frame_is_decoded_once(make, monkeypatch) -> None:
    asked: dict[str, list] = defaultdict(list)
    opened: dict[str, int] = defaultdict(int)
    real_open = sequential.open_video

    def counting(facts, backend):
        reader = real_open(facts, backend)
        read = reader.read
        reader.read = lambda indices: asked[facts.path.stem].append(list(indices)) or read(indices)
        opened[facts.path.stem] += 1
        return reader

    monkeypatch.setattr(sequential, "open_video", counting)
    monkeypatch.setattr(window_batches, "CHUNK_FRAMES", 20)
    list(make(windows={"stride": 2, "views": "ten_crop"}, image_size=32).predict_dataloader())
    assert set(opened.values()) == {1} and len(opened) == len(LENGTHS)
    for name, count in LENGTHS.items():
        chunks = asked[Path(name).name]
        assert [frame for chunk in chunks for frame in chunk] == list(range(count))
        assert max(map(len, chunks)) <= 20 and len(chunks) == count_batches(count, 20)


def test_frames_between_windows_and_behind_the_last_are_not_decoded(make, monkeypatch) -> None:
    asked = []
    real_read = sequential.SequentialDecoder._decode

    def watching(self, facts, indices):
        asked.extend(indices.tolist() if facts.path.name == "d" else [])
        return real_read(self, facts, indices)

    monkeypatch.setattr(sequential.SequentialDecoder, "_decode", watching)
    list(make(windows={"stride": 12, "tail": "drop"}).predict_dataloader())
    assert asked == [*range(8), *range(12, 20)]


def test_large_frames_are_read_in_smaller_chunks(make, monkeypatch) -> None:
    monkeypatch.setattr(window_batches, "CHUNK_BYTES", 5 * 3 * counters.HEIGHT * counters.WIDTH)
    sizes = []
    real_decode = sequential.SequentialDecoder._decode
    monkeypatch.setattr(
        sequential.SequentialDecoder,
        "_decode",
        lambda self, facts, indices: sizes.append(len(indices)) or real_decode(self, facts, indices),
    )
    list(make().predict_dataloader())
    assert max(sizes) == 5


@pytest.fixture
def damaged(videos: Path, tmp_path: Path) -> Path:
    """The videos, of which one breaks in the middle, one is no video at all, and one has an image that is none."""
    root = Path(shutil.copytree(videos, tmp_path / "damaged"))
    data = bytearray((root / "scene" / "b.mp4").read_bytes())
    begin = data.index(b"mdat")
    middle = slice(begin + (len(data) - begin) // 3, begin + (len(data) - begin) // 2)
    data[middle] = bytes(len(data[middle]))
    (root / "scene" / "b.mp4").write_bytes(data)
    (root / "a.mp4").write_bytes(b"no video at all")
    (root / "frames" / "d" / "img_00020.png").write_bytes(b"no image")
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_videos_are_named_and_the_others_go_on_unchanged(make, damaged: Path, workers: int) -> None:
    windows = {"stride": 4}
    expected = rows_of(cut(make(windows=windows)))
    datamodule = make(root=str(damaged), windows=windows, num_workers=workers)
    batches = cut(datamodule)
    assert len(batches) == len(datamodule.predict_dataloader())
    failed = {name: (path, reason) for batch in batches for name, path, reason in batch.get("failed", ())}
    assert sum(len(batch.get("failed", ())) for batch in batches) == len(failed) == 3
    assert failed["a"][0] == str(damaged / "a.mp4") and failed["scene/b"][0] == str(damaged / "scene/b.mp4")
    assert failed["frames/d"][0] == str(damaged / "frames/d/img_00020.png")
    assert all(reason for _, reason in failed.values())
    found = rows_of(batches)
    assert {key for key in expected if key[0] not in failed} == {key for key in found if key[0] not in failed}
    for (name, row, view), clip in found.items():
        assert torch.equal(clip["video"], expected[name, row, view]["video"]), (name, row)
        assert torch.equal(clip["frames"], expected[name, row, view]["frames"])
    for batch in batches:
        assert (batch["video"][batch["row"] < 0] == 0).all()


def test_a_video_without_a_window_is_a_failure_with_this_reason(make) -> None:
    batches = list(make(windows={"tail": "drop"}).predict_dataloader())
    failed = [entry for batch in batches for entry in batch.get("failed", ())]
    assert [name for name, _, _ in failed] == ["one", "short"]
    assert failed[1][2] == "has 5 frames, a window takes 8 (datamodule.windows.tail=drop)"
    assert (batches[-1]["row"] == -1).all()


def test_where_nothing_can_be_read_there_is_still_a_batch_that_says_so(make, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.mp4").write_bytes(b"no video at all")
    datamodule = make(root=str(tmp_path / "set"))
    assert datamodule.feature_sources() == {
        "a": {"path": "a.mp4", "bytes": 15, "first": None, "frames": None, "fps": None}
    }
    (batch,) = datamodule.predict_dataloader()
    assert [name for name, _, _ in batch["failed"]] == ["a"]
    assert datamodule.on_after_batch_transfer(batch, 0)["video"].shape == (4, 3, LENGTH, *SIZE)


def test_a_decoder_that_is_stuck_is_given_up_and_the_next_video_goes_on(make, monkeypatch) -> None:
    real_decode = sequential.SequentialDecoder._decode

    def stuck(self, facts, indices):
        while facts.path.stem == "z" and indices[0] >= 20:
            pass
        return real_decode(self, facts, indices)

    monkeypatch.setattr(sequential.SequentialDecoder, "_decode", stuck)
    monkeypatch.setattr(window_batches, "CHUNK_FRAMES", 20)
    batches = list(make(num_workers=1, decode_timeout_s=3.0).predict_dataloader())
    failed = [entry for batch in batches for entry in batch.get("failed", ())]
    assert [name for name, _, _ in failed] == ["z"] and "did not come to an end within 3 s" in failed[0][2]
    assert {name for name, _, _ in rows_of(cut_all(batches))} >= set(LENGTHS) - {"z"}


def cut_all(batches: list[dict]) -> list[dict]:
    return [Windows().cut(batch, SIZE) for batch in batches]


def test_the_recipe_names_the_windows_and_not_what_they_replace(make) -> None:
    recipe = make(windows={"views": "three_width", "tail": "overlap"}, resize="squash").recipe()
    assert recipe == {
        "image_size": list(SIZE),
        "num_frames": LENGTH,
        "frame_step": 1,
        "normalization": "imagenet",
        "reader": "auto",
        "batch_size": 4,
        "windows": {
            "stride": 16,
            "tail": "overlap",
            "views": "three_width",
            "resize": "bytes",
            "channels": "rgb",
            "view_order": ["left", "centre", "right"],
        },
    }


@pytest.mark.parametrize("step", [{"frame_step": 2}, {"step_s": 0.1}])
def test_frames_of_a_window_are_consecutive(step: dict) -> None:
    with pytest.raises(
        ValueError, match=r"datamodule.frame_step: expected 1 with datamodule.windows, found datamodule."
    ):
        Videos(**{"frame_step": 1} | step, windows=Windows())


def test_a_broken_video_still_ends_a_test(make, damaged: Path) -> None:
    with pytest.raises(VideoReadError, match=r"a\.mp4"):
        make(root=str(damaged)).setup("test")


class Rows(LightningModule):
    """Predicts which rows it saw, and checks the precision of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def predict_step(self, batch: dict, batch_idx: int) -> list:
        assert batch["video"].shape == (4, 3, LENGTH, *SIZE) and batch["seconds"].dtype == torch.float64
        return [(name, int(row)) for name, row in zip(batch["name"], batch["row"], strict=True) if row >= 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_predicts_from_windows(make, tmp_path: Path, workers: int) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", devices=1, enable_checkpointing=False, **quiet)
    datamodule = make(num_workers=workers)
    del datamodule.place
    rows = [row for batch in trainer.predict(Rows(), datamodule=datamodule) for row in batch]
    assert sorted(rows) == sorted(
        (name, row) for name, count in LENGTHS.items() for row in range(len(window_starts(count, LENGTH, 16, "pad")))
    )
    assert "windows" not in datamodule.hparams  # a checkpoint of a training keeps plain values alone
