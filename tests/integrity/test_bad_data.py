"""A broken file costs a training one warning, an evaluation a clear end, and nobody a wrong sample."""

import itertools
import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer

from datamodules import clips, video_index
from datamodules.errors import BadDataError, VideoReadError
from datamodules.quarantine import BAD_SAMPLES_FILE, BadSample, Quarantine, ReplacingClips
from datamodules.video_index import look_at_videos
from datamodules.videos import Videos
from tests.datamodules import counters
from tests.integrity.broken import (
    APART,
    BROKEN,
    BROKEN_IMAGES,
    BROKEN_VIDEOS,
    FRAMES,
    IMAGES,
    VIDEOS,
    copied,
    pipe,
    shorter,
    text,
    write_folders,
    write_videos,
)

TIMEOUT_S = 1.5


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("sound") / "videos")


@pytest.fixture(scope="module")
def sound_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("sound") / "folders")


@pytest.fixture
def library(sound: Path, tmp_path: Path) -> Path:
    return copied(sound, tmp_path / "library")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Videos]:
    """Make a datamodule whose clips are whole videos of whole frames, in a run folder of its own."""

    def build(root: Path, stage: str = "fit", **options: object) -> Videos:
        plain = {"root": str(root), "cache": str(tmp_path / "cache"), "crop": "none", "num_workers": 0}
        whole = {"num_frames": FRAMES // 2, "image_size": (counters.HEIGHT, counters.WIDTH), "val_fraction": 0.0}
        made = Videos(**plain | whole | {"batch_size": 1} | options)
        made.trainer = Trainer(default_root_dir=tmp_path / "run", accelerator="cpu", devices=1, logger=False)
        made.prepare_data()
        made.setup(stage)
        return made

    return build


def path_of(library: Path, k: int) -> Path:
    return next(library.glob(f"v{k}.*"))


def visited(datamodule: Videos, epoch: int = 0) -> list[tuple[int, str]]:
    """Index and name of the samples of an epoch, after a look at whether their pixels are theirs."""
    loader = datamodule.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [sample for batch in loader for sample in identities(datamodule, batch)]


def identities(datamodule: Videos, batch: dict) -> list[tuple[int, str]]:
    batch = datamodule.on_before_batch_transfer(batch, 0)
    assert "bad" not in batch
    for video, name, frames in zip(batch["video"], batch["name"], batch["frames"], strict=True):
        shown = np.asarray(counters.numbers_of(video.permute(1, 2, 3, 0).numpy()))
        assert set(shown // APART) == {int(name[1:])}
        assert (shown % APART == frames.numpy() % APART).all()
    return list(zip(batch["index"].tolist(), batch["name"], strict=True))


def listed(tmp_path: Path) -> list[dict]:
    file = tmp_path / "run" / BAD_SAMPLES_FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


WHEN = ("before the start", "while training")
# What has always been short, or never had a frame, is not broken; mode=check says what is strange about it.
VIDEO_CASES = [*itertools.product(BROKEN_VIDEOS, WHEN), ("shorter", "while training")]
IMAGE_CASES = [*itertools.product(BROKEN_IMAGES, WHEN), ("missing", "while training")]


@pytest.mark.parametrize(("kind", "when"), VIDEO_CASES)
@pytest.mark.parametrize("k", [BROKEN, BROKEN + 1], ids=["mp4", "avi"])
def test_a_broken_video_gives_way_to_another_one(
    make, library: Path, tmp_path: Path, kind: str, when: str, k: int, caplog
) -> None:
    break_it, path = {**BROKEN_VIDEOS, "shorter": shorter}[kind], path_of(library, k)
    if when == "before the start":
        break_it(path)
    datamodule = make(library, num_workers=0)
    if when == "while training":
        break_it(path)
    with caplog.at_level(logging.WARNING):
        first, second = visited(datamodule, 0), visited(datamodule, 1)
    for epoch in (first, second):
        assert len(epoch) == VIDEOS
        assert f"v{k}" not in {name for _, name in epoch}
        assert len({name for _, name in epoch}) == VIDEOS - 1  # one of the others comes twice
    assert all(f"v{index}" == name for index, name in first + second)
    assert datamodule.quarantine.replaced == 2
    (entry,) = listed(tmp_path)
    assert entry["path"] == str(path) and entry["video"] == f"v{k}"
    assert entry["reason"] and "VideoReadError" in entry["traceback"]
    assert caplog.text.count(f"{path} cannot be read") <= 1


@pytest.mark.parametrize(("kind", "when"), IMAGE_CASES)
@pytest.mark.parametrize("which", [0, IMAGES // 2], ids=["first", "middle"])
@pytest.mark.parametrize("k", [BROKEN, BROKEN + 1], ids=["png", "jpg"])
def test_a_broken_image_takes_its_folder_out(
    make, sound_folders: Path, tmp_path: Path, kind: str, which: int, when: str, k: int
) -> None:
    library = copied(sound_folders, tmp_path / "library")
    path = sorted((library / f"v{k}").iterdir())[which]
    if when == "before the start":
        {**BROKEN_IMAGES, "missing": Path.unlink}[kind](path)
    datamodule = make(library, num_frames=IMAGES, frame_step=1)
    if when == "while training":
        {**BROKEN_IMAGES, "missing": Path.unlink}[kind](path)
    names = [name for _, name in visited(datamodule)]
    assert len(names) == VIDEOS and set(names) == {f"v{n}" for n in range(VIDEOS)} - {f"v{k}"}
    (entry,) = listed(tmp_path)
    named = {str(path), str(path.parent)} | ({str(second_of(path))} if kind == "other_size" else set())
    assert entry["path"] in named


def second_of(path: Path) -> Path:
    """The image that shows that the first one has an odd size."""
    return sorted(path.parent.iterdir())[1]


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
@pytest.mark.parametrize("when", ["before the start", "while evaluating"])
def test_an_evaluation_stops_at_a_broken_video_and_names_it(make, library: Path, stage: str, when: str) -> None:
    path, name = path_of(library, BROKEN), "val" if stage == "validate" else stage
    # The seed holds out the broken video.
    options = {"val_fraction": 0.9, "seed": 0}
    if when == "before the start":
        text(path)
        with pytest.raises(VideoReadError, match=path.name):
            make(library, stage, **options)
        return
    datamodule = make(library, stage, **options)
    text(path)
    with pytest.raises(VideoReadError, match=path.name):
        list(getattr(datamodule, f"{name}_dataloader")())


@pytest.mark.parametrize("when", ["before the start", "while training"])
def test_a_training_that_asks_for_it_stops_at_the_first_broken_video(make, library: Path, when: str) -> None:
    path = path_of(library, BROKEN)
    with pytest.raises(VideoReadError, match=path.name):
        if when == "before the start":
            text(path)
        datamodule = make(library, on_error="error")
        text(path)
        list(datamodule.train_dataloader())


def test_too_many_broken_videos_stop_the_run_with_their_list(make, library: Path, tmp_path: Path) -> None:
    paths = [path_of(library, k) for k in (2, 5, 7)]
    datamodule = make(library)
    for path in paths[:2]:
        text(path)
    with pytest.raises(BadDataError, match=r"20 % of the training data .* datamodule.max_bad_share=0.01") as caught:
        visited(datamodule)
    assert all(f"{path}: " in str(caught.value) for path in paths[:2])
    assert {entry["path"] for entry in listed(tmp_path)} == {str(path) for path in paths[:2]}
    with pytest.raises(BadDataError, match="20 % of the training data"):  # the next start says so at once
        make(library)
    assert len(visited(make(library, max_bad_share=0.2))) == VIDEOS
    text(paths[2])
    with pytest.raises(BadDataError, match="30 % of the training data"):
        make(library, max_bad_share=0.2)


def test_a_share_counts_samples_and_one_video_is_always_allowed() -> None:
    few = Quarantine(None, ["a"] * 5 + ["b"] * 5, 0.0)
    few.report([bad("a")])
    with pytest.raises(BadDataError, match="100 %"):
        few.report([bad("b")])
    many = Quarantine(None, [f"{n}" for n in range(300)], 0.01)
    for n in range(3):
        many.report([bad(str(n)), bad(str(n))])
    with pytest.raises(BadDataError, match=r"1\.33 %"):
        many.report([bad("3")])
    assert many.replaced == 7


def bad(video: str, path: str | None = None) -> BadSample:
    return BadSample(video, path or f"/data/{video}.mp4", "a reason", "a traceback", 0, 0)


def test_a_data_set_of_broken_videos_alone_is_refused(make, library: Path) -> None:
    for path in library.iterdir():
        text(path)
    with pytest.raises(VideoReadError, match="10 of 10 videos cannot be read"):
        make(library, max_bad_share=1.0)


@pytest.fixture
def two_broken(library: Path) -> Path:
    for k in (BROKEN, BROKEN + 3):
        text(path_of(library, k))
    return library


def test_replacements_do_not_depend_on_workers(make, two_broken: Path) -> None:
    options = {"repeat": 3, "max_bad_share": 0.5, "batch_size": 2}
    runs = []
    for workers in (0, 1, 2):
        datamodule = make(two_broken, num_workers=workers, **options)
        runs.append([visited(datamodule, epoch) for epoch in range(2)])
    assert runs[0] == runs[1] == runs[2]
    assert sorted(runs[0][0]) != sorted(runs[0][1])  # another epoch, other replacements
    assert {name for epoch in runs[0] for _, name in epoch} == {f"v{k}" for k in range(VIDEOS)} - {"v3", "v6"}


def test_replacements_do_not_depend_on_ranks(make, two_broken: Path) -> None:
    datamodule = make(two_broken, repeat=2, max_bad_share=0.5)
    alone, shares = visited(datamodule), []
    for rank in range(2):
        datamodule.place = lambda rank=rank: (rank, 2)
        shares.append(visited(datamodule))
    assert [sample for pair in zip(*shares, strict=True) for sample in pair] == alone


def test_a_replacement_is_a_function_of_seed_epoch_and_index(make, two_broken: Path) -> None:
    def chosen(seed: int, epoch: int) -> list[int]:
        datamodule = make(two_broken, seed=seed, max_bad_share=0.5, repeat=20)
        data = ReplacingClips(datamodule.train_data, 5)
        return [next(iter(list(data.candidates(epoch, index))[1:])) for index in range(60, 80)]

    assert chosen(0, 0) == chosen(0, 0)
    others = [chosen(0, 0), chosen(0, 1), chosen(1, 0)]
    assert len({tuple(choice) for choice in others}) == 3
    assert len(set(others[0])) > 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_epoch_goes_on_as_if_a_file_had_been_broken_from_the_start(make, library: Path, workers: int) -> None:
    options = {"repeat": 4, "num_workers": workers}
    first = make(library, **options)
    text(path_of(library, BROKEN))
    loader = first.train_dataloader()
    whole = [identities(first, batch) for batch in loader]
    cut_short = first.train_dataloader()
    batches = iter(cut_short)
    for _ in range(11):
        next(batches)
    again = make(library, **options)  # now the index finds it broken
    resumed = again.train_dataloader()
    resumed.load_state_dict(cut_short.state_dict())
    assert [identities(again, batch) for batch in resumed] == whole[11:]


def spin(*_: object) -> None:
    while True:
        pass


def crash(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize("way", ["pipe", "sleep", "spin", "crash"])
def test_a_decoder_that_hangs_or_crashes_is_given_up(
    make, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path = path_of(library, BROKEN)
    datamodule = make(library, num_workers=1, decode_timeout_s=TIMEOUT_S)
    if way == "pipe":
        pipe(path)
    else:
        real, stuck = clips.open_video, {"sleep": lambda *_: time.sleep(600), "spin": spin, "crash": crash}[way]
        monkeypatch.setattr(
            clips, "open_video", lambda facts, backend: (stuck if facts.path == path else real)(facts, backend)
        )
    names = [name for _, name in visited(datamodule)]
    assert len(names) == VIDEOS and f"v{BROKEN}" not in names
    (entry,) = listed(tmp_path)
    assert entry["path"] == str(path)
    reason = "crashed (SIGSEGV)" if way == "crash" else f"did not come to an end within {TIMEOUT_S:g} s"
    assert reason in entry["reason"]
    where = {"pipe": "decode", "sleep": "lambda", "spin": "in spin", "crash": ""}[way]
    assert where in entry["traceback"]


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_an_evaluation_stops_at_a_video_that_hangs(make, library: Path, stage: str) -> None:
    path = path_of(library, BROKEN)
    datamodule = make(library, stage, num_workers=1, decode_timeout_s=TIMEOUT_S)
    pipe(path)
    with pytest.raises(VideoReadError, match=rf"{path.name}: reading it did not come to an end"):
        list(getattr(datamodule, f"{stage}_dataloader")())


def test_a_video_that_hangs_at_the_start_is_one_that_cannot_be_read(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, path = video_index.probe, path_of(library, BROKEN)
    monkeypatch.setattr(video_index, "probe", lambda file, fps: spin() if file == path else real(file, fps))
    paths = {file.name: file for file in library.iterdir()}
    facts, broken = look_at_videos(paths, tmp_path / "cache", timeout_s=TIMEOUT_S)
    assert set(broken) == {path.name} and set(facts) == set(paths) - {path.name}
    assert "did not come to an end" in broken[path.name].reason


def test_a_pipe_among_the_videos_is_refused_without_waiting(make, library: Path) -> None:
    pipe(path_of(library, BROKEN))
    with pytest.raises(VideoReadError, match=r"v3.mp4: neither a file nor a folder, but a pipe"):
        make(library, "predict", decode_timeout_s=None)


def report_all(file: Path, own: str, start: object) -> None:
    start.wait()
    quarantine = Quarantine(file, [f"{n}" for n in range(1000)], 1.0)
    for n in range(20):
        quarantine.report([bad(f"{n}"), bad(f"{own}", f"/data/{own}/{n}")])


def test_processes_share_the_list_and_name_every_file_once(tmp_path: Path) -> None:
    context, file = multiprocessing.get_context("fork"), tmp_path / BAD_SAMPLES_FILE
    start = context.Event()
    processes = [context.Process(target=report_all, args=(file, str(rank), start)) for rank in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    paths = [json.loads(line)["path"] for line in file.read_text().splitlines()]
    assert len(paths) == len(set(paths)) == 20 + 3 * 20


def test_ranks_count_what_the_others_found(tmp_path: Path) -> None:
    ranks = [Quarantine(tmp_path / BAD_SAMPLES_FILE, [str(n) for n in range(100)], 0.02) for _ in range(3)]
    for n, rank in enumerate(ranks[:2]):
        rank.report([bad(str(n))])
    with pytest.raises(BadDataError, match="3 % of the training data"):
        ranks[2].report([bad("2")])


def test_the_list_survives_half_a_line_and_forgets_what_was_repaired(tmp_path: Path) -> None:
    file, video = tmp_path / BAD_SAMPLES_FILE, tmp_path / "a.mp4"
    video.write_bytes(b"broken")
    Quarantine(file, ["a", "b", "c"], 0.0).report([bad("a", str(video))])
    with file.open("ab") as stream:
        stream.write(b'{"path": "/data/x.mp4", "reas')  # a process was killed while it wrote
    video.write_bytes(b"repaired")
    again = Quarantine(file, ["a", "b", "c"], 0.0)
    again.report([bad("b")])
    assert set(again.bad) == {"/data/b.mp4"}
    lines = file.read_text().splitlines()
    assert len(lines) == 3 and json.loads(lines[0])["video"] == "a" and json.loads(lines[2])["video"] == "b"


def test_a_list_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Quarantine(tmp_path / "file" / BAD_SAMPLES_FILE, ["a"], 0.5).report([bad("a")])


class Mean(LightningModule):
    """Trains one number; fails for a batch with a key that is not in the contract."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.names = torch.nn.Parameter(torch.zeros(())), []

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        assert set(batch) == set(Videos.provides)
        self.names += batch["name"]
        return (self.weight - batch["video"].mean()) ** 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_trains_on_and_says_at_the_end_what_was_replaced(make, library: Path, tmp_path: Path, caplog) -> None:
    datamodule, task = make(library, num_workers=2), Mean()
    text(path_of(library, BROKEN))
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    plain = {"accelerator": "cpu", "devices": 1, "use_distributed_sampler": False, "max_epochs": 2}
    trainer = Trainer(default_root_dir=tmp_path / "run", limit_val_batches=0, **quiet, **plain)
    with caplog.at_level(logging.WARNING):
        trainer.fit(task, datamodule=datamodule)
    assert len(task.names) == 2 * VIDEOS and f"v{BROKEN}" not in task.names
    assert "2 visits of 1 broken files were replaced by other samples" in caplog.text
    assert len(listed(tmp_path)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "datamodule.on_error: expected error or quarantine, found 'ignore'"),
        ({"max_bad_share": 1.5}, r"datamodule.max_bad_share: expected a share in \[0, 1\], found 1.5"),
        ({"decode_timeout_s": 0.0}, "datamodule.decode_timeout_s: expected a positive number, found 0.0"),
    ],
)
def test_a_wrong_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Videos(**options)
