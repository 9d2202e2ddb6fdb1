"""Face tracks with sound, of any folder of videos and one csv of tracks: batches for detectors of active speakers."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from torch.utils.data import DataLoader, Dataset

from datamodules.clip_loading import ClipLoading
from datamodules.clips import UnreadableSource
from datamodules.frame_budget import FrameBudgetBatchSampler
from datamodules.loading import ResumableLoader, ShardedShuffle
from datamodules.speaker_clips import Augmentation, Listening, SpeakerClips, SpeakerSource, collate_speakers
from datamodules.speaker_options import refuse_unsuited
from datamodules.speaker_set import TRAIN, VAL, SpeakerSet
from datamodules.speaker_spans import Span, alike, scenes, track_spans, window_spans
from datamodules.video_set import AUTO, SAMPLE


class Speakers(ClipLoading, SpeakerSet):
    """Face tracks with the sound under them: a folder of videos and one csv of tracks of one's own.

    The csv is described in `datamodules.tracks.own_tracks`; its column ``label`` says who speaks. Sound is that of the
    video, or of a file of its name below ``root``.

    Batches (B rows of T frames: parts of tracks, or faces in a window; S the side of a face): ``faces`` uint8
    (B, T, S, S), black where there is none; ``audio`` float32 (B, 4T, 13), four rows of coefficients a frame;
    ``target`` int64 (B, T), 1 speaking, 0 not, -1 unknown or no face; ``voice`` int64 (B, T), 1 somebody is heard, in
    view or not, 0 nobody, -1 unknown; ``valid`` bool (B, T), a face is there; ``annotated`` bool (B, T), its box was
    not filled in between others; ``length`` int64 (B,), frames of the row, behind which all is filling; ``frames``
    int64 (B, T), numbers from 0, -1 behind the length; ``seconds`` float64 (B, T), as annotated, 0 behind the length;
    ``boxes`` float32 (B, T, 4), xyxy in [0, 1] of the frame, as annotated; ``width`` float32 (B, T), of the face in
    pixels of the frame; ``frame_size`` int64 (B, 2), height and width of it; ``faces_in_frame`` int64 (B, T), annotated
    faces; ``scene`` int64 (B,), rows of one number are faces in the same frames, ascending; ``name``, ``entity``
    list[str], clip and track; ``index`` int64 (B,), position of the row in its split; ``fps`` float64 (B,).

    ``batching="budget"`` trains on tracks of like length, cropped to one at a place that is drawn, as many as fit a
    budget of frames, and evaluates whole tracks, filled up with masks; ``"windows"`` makes windows of fixed length with
    all faces in them, for models that look at several. Either way evaluation brings every annotated face exactly once.

    Args:
        root: Folder of the videos, searched in depth.
        annotations: The csv, absolute or relative to ``root``; ``auto`` for the only one in ``root``.
        cache: Folder for what may be deleted: packed faces and sounds, tables, index of videos.
        face_size: S.
        crop: How faces are cut out: what a model was trained with, see `datamodules.faces.crops`.
        audio_level: Level of the sound that a model was trained with: that of 16-bit files, or normalised.
        hop: Where rows of coefficients begin: ``exact``, or with the rounding of published code.
        missing_audio: What becomes of clips without sound.
        max_gap: Frames without a box that are filled in between two; longer gaps part a track.
        max_len: Frames of the longest part of a track; None for whole tracks.
        min_len: Frames of the shortest part that is trained on; all are evaluated.
        batching: See above.
        budget: Frames of a batch and device, of all its rows together.
        jitter: Share of its length by which a track may leave its place in the order of lengths.
        window_s: Length of a window in seconds.
        batch_size: Windows per step and device.
        face_augment: Mirror, crop or turn the faces of a track in training, one of them or none.
        other_voice: Probability that sound of another clip is laid over the sound in training.
        fps_of_frames: Frame rate of frame folders in Hz; None for what is usual.
        first_image: Number of the image of a frame folder that shows frame 0.
        pack: Pack all splits in ``mode=prepare``; else what is missing is packed when it is first used.
        clip_seconds: Cut all clips into windows of so many seconds in ``mode=prepare``, for other programs.
        clip_folder: Where these go.
        clip_files: ``link`` images into them where possible, ``copy`` them, or write a ``manifest`` alone.
        clip_layout: ``contract``, or ``dataset_clips`` with a JSON of faces and voices frame by frame as well.
        clip_overwrite: Replace windows that were cut otherwise.
        reader: How videos are read, once and in order: ``auto`` for PyAV, whose memory does not grow with their length,
            or the name of a backend.
        num_workers: Loader processes per device, and clips that are packed at the same time.
        on_error: What becomes of training clips that cannot be read, and of rows that cannot be used: under
            ``quarantine`` they are named and left out; under ``error`` the run stops.
        max_bad_share: Share of them that may be unusable under ``quarantine``.
        decode_timeout_s: Seconds after which a video counts as unreadable that is still not read; None for no deadline.
        seed: Decides which clips are held out, and with epoch and index what is drawn.
        val_fraction: Share of the clips that is held out; 0 validates on the training clips themselves.

    Raises:
        ValueError: When an option is out of its range.
    """

    provides = (
        "faces",
        "audio",
        "target",
        "voice",
        "valid",
        "annotated",
        "length",
        "frames",
        "seconds",
        "boxes",
        "width",
        "frame_size",
        "faces_in_frame",
        "scene",
        "name",
        "entity",
        "index",
        "fps",
    )
    paths: ClassVar = {"root": ()}
    paths_in_root: ClassVar = {"annotations": ("auto",)}
    prepares = ("pack", "clip_seconds")
    exact = ("boxes", "width", "seconds", "fps")
    staying = ("index",)
    collate = staticmethod(collate_speakers)
    counted = "samples"
    more_samples = ", or datamodule.budget"
    select_on_test = True  # the test labels of Ego4D and AVA-ActiveSpeaker are withheld

    def __init__(
        self,
        root: str,
        annotations: str = AUTO,
        cache: str = "data",
        face_size: Annotated[int, "face_size >= 1"] = 112,
        crop: Literal["ava", "talkset", "ego4d_upstream"] = "talkset",
        audio_level: Literal["int16", "rms0.1"] = "int16",
        hop: Literal["exact", "upstream"] = "exact",
        missing_audio: Literal["error", "silence", "drop"] = "error",
        max_gap: Annotated[int, "max_gap >= 0"] = 10,
        max_len: Annotated[int | None, "max_len >= 1"] = 300,
        min_len: Annotated[int, "min_len >= 1"] = 10,
        batching: Literal["budget", "windows"] = "budget",
        budget: Annotated[int, "budget >= 1"] = 450,
        jitter: Annotated[float, "0 <= jitter < 1"] = 0.1,
        window_s: Annotated[float, "window_s > 0"] = 3.0,
        batch_size: Annotated[int, "batch_size >= 1"] = 4,
        face_augment: bool = True,
        other_voice: Annotated[float, "0 <= other_voice <= 1"] = 0.5,
        fps_of_frames: Annotated[float | None, "fps_of_frames > 0"] = None,
        first_image: int = 1,
        pack: bool | None = None,
        clip_seconds: Annotated[float | None, "clip_seconds > 0"] = None,
        clip_folder: str = "data/dataset_clips",
        clip_files: Literal["link", "copy", "manifest"] = "link",
        clip_layout: Literal["contract", "dataset_clips"] = "contract",
        clip_overwrite: bool = False,
        reader: Literal["auto", "decord", "torchcodec", "pyav"] = "auto",
        num_workers: Annotated[int, "num_workers >= 0"] = 2,
        on_error: Literal["error", "quarantine"] = "quarantine",
        max_bad_share: Annotated[float, "0 <= max_bad_share <= 1"] = 0.01,
        decode_timeout_s: Annotated[float | None, "decode_timeout_s > 0"] = 60.0,
        seed: int = 0,
        val_fraction: Annotated[float, "0 <= val_fraction < 1"] = 0.1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        refuse_unsuited(self.hparams)

    @property
    def protocol(self) -> str:
        """One line about what is evaluated, and what models are selected by."""
        data = f"GENERATED sample, not {self.title}" if self.hparams.root == SAMPLE else self.title
        return f"{data}, annotated faces of the {VAL} split; models are selected by them too"

    def prepare_data(self) -> None:
        """Make the sample if it is asked for, and pack what is not packed, which would else be every process's work."""
        self.make_sample()
        for split in (TRAIN, VAL) if self.trainer is None or self.trainer.training else (VAL,):
            self.pack_missing(split)

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets of ``fit`` (training and validation), ``validate``, ``test`` or ``predict``."""
        if stage in ("fit", None):
            self.train_data = self.training_samples()
        found = self.evaluation_samples()
        if stage in ("fit", "validate", None):
            self.val_data = found
        if stage in ("test", "predict", None):
            self.eval_data = found

    def train_dataloader(self) -> DataLoader:
        data, options, place = self.train_data, self.hparams, self.place()
        if options.batching == "windows" or self.overfitting:
            sampler = ShardedShuffle(len(data), options.seed, place[0], place[1])
            loading = self.loading(data)
            self.check_shard(len(sampler), loading["batch_size"], "training")
            return ResumableLoader(sampler=sampler, drop_last=True, **loading)
        rank, world_size = place
        sampler = FrameBudgetBatchSampler(
            data.lengths, options.budget, world_size, rank, options.seed, jitter=options.jitter
        )
        return ResumableLoader(batch_sampler=sampler, **self.loading(data) | {"batch_size": 1})

    @property
    def overfitting(self) -> bool:
        """Whether the same few batches are to be repeated, which Lightning takes care of where a sampler is its own."""
        return self.trainer is not None and bool(self.trainer.overfit_batches)

    def loading(self, data: Dataset) -> dict[str, Any]:
        alone = self.hparams.batching == "budget"  # a sample is a batch, but for training
        return super().loading(data) | ({"batch_size": 1} if alone else {})

    def training_samples(self) -> SpeakerClips:
        """The samples of training: parts of tracks, each by itself, or windows."""
        sources, options = self.sources_of(TRAIN), self.hparams
        if options.on_error == "error":
            self.require_readable(sources)
        else:
            self.start_quarantine(sources)
        spans = [span for span in self.spans(sources) if span.length >= options.min_len]
        groups = scenes(spans) if options.batching == "windows" else [[place] for place in range(len(spans))]
        if options.batching == "budget" and self.overfitting:
            groups = alike(spans, options.budget, self.place()[1])
        return self.samples(TRAIN, sources, spans, groups, Augmentation(options.face_augment, options.other_voice))

    def evaluation_samples(self) -> SpeakerClips:
        """The samples of evaluation, which have every annotated face once: whole batches of tracks, or windows."""
        sources, options = self.sources_of(VAL), self.hparams
        self.require_readable(sources)
        spans = self.spans(sources)
        groups = scenes(spans) if options.batching == "windows" else alike(spans, options.budget, self.place()[1])
        return self.samples(VAL, sources, spans, groups)

    def samples(
        self,
        split: str,
        sources: Sequence[SpeakerSource | UnreadableSource],
        spans: Sequence[Span],
        groups: Sequence[Sequence[int]],
        augmentation: Augmentation | None = None,
    ) -> SpeakerClips:
        """Make the data set of a split."""
        options = self.hparams
        if not spans:
            raise ValueError(f"{split}: no face track is left of {len(sources)} clips; mode=check says what is wrong")
        listening = Listening(options.audio_level, options.hop)
        return SpeakerClips(sources, spans, groups, listening, options.seed, augmentation)

    def spans(self, sources: Sequence[SpeakerSource | UnreadableSource]) -> list[Span]:
        """The rows that can be made of clips."""
        options, found = self.hparams, []
        for place, source in enumerate(sources):
            if isinstance(source, UnreadableSource):
                continue
            scene = found[-1].scene + 1 if found else 0
            if options.batching == "windows":
                window = max(1, round(options.window_s * source.fps))
                found += window_spans(source.tracks, place, scene, source.num_frames, window)
            else:
                found += track_spans(source.tracks, place, scene, options.max_len)
        return found
