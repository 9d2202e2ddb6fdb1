"""ShanghaiTech Campus in its official layout: splits, labels, and what is said when something is missing."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import DatasetNotFoundError, LabelFileError, PathNotFoundError
from datamodules.shanghaitech import PAGE, ShanghaiTech
from datamodules.windows import Windows
from tests.datamodules import counters

SIZE = (counters.HEIGHT, counters.WIDTH)
TRAINING = [f"0{scene}_00{number}" for scene in (1, 2) for number in (1, 2)]
TESTING = {"01_0014": 33, "02_0015": 25}


def anomalous(name: str) -> np.ndarray:
    return (np.arange(TESTING[name]) % 7 < 3).astype(np.uint8)


@pytest.fixture(scope="session")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered frames in the official layout."""
    root = tmp_path_factory.mktemp("campus")
    (root / "training" / "videos").mkdir(parents=True)
    (root / "testing" / "test_frame_mask").mkdir(parents=True)
    for name in TRAINING:
        counters.encode(root / "training" / "videos" / f"{name}.avi", "mpeg4", 40, b_frames=None)
    for name, count in TESTING.items():
        counters.write_frames(
            root / "testing" / "frames" / name, {number: f"{number:03}.jpg" for number in range(count)}
        )
        np.save(root / "testing" / "test_frame_mask" / f"{name}.npy", anomalous(name))
    return root


@pytest.fixture
def copied(campus: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(campus, tmp_path / "campus"))


def make(root: Path, stage: str, cache: Path, **options: object) -> ShanghaiTech:
    plain = {"image_size": SIZE, "crop": "none", "num_workers": 0, "num_frames": 8, "batch_size": 1}
    datamodule = ShanghaiTech(root=str(root), cache=str(cache), val_fraction=0.25, **plain | options)
    datamodule.prepare_data()
    datamodule.setup(stage)
    return datamodule


def test_fitting_sees_training_videos_alone(campus: Path, tmp_path: Path) -> None:
    datamodule = make(campus, "fit", tmp_path)
    names = []
    for loader in (datamodule.train_dataloader(), datamodule.val_dataloader()):
        for batch in loader:
            names += batch["name"]
            assert (batch["label"] == -1).all()
    assert sorted(names) == TRAINING


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_every_frame_of_the_testing_split_has_its_own_label(campus: Path, tmp_path: Path, stage: str) -> None:
    datamodule = make(campus, stage, tmp_path, eval_clips=3, frame_step=3)
    names = []
    for batch in getattr(datamodule, f"{stage}_dataloader")():
        for name, video, frames, labels in zip(
            batch["name"], batch["video"], batch["frames"], batch["label"], strict=True
        ):
            numbers = counters.numbers_of(video.permute(1, 2, 3, 0).numpy())
            assert numbers == frames.tolist()
            assert labels.tolist() == anomalous(name)[numbers].tolist()
            names.append(name)
    assert sorted(names) == sorted([*TESTING] * 3)


def test_windows_visit_both_splits_and_know_the_labels_of_the_testing_split(campus: Path, tmp_path: Path) -> None:
    datamodule = make(campus, "predict", tmp_path, frame_step=1, windows=Windows(stride=8), batch_size=4)
    assert list(datamodule.feature_sources()) == [*TRAINING, *TESTING]
    names = set()
    for batch in datamodule.predict_dataloader():
        assert "failed" not in batch
        for name, row, frames, labels in zip(
            *(batch["name"], batch["row"].tolist(), batch["frames"], batch["label"]), strict=True
        ):
            known = name in TESTING and row >= 0
            assert labels.tolist() == (anomalous(name)[frames].tolist() if known else [-1] * len(frames))
            names.add(name)
    assert names - {""} == {*TRAINING, *TESTING}


def test_a_mask_may_be_a_row_of_any_number_type(copied: Path, tmp_path: Path) -> None:
    np.save(copied / "testing/test_frame_mask/01_0014.npy", anomalous("01_0014")[None].astype(np.float64))
    datamodule = make(copied, "test", tmp_path)
    labels = next(iter(datamodule.test_dataloader()))["label"]
    assert set(labels.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros(32, np.uint8), r"01_0014.npy: has shape \(32,\), expected \(33,\) as the video's frames"),
        (np.zeros((33, 4), np.uint8), r"01_0014.npy: has shape \(33, 4\), expected \(33,\)"),
        (np.full(33, 2, np.uint8), r"01_0014.npy: holds other values \(uint8\) than 0 \(normal\) and 1 \(anomalous\)"),
        (np.full(33, np.nan), r"01_0014.npy: holds other values \(float64\)"),
        (np.array([None] * 33), r"01_0014.npy: is no array of labels"),
    ],
)
def test_a_wrong_mask_is_named(copied: Path, tmp_path: Path, mask: np.ndarray, message: str) -> None:
    np.save(copied / "testing/test_frame_mask/01_0014.npy", mask)
    with pytest.raises(LabelFileError, match=message):
        make(copied, "test", tmp_path)


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("training/videos", "fit"),
        ("testing/frames", "test"),
        ("testing/test_frame_mask", "predict"),
        ("testing/test_frame_mask/02_0015.npy", "test"),
    ],
)
def test_a_missing_part_is_named_with_the_page(copied: Path, tmp_path: Path, missing: str, stage: str) -> None:
    path = copied / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DatasetNotFoundError, match=missing) as caught:
        make(copied, stage, tmp_path)
    assert PAGE in str(caught.value) and f"datamodule.root={copied}" in str(caught.value)


@pytest.mark.parametrize("stage", ["fit", "test", "predict"])
def test_a_mistyped_root_is_no_reason_to_download(copied: Path, tmp_path: Path, stage: str) -> None:
    with pytest.raises(PathNotFoundError) as caught:
        make(copied.with_name(f"{copied.name}h"), stage, tmp_path)
    first, second = str(caught.value).splitlines()
    assert first == f"datamodule.root: {copied}h does not exist; did you mean {copied}?"
    assert PAGE in second and "datamodule.root=sample" in second


def test_fitting_does_not_need_the_testing_split(copied: Path, tmp_path: Path) -> None:
    shutil.rmtree(copied / "testing")
    datamodule = ShanghaiTech(root=str(copied), cache=str(tmp_path), num_workers=0)
    datamodule.prepare_data()
    datamodule.setup("fit")
    with pytest.raises(DatasetNotFoundError, match="testing/frames, testing/test_frame_mask"):
        datamodule.setup("test")


def test_a_list_chooses_among_the_training_videos(campus: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("training/videos/01_001.avi\ntraining/videos/02_001.avi\n")
    datamodule = make(campus, "fit", tmp_path, list_file=str(tmp_path / "list.txt"))
    sources = [*datamodule.train_data.sources, *datamodule.val_data.sources]
    assert sorted(source.name for source in sources) == ["01_001", "02_001"]


@pytest.mark.slow
def test_the_sample_is_made_in_the_official_layout_and_says_that_it_is_a_sample(sample_cache: Path, caplog) -> None:
    datamodule = ShanghaiTech(cache=str(sample_cache), image_size=64, num_workers=0)
    with caplog.at_level(logging.WARNING):
        datamodule.prepare_data()
    assert "datamodule.root=sample: a small GENERATED sample, NOT ShanghaiTech Campus, is used" in caplog.text
    assert "datamodule.root=<folder that holds training/ and testing/>" in caplog.text
    datamodule.setup()
    assert len(datamodule.train_data) + len(datamodule.val_data) >= 24 and len(datamodule.eval_data) >= 16
    training = next(iter(datamodule.train_dataloader()))
    assert training["video"].shape == (8, 3, 16, 64, 64)
    tested = [batch for batch in datamodule.test_dataloader()]
    assert sum(int(batch["label"].sum()) for batch in tested) > 0
    assert sum(int(batch["box_count"].sum()) for batch in [training, *tested]) > 0
