"""Data of one's own: a folder of videos and one csv, in pixels or in [0, 1]."""

from pathlib import Path

import numpy as np
import pytest

from datamodules.actions import Actions
from datamodules.errors import DataFileError
from datamodules.label_map import of_names
from tests.datamodules import counters

HEADER = "video,time_s,x1,y1,x2,y2,class\n"
SIZE = np.array([counters.WIDTH, counters.HEIGHT] * 2)
BOX = np.array([16.0, 24.0, 48.0, 72.0])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    (root / "day").mkdir()
    for place, name in enumerate(("one", "day/two", "day/three")):
        counters.encode(root / f"{name}.mp4", "libx264", 100, first=100 * place)
    return root


def write(root: Path, in_pixels: bool, names: tuple[str, ...] = ("one.mp4", "day/two", "three")) -> None:
    sides = ",".join(f"{side:g}" for side in (BOX if in_pixels else BOX / SIZE))
    rows = [f"{name},{time},{sides},{label}\n" for name in names for time in (1.5, 2.2) for label in ("walk", "wave")]
    (root / "boxes.csv").write_text(HEADER + "".join(rows))


def make(root: Path, cache: Path, stage: str = "fit", **options: object) -> Actions:
    plain = {"short_side": 48, "num_frames": 4, "num_workers": 0, "flip": 0.0, "box_jitter": 0.0, "val_fraction": 0.3}
    data = Actions(root=str(root), cache=str(cache), **plain | options)
    data.prepare_data()
    data.setup(stage)
    return data


@pytest.mark.parametrize("in_pixels", [False, True])
def test_boxes_are_in_pixels_or_in_shares_and_classes_are_those_of_the_file(
    in_pixels: bool, own: Path, tmp_path: Path
) -> None:
    write(own, in_pixels)
    data = make(own, tmp_path)
    assert data.label_map == of_names(["walk", "wave"]) and [one.group for one in data.classes] == ["other"] * 2
    visited = [sample for split in (data.train_data, data.val_data) for sample in (split[n] for n in range(len(split)))]
    assert {sample["name"][0] for sample in visited} == {"one.mp4", "day/two", "three"}
    for sample in visited:
        actors = sample["actors"][0]
        np.testing.assert_allclose(actors["boxes"], [BOX / SIZE], atol=1e-4)
        assert actors["targets"].tolist() == [[1, 1]] and sample["video"][0].shape == (3, 4, 48, 80)
        centre = int(sample["second"].item() * 25 + 1e-6)
        assert sample["frames"][0, 2] == centre


def test_no_video_is_in_training_and_validation(own: Path, tmp_path: Path) -> None:
    write(own, False)
    data = make(own, tmp_path)
    names = [{data.train_data.source(n).name for n in range(len(data.train_data))}]
    names.append({data.val_data.source(n).name for n in range(len(data.val_data))})
    assert len(names[0]) == 2 and len(names[1]) == 1 and not names[0] & names[1]
    assert (
        len(make(own, tmp_path, val_fraction=0.0).val_data)
        == len(make(own, tmp_path, val_fraction=0.0).train_data)
        == 6
    )


def test_proposals_beside_the_csv_are_evaluated(own: Path, tmp_path: Path) -> None:
    write(own, False)
    proposals = own / "proposals.csv"
    proposals.write_text(
        "video,time_s,x1,y1,x2,y2,score\n"
        + "".join(f"{v},1.5,0.1,0.1,0.4,0.9,0.95\n" for v in ("one.mp4", "day/two", "three"))
    )
    try:
        data = make(own, tmp_path, "test")
        counts = {
            sample["second"].item(): len(sample["actors"][0]["actor"])
            for sample in map(data.eval_data.__getitem__, range(2))
        }
        assert counts == {1.5: 1, 2.2: 0}
    finally:
        proposals.unlink()


def test_what_cannot_be_told_is_asked_for(own: Path, tmp_path: Path) -> None:
    (own / "boxes.csv").unlink(missing_ok=True)
    with pytest.raises(DataFileError, match=r"expected one csv of annotations, found none; set datamodule.annotations"):
        make(own, tmp_path)
    write(own, False, names=("one", "absent"))
    with pytest.raises(DataFileError, match=r"there is no media of absent"):
        make(own, tmp_path)


def test_numbers_as_classes_keep_their_order() -> None:
    assert [one.name for one in of_names(["10", "9", "10"]).actions] == ["9", "10"]
