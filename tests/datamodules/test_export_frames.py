"""Frames of videos as JPEG folders: all of them, in their colours, whole or not there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from datamodules.export import frames as frames_module
from datamodules.export.frames import NOTES, write_frames
from datamodules.export.product import Product
from datamodules.reading import VideoFacts, probe
from tests.datamodules import counters

COUNT = 30
QUALITY = 95
RED = (200, 30, 20)


def made(folder: Path, *videos: Path, quality: int = QUALITY, **changes: VideoFacts) -> list[Product]:
    facts = {path.stem: probe(path, 25.0) for path in videos} | changes
    return sorted(write_frames(facts, folder, quality, "auto", 2, 20.0), key=lambda product: product.path)


def states(products: list[Product]) -> dict[str, str]:
    return {Path(product.path).name: product.state for product in products}


def images(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.jpg")
        if not path.is_relative_to(folder / NOTES)
    }


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return counters.encode(tmp_path / "a.mp4", count=COUNT)


@pytest.fixture
def images_of_red(tmp_path: Path) -> Path:
    folder = tmp_path / "red"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), RED).save(folder / f"{number:03}.png")
    return folder


def test_every_frame_is_written_once_in_order_and_numbered_from_1(video: Path, tmp_path: Path) -> None:
    assert states(made(tmp_path / "out", video)) == {"a": "made"}
    folder = tmp_path / "out" / "a"
    assert sorted(path.name for path in folder.iterdir()) == [f"img_{n:05d}.jpg" for n in range(1, COUNT + 1)]
    assert counters.numbers_of(np.stack(images(folder))) == list(range(COUNT))


def test_a_frame_folder_that_begins_anywhere_is_numbered_from_1(tmp_path: Path) -> None:
    source = counters.write_frames(tmp_path / "b", {number: f"{number}.png" for number in range(98, 103)})
    made(tmp_path / "out", source)
    assert counters.numbers_of(np.stack(images(tmp_path / "out" / "b"))) == list(range(98, 103))


def test_jpeg_images_are_copied_without_another_loss(tmp_path: Path) -> None:
    source = counters.write_frames(tmp_path / "b", {number: f"{number:03}.jpg" for number in range(4)})
    made(tmp_path / "out", source, quality=5)
    found = [path.read_bytes() for path in sorted((tmp_path / "out" / "b").iterdir())]
    assert found == [path.read_bytes() for path in sorted(source.iterdir())]


def test_red_stays_red_from_a_video(tmp_path: Path) -> None:
    with av.open(tmp_path / "red.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            pixels = np.full((48, 64, 3), RED, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    made(tmp_path / "out", tmp_path / "red.mp4")
    for image in images(tmp_path / "out" / "red"):
        assert np.abs(image.astype(int) - RED).max() < 12


def test_red_stays_red_from_images(images_of_red: Path, tmp_path: Path) -> None:
    made(tmp_path / "out", images_of_red)
    for image in images(tmp_path / "out" / "red"):
        assert np.abs(image.astype(int) - RED).max() < 4


def test_quality_decides_the_size(video: Path, tmp_path: Path) -> None:
    made(tmp_path / "fine", video, quality=95)
    made(tmp_path / "coarse", video, quality=20)
    fine, coarse = (sum(map(len, contents(tmp_path / name).values())) for name in ("fine", "coarse"))
    assert coarse < 0.7 * fine


def test_a_second_run_writes_nothing(video: Path, images_of_red: Path, tmp_path: Path) -> None:
    made(tmp_path / "out", video, images_of_red)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert states(made(tmp_path / "out", video, images_of_red)) == {"a": "kept", "red": "kept"}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def lose_one(folder: Path) -> None:
    (folder / "img_00007.jpg").unlink()


def add_one(folder: Path) -> None:
    shutil.copy(folder / "img_00007.jpg", folder / f"img_{COUNT + 1:05d}.jpg")


def empty_one(folder: Path) -> None:
    (folder / "img_00007.jpg").write_bytes(b"")


def lose_all(folder: Path) -> None:
    shutil.rmtree(folder)


def break_the_note(folder: Path) -> None:
    (folder.parent / NOTES / f"{folder.name}.json").write_text("{")


@pytest.mark.parametrize("harm", [lose_one, add_one, empty_one, lose_all, break_the_note], ids=lambda f: f.__name__)
def test_a_folder_that_is_not_what_was_written_is_made_anew(harm: object, video: Path, tmp_path: Path) -> None:
    made(tmp_path / "out", video)
    before = contents(tmp_path / "out")
    harm(tmp_path / "out" / "a")
    assert states(made(tmp_path / "out", video)) == {"a": "made"}
    assert contents(tmp_path / "out") == before


def test_another_source_or_quality_makes_the_images_anew(video: Path, tmp_path: Path) -> None:
    made(tmp_path / "out", video)
    assert states(made(tmp_path / "out", video, quality=50)) == {"a": "made"}
    counters.encode(video, count=COUNT, first=100)
    assert states(made(tmp_path / "out", video, quality=50)) == {"a": "made"}
    assert counters.numbers_of(np.stack(images(tmp_path / "out" / "a"))) == list(range(100, 100 + COUNT))


def test_a_folder_of_somebody_else_is_left_alone(video: Path, tmp_path: Path) -> None:
    own = counters.write_frames(tmp_path / "out" / "a", {0: "000.jpg"}) / "000.jpg"
    before = own.read_bytes()
    [product] = made(tmp_path / "out", video)
    assert product.state == "failed" and "not written by mode=prepare" in product.detail
    assert own.read_bytes() == before and len(list(own.parent.iterdir())) == 1


def test_one_broken_video_does_not_keep_the_others_from_being_written(video: Path, tmp_path: Path) -> None:
    source = counters.write_frames(tmp_path / "b", {number: f"{number}.jpg" for number in range(4)})
    (source / "2.jpg").write_bytes((source / "2.jpg").read_bytes()[:300])
    products = made(tmp_path / "out", video, source)
    assert states(products) == {"a": "made", "b": "failed"}
    assert "2.jpg" in products[1].detail
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [NOTES, "a"]


def test_another_number_of_frames_than_the_probe_found_is_a_failure(tmp_path: Path) -> None:
    source = counters.write_frames(tmp_path / "b", {number: f"{number}.png" for number in range(4)})
    facts = probe(source, 25.0)
    (source / "3.png").unlink()
    [product] = made(tmp_path / "out", b=facts)
    assert product.state == "failed" and "expected 4 frames" in product.detail and "found 3" in product.detail
    assert not (tmp_path / "out" / "b").exists()


def test_a_folder_that_cannot_be_made_is_named(video: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [product] = made(tmp_path / "file", video)
    assert product.state == "failed" and "cannot be made" in product.detail


def test_a_name_that_is_a_whole_path_stays_below_the_folder(video: Path, tmp_path: Path) -> None:
    facts = {video.as_posix(): probe(video, 25.0)}
    [product] = write_frames(facts, tmp_path / "out", QUALITY, "auto", 1, None)
    assert product.state == "made" and Path(product.path) == tmp_path / "out" / video.relative_to("/")


SCRIPT = """
import sys
from pathlib import Path
from datamodules.export.frames import write_frames
from datamodules.reading import probe

source, folder = map(Path, sys.argv[1:])
facts = {path.stem: probe(path, 25.0) for path in sorted(source.iterdir())}
for product in write_frames(facts, folder, 95, "auto", 2, 60.0):
    print(product.state, product.path, flush=True)
"""


@pytest.mark.slow
def test_a_killed_job_leaves_whole_folders_and_is_finished_by_the_next(repository: Path, tmp_path: Path) -> None:
    source, killed, whole = tmp_path / "videos", tmp_path / "killed", tmp_path / "whole"
    source.mkdir()
    for n in range(6):
        counters.encode(source / f"v{n}.mp4", count=400, first=100 * n)
    command = [sys.executable, "-c", SCRIPT, str(source)]
    first = subprocess.Popen([*command, str(killed)], cwd=repository, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline().startswith("made")
        while not any(path.is_dir() and any(path.iterdir()) for path in killed.glob(".saving-*")):
            time.sleep(0.001)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    finished = [path for path in killed.iterdir() if not path.name.startswith(".")]
    assert 0 < len(finished) < 6
    assert all(len(list(folder.iterdir())) == 400 for folder in finished)
    second = subprocess.run([*command, str(killed)], cwd=repository, capture_output=True, text=True, check=True)
    assert sum(line.startswith("kept") for line in second.stdout.splitlines()) == len(finished)
    subprocess.run([*command, str(whole)], cwd=repository, check=True, capture_output=True)
    assert contents(killed) == contents(whole) and len(contents(whole)) == 2400
    assert not list(killed.glob(".saving-*"))


def test_a_job_that_is_killed_between_any_two_steps_is_finished_by_the_next(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "whole", video)
    wanted = contents(tmp_path / "whole")
    steps = {frames_module.shutil: "rmtree", frames_module: "replace_file", Path: "rename"}
    for module, name in steps.items():
        for first_quality in (50, None):
            folder = tmp_path / f"{name}{first_quality}"
            if first_quality:
                made(folder, video, quality=first_quality)
            facts = probe(video, 25.0)
            pid = os.fork()
            if pid == 0:
                monkeypatch.setattr(module, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
                origin = frames_module.origin_of(facts, QUALITY)
                folder.mkdir(exist_ok=True)
                note = folder / NOTES / "a.json"
                list(frames_module.write_video(facts, folder / "a", note, folder / ".saving-x.part", origin, "pyav"))
                os._exit(0)
            _, status = os.waitpid(pid, 0)
            assert os.WIFSIGNALED(status) or (name, first_quality) == ("rmtree", None)  # there is nothing to remove
            made(folder, video)
            assert contents(folder) == wanted
            noted = json.loads((folder / NOTES / "a.json").read_text())
            assert noted["quality"] == QUALITY and not list(folder.glob(".saving-*"))
