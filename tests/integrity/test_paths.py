"""Any path works, and nothing is ever written beside the user's data."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lightning import Trainer

from core.check_data import REPORT_FILE, DataDefectsError, check_data
from datamodules.quarantine import BAD_SAMPLES_FILE
from datamodules.videos import Videos
from tests.datamodules import counters
from tests.integrity.broken import text

NAMES = {
    "blanks": "my  video folder",
    "unicode": "видео-数据 é",
    "quotes": 'it\'s a "set"',
    "signs": "a=b,{c}[d]$HOME;&#%",
    "newline": "two\nlines",
}


def write(root: Path, name: str) -> None:
    """A video file, a frame folder and a region file whose names are as odd as that of their folder."""
    root.mkdir(parents=True)
    counters.encode(root / f"{name}.mp4", count=20)
    counters.write_frames(root / f"{name} frames", {number: f"{name} {number:03}.png" for number in range(20)})
    (root / "regions").mkdir()
    for video in (name, f"{name} frames"):
        results = [{"image_id": f"{number}.jpg", "Boxes": [[1, 2, 30, 40]]} for number in range(20)]
        (root / "regions" / f"res_frcnn_{video}.json").write_text(json.dumps({"results": results}))


def content(root: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, with size and time of change."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in [root, *root.rglob("*")]
    }  # not the links' targets


def make(root: Path, run: Path, stage: str | None = None, **options: object) -> Videos:
    size = {"image_size": (counters.HEIGHT, counters.WIDTH), "crop": "none", "num_frames": 8}
    plain = {"batch_size": 1, "num_workers": 1, "val_fraction": 0.0, "cache": str(run / "cache")}
    datamodule = Videos(root=str(root), **plain | size | options)
    datamodule.trainer = Trainer(default_root_dir=run, accelerator="cpu", devices=1, logger=False)
    datamodule.prepare_data()
    datamodule.setup(stage)
    return datamodule


def check(root: Path, run: Path) -> dict:
    node = {"_target_": "datamodules.videos.Videos", "root": str(root), "cache": str(run / "cache"), "num_frames": 8}
    with suppress(DataDefectsError):
        check_data({"datamodule": node, "paths": {"run": str(run)}})
    return json.loads((run / REPORT_FILE).read_text())


def train_and_evaluate(datamodule: Videos) -> list[str]:
    names = []
    for loader in (datamodule.train_dataloader(), datamodule.val_dataloader(), datamodule.test_dataloader()):
        for batch in loader:
            datamodule.on_before_batch_transfer(batch, 0)
            assert counters.numbers_of(batch["video"][0].permute(1, 2, 3, 0).numpy()) == batch["frames"][0].tolist()
            assert (batch["box_count"] == 1).all()
            names += batch["name"]
    return names


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_odd_names_of_folders_and_files_are_names_like_others(tmp_path: Path, name: str) -> None:
    root = tmp_path / name / "data"
    write(root, name)
    before = content(tmp_path / name)
    assert set(train_and_evaluate(make(root, tmp_path / "run"))) == {name, f"{name} frames"}
    again = make(root, tmp_path / "run")  # from the cache
    assert set(train_and_evaluate(again)) == {name, f"{name} frames"}
    assert check(root, tmp_path / "run")["defects"] == []
    assert content(tmp_path / name) == before


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_broken_files_with_odd_names_are_listed(tmp_path: Path, name: str) -> None:
    root, run = tmp_path / name / "data", tmp_path / f"run {name}"
    write(root, name)
    text(root / f"{name}.mp4")
    before = content(tmp_path / name)
    batches = make(root, run, "fit").train_dataloader()
    assert {visited for batch in batches for visited in batch["name"]} == {f"{name} frames"}
    (line,) = (run / BAD_SAMPLES_FILE).read_bytes().splitlines()
    assert json.loads(line)["path"] == str(root / f"{name}.mp4")
    assert [defect["path"] for defect in check(root, run)["defects"]] == [str(root / f"{name}.mp4")]
    assert content(tmp_path / name) == before


def test_lists_and_regions_may_have_odd_names_too(tmp_path: Path) -> None:
    name = "it's \u00e9 \"list\", isn't it"
    write(tmp_path / name, name)
    quoted = name.replace('"', '""')
    (tmp_path / name / f"{name}.csv").write_text(f'"{quoted}.mp4",0,-1\n"{quoted} frames",0,-1\n', encoding="utf-8")
    listed = {"list_file": str(tmp_path / name / f"{name}.csv"), "regions": str(tmp_path / name / "regions")}
    assert set(train_and_evaluate(make(tmp_path / name, tmp_path / "run", **listed))) == {name, f"{name} frames"}


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "real", "v")
    root = tmp_path / "links"
    (root / "videos").mkdir(parents=True)
    (root / "videos" / "v.mp4").symlink_to(tmp_path / "real" / "v.mp4")
    (root / "videos" / "v frames").symlink_to(tmp_path / "real" / "v frames", target_is_directory=True)
    (root / "regions").symlink_to(tmp_path / "real" / "regions")
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    (root / "videos" / "around").symlink_to(root, target_is_directory=True)  # a circle
    before = content(tmp_path / "real") | content(root)
    datamodule = make(tmp_path / "link", tmp_path / "run")
    assert set(train_and_evaluate(datamodule)) == {"videos/v", "videos/v frames"}
    assert check(tmp_path / "link", tmp_path / "run")["defects"] == []
    assert content(tmp_path / "real") | content(root) == before


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A data set that nobody may write to; for the superuser, whom permissions do not stop, at least a witness."""
    root = tmp_path / "read only"
    write(root, "v")
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    yield root
    for path in folders:
        path.chmod(0o755)


def test_read_only_data_are_enough_and_stay_as_they_are(read_only: Path, tmp_path: Path) -> None:
    before = content(read_only)
    assert set(train_and_evaluate(make(read_only, tmp_path / "run"))) == {"v", "v frames"}
    assert check(read_only, tmp_path / "run")["defects"] == []
    assert content(read_only) == before


def test_the_working_folder_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data", "v")
    text(tmp_path / "data" / "v.mp4")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    list(make(Path("../data"), tmp_path / "run", "fit").train_dataloader())
    assert list((tmp_path / "here").iterdir()) == []
