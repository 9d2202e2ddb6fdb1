"""Face tracks of Ego4D's audio-visual benchmark in the official files, with the voices of all who are heard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from datamodules.errors import DatasetNotFoundError, PathNotFoundError
from datamodules.listing import VIDEO_SUFFIXES
from datamodules.reading.frame_folder import IMAGE_SUFFIXES
from datamodules.speaker_set import TEST, TRAIN, VAL
from datamodules.speakers import Speakers
from datamodules.tracks import Annotations, Medium
from datamodules.tracks.ego4d import read_ego4d
from datamodules.video_set import AUTO, SAMPLE

PAGE = "https://ego4d-data.org (after signing its licence)"
FILE_NAMES = {TRAIN: "av_train.json", VAL: "av_val.json", TEST: "av_test_unannotated.json"}
ANNOTATION_FOLDERS = ("json", "annotations", ".")
VIDEO_FOLDERS = ("videos", "clips", "av_clips")
FRAME_FOLDERS = ("video_imgs", "frames")


class Ego4DASD(Speakers):
    """Face tracks of the audio-visual benchmark of Ego4D (Grauman et al., 2022): clips of five minutes at 30 Hz.

    In ``root``, the folders of zcxu-eric/Ego4d_TalkNet_ASD: ``json/av_train.json`` and ``av_val.json`` (also in
    ``annotations`` or ``root`` itself), ``videos/<clip_uid>.mp4`` or ``video_imgs/<clip_uid>/img_00001.jpg``, and
    ``wave/<clip_uid>.wav`` (or ``wav``), without which the sound is that of the video. The first image shows frame 0.

    A face speaks where its person is heard: labels are of voices, not of lips. ``voice`` tells of everybody, also of
    those out of view and of the one who wears the camera. ``fit`` trains on the train file; validation, test and
    prediction visit the val file. Batches and other arguments are those of `datamodules.speakers.Speakers`,
    ``annotations`` excepted.

    Args:
        root: Folder of the data set; ``sample`` makes and uses a small generated one.
        annotations: Folder of the official files, absolute or relative to ``root``; ``auto`` as above.
        media: What pictures are read from: ``videos``, ``frames``, or ``auto`` for videos where there are any.
        visual_anchors: Take the reference boxes for tracks, as the ground truth of the benchmark does.
        options: As for `datamodules.speakers.Speakers`.

    Raises:
        PathNotFoundError: When ``root`` does not exist.
        DatasetNotFoundError: When parts of the layout are missing.
        ValueError: When an option is out of its range.
    """

    paths: ClassVar = {"root": ("sample",)}
    paths_in_root: ClassVar = {"annotations": ("auto",)}
    title = "Ego4D"
    expects = "folder that holds json/ and videos/ or video_imgs/"
    remedy = f"get the data from {PAGE}"
    sample_folder = "ego4d_sample"
    usual_fps = 30.0

    def __init__(
        self,
        root: str = SAMPLE,
        annotations: str = AUTO,
        media: Literal["auto", "videos", "frames"] = "auto",
        visual_anchors: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(root, annotations, **options)
        self.save_hyperparameters({"media": media, "visual_anchors": visual_anchors}, logger=False)
        if media not in ("auto", "videos", "frames"):
            raise ValueError(f"datamodule.media: expected auto, videos or frames, found {media!r}")

    def generate_sample(self) -> Path:
        from datamodules.samples import ego4d

        return ego4d.generate(self.root)

    def media(self) -> dict[str, Path]:
        self.require_root()
        wanted = self.hparams.media
        for folder in VIDEO_FOLDERS if wanted != "frames" else ():
            if found := files_in(self.root / folder):
                return found
        for folder in FRAME_FOLDERS if wanted != "videos" else ():
            if found := folders_in(self.root / folder):
                return found
        lacking = {"videos": "videos/<clip_uid>.mp4", "frames": "video_imgs/<clip_uid>/img_00001.jpg"}
        raise DatasetNotFoundError(self.title, self.root, [lacking.get(wanted, " or ".join(lacking.values()))], PAGE)

    def annotation(self, split: str) -> Path:
        self.require_root()
        given = self.hparams.annotations
        folders = [self.root / folder for folder in ANNOTATION_FOLDERS]
        if given != AUTO:
            folders = [Path(given), self.root / given]
            if not any(folder.is_dir() for folder in folders):
                raise PathNotFoundError("datamodule.annotations", folders[1], "Expected the folder of av_train.json.")
        name = FILE_NAMES[split]
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if found is None:
            raise DatasetNotFoundError(self.title, self.root, [f"{ANNOTATION_FOLDERS[0]}/{name}"], PAGE)
        return found

    def read_annotations(self, split: str, media: Mapping[str, Medium]) -> Annotations:
        return read_ego4d(self.annotation(split), media, split, self.hparams.visual_anchors)

    def reading_options(self) -> dict[str, object]:
        return {"visual_anchors": self.hparams.visual_anchors}

    def belongs(self, name: str, split: str, names: Sequence[str]) -> bool:
        return True


def files_in(folder: Path) -> dict[str, Path]:
    """Videos that lie in a folder, by name."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.stem: path for path in found if path.suffix.lower() in VIDEO_SUFFIXES and path.name[0] != "."}


def folders_in(folder: Path) -> dict[str, Path]:
    """Folders of images that lie in a folder, by name."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name: path for path in found if path.is_dir() and path.name[0] != "." and has_image(path)}


def has_image(folder: Path) -> bool:
    """Whether an image lies in a folder."""
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())
