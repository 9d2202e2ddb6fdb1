"""The faces of videos that nobody has annotated, with the sound under them, for prediction."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from datamodules.clips import Source, UnreadableSource, describe
from datamodules.errors import VideoReadError
from datamodules.faces.cache import CHUNK_BYTES
from datamodules.faces.finding import FaceFinding
from datamodules.faces.tracking import FaceTrack
from datamodules.listing import find_at
from datamodules.loading import Shard, seeded
from datamodules.parallel import for_each
from datamodules.reading import in_order, open_video
from datamodules.speaker_clips import Listening, SpeakerClips, SpeakerSource
from datamodules.speaker_recordings import Recording
from datamodules.speaker_set import TEST
from datamodules.speaker_spans import Span, scenes, track_spans
from datamodules.speakers import Speakers
from datamodules.tracks import ANNOTATED, UNKNOWN, Annotations, Clip, Medium, TrackTable
from datamodules.tracks.annotations import voices_seen
from datamodules.tracks.gaps import segments
from datamodules.tracks.own_tracks import read_own_tracks
from datamodules.video_index import broken_videos, stamp

DATASET = "video"
FOLDER = "tracks"  # of tracks that were found, below the cache


class VideoFaces(Speakers):
    """Batches of face tracks (`datamodules.speakers.Speakers`) of any videos, for prediction alone.

    The tracks are those of a csv (`datamodules.tracks.own_tracks`), or are found in the videos once and kept in the
    cache. A batch has one part of a track, so that no score depends on what it is computed with; with
    ``batching="windows"`` it has all faces of a window.

    Args:
        path: A video file or frame folder, or a folder of them.
        tracks: The csv; None for the faces that are found.
        finding: How faces are found, and boxes of a csv without tracks linked.
        longest_s: Seconds of the longest part of a track that is scored at a time, which bounds the memory.
        reader: How videos are read; ``auto`` for what reads whole videos in order best.
        options: Others of `datamodules.speakers.Speakers`.
    """

    title = "your own videos"

    def __init__(
        self, path: str, tracks: str | None, finding: FaceFinding, longest_s: float, reader: str, **options: Any
    ) -> None:
        self.path, self.csv = Path(path), None if tracks is None else Path(tracks)
        self.finding, self.longest_s = finding, longest_s
        reader = in_order(reader)  # by this name, for Lightning keeps the arguments of the outermost constructor
        super().__init__(
            str(self.path.parent), reader=reader, on_error="error", batch_size=1, val_fraction=0.0, **options
        )

    def prepare_data(self) -> None:
        """Find faces, and pack them with the sound, unless that is done."""
        self.pack_missing(TEST)

    def setup(self, stage: str | None = None) -> None:
        sources = self.sources_of(TEST)
        self.require_readable(sources)
        spans, options = self.spans(sources), self.hparams
        groups = scenes(spans) if options.batching == "windows" else [[place] for place in range(len(spans))]
        self.eval_data = SpeakerClips(sources, spans, groups, Listening(options.audio_level, options.hop), options.seed)

    def predict_dataloader(self) -> DataLoader:
        """Visit every face once over all processes, of which some may have none."""
        sampler = Shard(len(self.eval_data), *self.place())
        return DataLoader(sampler=sampler, generator=seeded(self.hparams.seed), **self.loading(self.eval_data))

    # Which videos, and which faces are in them.

    def parts(self) -> tuple[str, ...]:
        return (TEST,)

    def belongs(self, name: str, split: str, names: Sequence[str]) -> bool:
        return True

    def media(self) -> dict[str, Path]:
        """The videos by name: the path below the folder, without suffix."""
        return {video.name: video.path for video in find_at(self.path, "datamodule.path")}

    def recordings(self) -> tuple[dict[str, Recording], dict[str, VideoReadError]]:
        return self.videos, {}

    @cached_property
    def videos(self) -> dict[str, Recording]:
        """All videos by name.

        Raises:
            VideoReadError: When one cannot be read, naming all of them.
        """
        found, broken = super().recordings()
        if broken:
            raise broken_videos(broken.values(), len(found) + len(broken))
        return found

    def annotation(self, split: str) -> Path:
        return self.csv

    def read_annotations(self, split: str, media: Mapping[str, Medium]) -> Annotations:
        only = next(iter(media)) if len(media) == 1 else None
        return read_own_tracks(self.csv, media, only, self.finding.tracker, split, DATASET)

    def reading_options(self) -> dict[str, object]:
        return self.finding.recipe()

    def tables(self, split: str, recordings: Mapping[str, Recording], broken: Collection[str]) -> Annotations:
        if self.csv is not None:
            return super().tables(split, recordings, broken)
        found = TrackTable.concat(list(self.found(recordings).values()))
        table = segments(found, voices_seen(found), self.hparams.max_gap).table
        return Annotations(table, voices_seen(found), {name: Clip(name, labelled=False) for name in recordings})

    def found(self, recordings: Mapping[str, Recording]) -> dict[str, TrackTable]:
        """The tracks that are found in videos, by name; those that are not in the cache are looked for.

        Raises:
            VideoReadError: When a video cannot be read to its end.
        """
        options = self.hparams
        files = {name: self.file(recording) for name, recording in recordings.items()}
        names = {recordings[name].facts.path: name for name, file in files.items() if not file.is_file()}
        calls = {path: (recordings[name].facts, options.reader) for path, name in names.items()}
        looking = (options.num_workers, options.decode_timeout_s, "searched for faces")
        for path, tracks in for_each(self.finding.find, calls, *looking) if calls else ():
            if isinstance(tracks, VideoReadError):
                raise tracks
            name = names[path]
            files[name].parent.mkdir(parents=True, exist_ok=True)
            table_of(recordings[name], tracks).to_parquet(files[name])
        return {name: TrackTable.from_parquet(file) for name, file in files.items()}

    def file(self, recording: Recording) -> Path:
        """Where the tracks that are found in a video are kept: other ones have another name."""
        facts = recording.facts
        made_of = json.dumps([self.finding.recipe(), stamp(facts.path), facts.frame_count, recording.name])
        digest = blake2b(made_of.encode(), digest_size=8).hexdigest()
        return Path(self.hparams.cache, FOLDER, f"{facts.path.stem}-{digest}.parquet")

    def spans(self, sources: Sequence[SpeakerSource | UnreadableSource]) -> list[Span]:
        if self.hparams.batching == "windows":
            return super().spans(sources)
        found: list[Span] = []
        for place, source in enumerate(sources):
            longest = max(1, round(self.longest_s * source.fps))
            found += track_spans(source.tracks, place, len(found), longest)
        return found

    # What callbacks ask for.

    def feature_sources(self) -> dict[str, dict[str, Any]]:
        """Describe the videos by name (``datamodules.clips.describe``), those without a face as well."""
        known = {name: recording.facts for name, recording in self.videos.items()}
        return {name: describe(Source(name, facts, 0, facts.frame_count), self.root) for name, facts in known.items()}

    def shown(self, name: str) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """Number, time in seconds and pixels, (H, W, 3), of each frame of a video."""
        recording = self.videos[name]
        facts, times = recording.facts, recording.facts.times()
        chunk = max(1, CHUNK_BYTES // (facts.height * facts.width * 3))
        with open_video(facts, self.hparams.reader) as reader:
            for start in range(0, facts.frame_count, chunk):
                stop = min(start + chunk, facts.frame_count)
                yield from zip(
                    recording.frames[start:stop].tolist(),
                    times[start:stop].tolist(),
                    reader.read(range(start, stop)),
                    strict=True,
                )

    def heard(self, name: str) -> Path | None:
        """The file with the sound of a video; None where there is none."""
        return self.videos[name].sound


def table_of(recording: Recording, tracks: Sequence[FaceTrack]) -> TrackTable:
    """Tracks that were found in a video, as a table.

    Args:
        recording: The video.
        tracks: With places of frames, and boxes in pixels.
    """
    facts, times = recording.facts, recording.facts.times()
    places = np.array([place for track in tracks for place in track.frames], dtype=np.int64)
    boxes = np.array([box for track in tracks for box in track.boxes], dtype=np.float64).reshape(-1, 4)
    sides = dict(zip(("x1", "y1", "x2", "y2"), (boxes / ([facts.width, facts.height] * 2)).T, strict=True))
    entities = [f"face_{track.number}" for track in tracks for _ in track.frames]
    words = {"entity_id": entities, "person_id": entities, "track_id": entities}
    if not entities:
        return TrackTable.empty()
    return TrackTable.from_columns(
        {"dataset": DATASET, "video_id": recording.name, "frame": recording.frames[places], "timestamp": times[places]}
        | {"frame_w": facts.width, "frame_h": facts.height, "label": UNKNOWN, "source": ANNOTATED, **sides, **words}
    )
