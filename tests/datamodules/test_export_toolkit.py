"""Features as other detectors read them: their folders, names and shapes, the same numbers in the same order."""

from pathlib import Path

import numpy as np
import pytest

from core.command_line.compatibility import check_data_can_be_prepared
from core.errors import ConfigError
from core.prepare_data import NotPreparedError, prepare_data
from datamodules.export.product import Product
from datamodules.export.toolkit import export_features
from datamodules.feature_files import SIDECAR, describe
from datamodules.feature_folder import find_features
from tests.datamodules.dumps import RECIPE, write_dump

NAMES = ("01_001", "01_0014", "02_0003")
ROWS = 12  # two digits: sorted as text they would be out of order
PLAIN, VIEWS, STATISTICS = (ROWS, 6), (ROWS, 10, 6), (ROWS, 3, 6)
AXES = {PLAIN: ("row", "channel"), VIEWS: ("row", "view", "channel"), STATISTICS: ("row", "statistic", "channel")}


def features(shape: tuple[int, ...], name: str, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(NAMES.index(name)).normal(size=shape).astype(dtype)


def dump(folder: Path, shape: tuple[int, ...], dtype: str = "float32") -> Path:
    recipe = RECIPE | {"model": {"class": "models.vit.VisionTransformer"}}
    for name in NAMES:
        write_dump(folder, name, features(shape, name, dtype), 16 * ROWS, axes=AXES[shape], recipe=recipe)
    return folder


def exported(folder: Path, out: Path, layout: str, foreign: str = SIDECAR) -> list[Product]:
    files, wrong = find_features(folder, NAMES, foreign)
    assert not wrong
    return list(export_features(files, out, layout))


@pytest.mark.parametrize(
    ("layout", "shape", "file"),
    [
        ("arnet", PLAIN, "features_video/visiontransformer/{}/feature.npy"),
        ("arnet", STATISTICS, "features_video/visiontransformer/{}/feature.npy"),
        ("tad", PLAIN, "{}.npy"),
        ("rtfm", VIEWS, "{}_i3d.npy"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_video_has_its_file_of_the_same_numbers(
    layout: str, shape: tuple[int, ...], file: str, dtype: str, tmp_path: Path
) -> None:
    products = exported(dump(tmp_path / "dump", shape, dtype), tmp_path / "out", layout)
    assert [product.state for product in products] == 3 * ["made"]
    for name in NAMES:
        found = np.load(tmp_path / "out" / file.format(name), allow_pickle=False)
        assert found.dtype == np.float32 and np.array_equal(found, features(shape, name, dtype))
    assert len(list((tmp_path / "out").rglob("*.npy"))) == 3 and not list((tmp_path / "out").rglob("*.json"))


def test_the_layout_of_rtfm_has_a_view_axis_also_for_one_view(tmp_path: Path) -> None:
    exported(dump(tmp_path / "dump", PLAIN), tmp_path / "out", "rtfm")
    assert np.load(tmp_path / "out" / "01_0014_i3d.npy").shape == (ROWS, 1, 6)


@pytest.mark.parametrize(("shape", "layout"), [(PLAIN, "rows_first"), (STATISTICS, "statistics")])
def test_what_was_exported_is_read_back_as_files_of_others(shape: tuple[int, ...], layout: str, tmp_path: Path) -> None:
    source = dump(tmp_path / "dump", shape)
    exported(source, tmp_path / "out", "arnet")
    files, wrong = find_features(tmp_path / "out", NAMES, layout)
    assert not wrong
    for name in NAMES:
        assert np.array_equal(files[name].read(), describe([source / f"{name}.npy"], name).read())


def test_files_of_others_are_exported_under_a_folder_that_claims_no_model(tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    for name in NAMES:
        np.save(tmp_path / "dump" / f"{name}.npy", features(PLAIN, name))
    exported(tmp_path / "dump", tmp_path / "out", "arnet", "rows_first")
    assert (tmp_path / "out/features_video/features/01_0014/feature.npy").is_file()


@pytest.mark.parametrize(
    ("shape", "layout", "other"), [(VIEWS, "arnet", "rtfm"), (VIEWS, "tad", "rtfm"), (STATISTICS, "tad", "arnet")]
)
def test_a_layout_without_a_place_for_an_axis_is_refused_with_one_that_has_it(
    shape: tuple[int, ...], layout: str, other: str, tmp_path: Path
) -> None:
    products = exported(dump(tmp_path / "dump", shape), tmp_path / "out", layout)
    assert [product.state for product in products] == 3 * ["failed"]
    assert all(f"datamodule.export_layout={other}" in product.detail for product in products)
    assert not (tmp_path / "out").exists()


def test_a_second_export_writes_nothing_and_never_replaces_other_features(tmp_path: Path) -> None:
    source = dump(tmp_path / "dump", PLAIN)
    exported(source, tmp_path / "out", "tad")
    assert [product.state for product in exported(source, tmp_path / "out", "tad")] == 3 * ["kept"]
    other = tmp_path / "out" / "01_0014.npy"
    np.save(other, np.zeros(3))
    assert [product.state for product in exported(source, tmp_path / "out", "tad")] == ["kept", "failed", "kept"]
    assert np.load(other).shape == (3,)
    assert [product.state for product in exported(source, source, "tad")] == 3 * ["kept"]  # onto itself


def prepared(tmp_path: Path, **options: object) -> None:
    (tmp_path / "train.txt").write_text("01_001\n01_0014\n")
    (tmp_path / "test.txt").write_text("02_0003\n")
    lists = {"train_list": str(tmp_path / "train.txt"), "test_list": str(tmp_path / "test.txt"), "root": None}
    target = "datamodules.shanghaitech_features.ShanghaiTechFeatures"
    node = {"_target_": target, "features": str(tmp_path / "dump"), "val_fraction": 0, **lists, **options}
    prepare_data({"datamodule": node, "paths": {"run": str(tmp_path / "run")}})


def test_mode_prepare_exports_all_videos_of_the_split(tmp_path: Path) -> None:
    dump(tmp_path / "dump", PLAIN)
    prepared(tmp_path, export=str(tmp_path / "out"), export_layout="rtfm")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{name}_i3d.npy" for name in NAMES)


def test_features_that_are_missing_or_broken_are_reported_and_the_others_exported(tmp_path: Path) -> None:
    source = dump(tmp_path / "dump", PLAIN)
    (source / "01_001.npy").unlink()
    (source / "02_0003.npy").write_bytes(b"")
    with pytest.raises(NotPreparedError, match="2 of 3 could not be made"):
        prepared(tmp_path, export=str(tmp_path / "out"), export_layout="tad")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["01_0014.npy"]


def test_preparing_nothing_is_refused(tmp_path: Path) -> None:
    dump(tmp_path / "dump", PLAIN)
    with pytest.raises(ValueError, match=r"expected a value for datamodule\.export"):
        prepared(tmp_path)
    with pytest.raises(ValueError, match=r"datamodule\.export_layout=i3d: expected one of arnet, rtfm, tad"):
        prepared(tmp_path, export=str(tmp_path / "out"), export_layout="i3d")


def test_the_command_line_says_what_can_be_prepared() -> None:
    node = {"_target_": "datamodules.shanghaitech_features.ShanghaiTechFeatures", "export": None}
    with pytest.raises(ConfigError, match=r"possible: datamodule\.export$"):
        check_data_can_be_prepared({"mode": "prepare", "datamodule": node}, {})
    check_data_can_be_prepared({"mode": "prepare", "datamodule": node | {"export": "folder"}}, {})
    with pytest.raises(ConfigError, match=r"possible: .*, shanghaitech, shanghaitech_features, speakers, videos"):
        check_data_can_be_prepared({"mode": "prepare", "datamodule": {"_target_": "lightning.LightningDataModule"}}, {})
