"""Face tracks of AVA-ActiveSpeaker, and of the data sets with files like its own: Talkies, ASW, UniTalk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from datamodules.ego4d_asd import files_in, folders_in
from datamodules.errors import DatasetNotFoundError
from datamodules.speakers import Speakers
from datamodules.tracks import Annotations, Medium
from datamodules.tracks.ava_speech import read_ava_speech
from datamodules.video_set import AUTO, SAMPLE

PAGE = "https://research.google.com/ava/download.html#ava_active_speaker_download"
TABLES = ("csv/{split}", "csv/{split}_orig.csv", "{split}", "{split}_orig.csv", "ava_activespeaker_{split}_v1.0")
MEDIA_FOLDERS = ("orig_videos/trainval", "videos", "trainval", "orig_videos", "frames", "video_imgs")


class AvaASD(Speakers):
    """Face tracks of AVA-ActiveSpeaker (Roth et al., 2020): movies, seconds 900 to 1800.

    In ``root``: a csv per movie in ``csv/train`` and ``csv/val``, or the merged ``csv/train_orig.csv`` and
    ``val_orig.csv`` of TaoRuijie/TalkNet-ASD (``csv/`` may be left out; ``ava_activespeaker_train_v1.0`` and
    ``..._val_v1.0`` will do as well); the whole movies in ``orig_videos/trainval``, ``videos`` or ``trainval``. Times
    count from the first frame of a movie. Sound is that of the movie, or of a file of its name in ``wave``.

    Only voices of visible faces are annotated, so that ``voice`` is unknown where none of them speaks. ``fit`` trains
    on the train files; validation, test and prediction visit the val files. Batches and other arguments are those of
    `datamodules.speakers.Speakers`, ``annotations`` excepted.

    Args:
        root: Folder of the data set; ``sample`` makes and uses a small generated one.
        annotations: Files of a split with ``{split}`` for ``train`` or ``val`` in their name, or folders of them,
            absolute or relative to ``root``; ``auto`` as above.
        crop: How faces are cut out; published models of this data were trained on the boxes themselves.
        budget: Frames of a batch and device.
        options: As for `datamodules.speakers.Speakers`.

    Raises:
        PathNotFoundError: When ``root`` does not exist.
        DatasetNotFoundError: When parts of the layout are missing.
        ValueError: When an option is out of its range.
    """

    paths: ClassVar = {"root": ("sample",)}
    paths_in_root: ClassVar = {}
    title = "AVA-ActiveSpeaker"
    expects = "folder that holds csv/ and orig_videos/"
    remedy = f"get the annotations from {PAGE} and the movies from https://github.com/cvdfoundation/ava-dataset"
    sample_folder = "ego4d_sample"  # has the csv files as well

    def __init__(
        self,
        root: str = SAMPLE,
        annotations: str = AUTO,
        crop: Literal["ava", "talkset", "ego4d_upstream"] = "ava",
        budget: Annotated[int, "budget >= 1"] = 2500,
        **options: Any,
    ) -> None:
        super().__init__(root, annotations, crop=crop, budget=budget, **options)

    def generate_sample(self) -> Path:
        from datamodules.samples import ego4d

        return ego4d.generate(self.root)

    def media(self) -> dict[str, Path]:
        self.require_root()
        for folder in MEDIA_FOLDERS:
            if found := files_in(self.root / folder) or folders_in(self.root / folder):
                return found
        raise DatasetNotFoundError(self.title, self.root, ["orig_videos/trainval/<movie>.mkv"], PAGE)

    def annotation(self, split: str) -> Path:
        self.require_root()
        given = self.hparams.annotations
        names = [name.replace("{split}", split) for name in (TABLES if given == AUTO else (given,))]
        found = next((self.root / name for name in names if holds_csv(self.root / name)), None)
        if found is None:
            raise DatasetNotFoundError(self.title, self.root, [" or ".join(names[:2])], PAGE)
        return found

    def read_annotations(self, split: str, media: Mapping[str, Medium]) -> Annotations:
        return read_ava_speech(self.annotation(split), media, split)

    def belongs(self, name: str, split: str, names: Sequence[str]) -> bool:
        return True


def holds_csv(path: Path) -> bool:
    """Whether a path is a file, or a folder with a csv."""
    return path.is_file() or (path.is_dir() and any(path.glob("*.csv")))
