"""ShanghaiTech Campus: surveillance videos of 13 scenes, normal in training, with labelled anomalies in testing."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from datamodules.errors import DatasetNotFoundError
from datamodules.frame_labels import read_mask
from datamodules.listing import Listed, read_list
from datamodules.reading import VideoFacts
from datamodules.videos import Videos

PAGE = "https://svip-lab.github.io/dataset/campus_dataset.html"


class ShanghaiTech(Videos):
    """Clips of the ShanghaiTech Campus data set (Liu et al., Future Frame Prediction for Anomaly Detection, 2018).

    Official layout: ``training/videos/01_001.avi`` (330 videos, normal), ``testing/frames/01_0014/000.jpg`` (107
    folders) and ``testing/test_frame_mask/01_0014.npy`` (a label per frame). 856 x 480 pixels, 24 frames per second.

    ``fit`` trains and validates on the training videos, parted by ``val_fraction``; ``test`` and ``predict`` visit the
    testing split, whose ``label`` comes from the masks; with ``windows``, ``predict`` visits both splits. Everything
    else, the arguments included, is as in ``Videos``; ``list_file`` chooses among the training videos, with paths
    relative to ``root``.

    Raises:
        PathNotFoundError: When ``root`` does not exist.
        DatasetNotFoundError: When parts of the layout are missing.
        LabelFileError: When a mask has another number of frames than its video.
    """

    title = "ShanghaiTech Campus"
    expects = "folder that holds training/ and testing/"
    remedy = f"get the data from {PAGE} (manual download, licence there)"
    usual_fps = 24.0
    normal_splits = ("training",)

    def training_videos(self) -> list[Listed]:
        self.require("training/videos")
        if self.hparams.list_file is not None:
            videos = read_list(Path(self.hparams.list_file), self.root)
            return [replace(video, name=Path(video.name).name) for video in videos]
        videos = sorted((self.root / "training" / "videos").glob("*.avi"))
        if not videos:
            raise DatasetNotFoundError(self.title, self.root, ["training/videos/*.avi"], PAGE)
        return [Listed(video.stem, video) for video in videos]

    def evaluation_videos(self) -> list[Listed]:
        videos = self.testing_videos()
        masks = [f"testing/test_frame_mask/{video.name}.npy" for video in videos]
        missing = [mask for mask in masks if not (self.root / mask).is_file()]
        if missing:
            raise DatasetNotFoundError(self.title, self.root, missing, PAGE)
        return videos

    def all_videos(self) -> list[Listed]:
        return [*self.training_videos(), *self.evaluation_videos()]

    def testing_videos(self) -> list[Listed]:
        """Find the videos of the testing split, whether they have masks or not."""
        self.require("testing/frames", "testing/test_frame_mask")
        videos = sorted(path for path in (self.root / "testing" / "frames").iterdir() if path.is_dir())
        if not videos:
            raise DatasetNotFoundError(self.title, self.root, ["testing/frames/*/"], PAGE)
        return [Listed(video.name, video) for video in videos]

    def splits(self) -> dict[str, list[Listed]]:
        return {"training": self.training_videos(), "testing": self.testing_videos()}

    def knows_all_videos(self) -> bool:
        return self.hparams.list_file is None

    def label_files(self) -> dict[str, Path]:
        return {file.stem: file for file in (self.root / "testing" / "test_frame_mask").glob("*.npy")}

    def labels(self, video: Listed, facts: VideoFacts) -> np.ndarray | None:
        if video.path.parent != self.root / "testing" / "frames":
            return None
        mask = self.root / "testing" / "test_frame_mask" / f"{video.path.name}.npy"
        return read_mask(mask, facts.frame_count).astype(np.int64)

    def require(self, *parts: str) -> None:
        """Refuse a root that is not there or lacks parts of the layout."""
        self.require_root()
        missing = [part for part in parts if not (self.root / part).is_dir()]
        if missing:
            raise DatasetNotFoundError(self.title, self.root, missing, PAGE)
