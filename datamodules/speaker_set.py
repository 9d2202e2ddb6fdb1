"""Face tracks with sound: where their files are, what is known of them, what is packed of them."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from datamodules.action_checks import require_usable
from datamodules.ava_rows import NO_MEDIA
from datamodules.checking import Defect, Examined
from datamodules.clips import UnreadableSource
from datamodules.errors import DataFileError, VideoReadError
from datamodules.export.preparing import require_any
from datamodules.export.product import Product
from datamodules.faces.cache import FacePlan
from datamodules.listing import Listed, find_videos
from datamodules.loading import seeded
from datamodules.reading import VideoFacts, describe_routes, in_order
from datamodules.speaker_checks import KINDS, USUAL, check_speakers
from datamodules.speaker_clips import SpeakerSource
from datamodules.speaker_packing import ClipPlan, pack_all
from datamodules.speaker_preparing import cut_splits, pack_splits
from datamodules.speaker_recordings import Planned, Recording, compare_lengths, sound_of, with_sound
from datamodules.speaker_tables import cached_tables
from datamodules.tracks import Annotations, Medium, TrackTable
from datamodules.tracks.gaps import segments
from datamodules.tracks.own_tracks import read_own_tracks
from datamodules.video_set import AUTO, VideoSet

log = logging.getLogger(__name__)

TRAIN, VAL, TEST = "train", "val", "test"
UNLIMITED = 2**31  # frames of a clip that cannot be read
SPLITTING = 2  # tells the stream that parts the clips from others


class SpeakerSet(VideoSet):
    """The clips, sounds and annotations of a data set of active speakers, and what is packed of them.

    The base of `datamodules.speakers.Speakers`, whose constructor describes ``hparams`` and which makes samples of
    them. A data set with a layout of its own overrides the methods up to ``belongs``, and the attributes.
    """

    kinds_of_defects = KINDS
    prepares = ("pack", "clip_seconds")
    title = "your own data"
    expects = "folder of videos and a csv of face tracks"
    usual_fps = 25.0
    _planned: Mapping[str, Planned] = MappingProxyType({})

    def parts(self) -> tuple[str, ...]:
        """The splits that there are."""
        return (TRAIN, VAL)

    def media(self) -> dict[str, Path]:
        """Find the videos and frame folders, by the names that annotations have for them."""
        self.require_root()
        found = find_videos(self.root)
        if not found:
            raise FileNotFoundError(f"datamodule.root={self.root} holds no videos; expected files such as .mp4 or .avi")
        return {Path(one.name).name: one.path for one in found}

    def annotation(self, split: str) -> Path:
        """The file or folder that says who is seen where."""
        self.require_root()
        found = sorted(self.root.glob("*.csv"))
        if self.hparams.annotations != AUTO:
            given = Path(self.hparams.annotations)
            return given if given.exists() else self.root / given
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataFileError(
                self.root, f"expected one csv of face tracks, found {names}; set datamodule.annotations"
            )
        return found[0]

    def read_annotations(self, split: str, media: Mapping[str, Medium]) -> Annotations:
        """Read what is annotated of a split."""
        return read_own_tracks(self.annotation(split), media, split=split)

    def belongs(self, name: str, split: str, names: Sequence[str]) -> bool:
        """Whether a clip belongs to a split, of all clips that its annotation names."""
        held = round(self.hparams.val_fraction * len(names))
        if held == 0 or len(names) < 2:
            return True
        order = torch.randperm(len(names), generator=seeded(self.hparams.seed, SPLITTING)).tolist()
        held = min(held, len(names) - 1)
        return (sorted(names).index(name) in order[:held]) == (split == VAL)

    # What follows from them.

    def recordings(self) -> tuple[dict[str, Recording], dict[str, VideoReadError]]:
        """All clips that can be read, and why others cannot, by name."""
        media = self.media()
        facts, broken = self.look([Listed(name, path) for name, path in media.items()])
        found = {name: self.recording(name, facts[str(path)]) for name, path in media.items() if str(path) in facts}
        return found, {name: broken[str(path)] for name, path in media.items() if str(path) in broken}

    def recording(self, name: str, facts: VideoFacts) -> Recording:
        """A clip on the clock of the annotation."""
        first = self.hparams.first_image if facts.kind == "frames" else 0
        frames = np.asarray(facts.frame_ids, dtype=np.int64) - first
        return Recording(name, facts, sound_of(name, facts, self.root), frames)

    def tables(self, split: str, recordings: Mapping[str, Recording], broken: Collection[str]) -> Annotations:
        """Faces and voices of a split, with short gaps filled, from the cache where they are there."""
        options = self.hparams
        media = {name: recording.medium for name, recording in recordings.items()}
        media |= {name: Medium(1, 1, self.fps_of_frames, UNLIMITED) for name in broken}  # so that they are named
        path = self.annotation(split)
        inputs = sorted(path.glob("*.csv")) if path.is_dir() else [path]
        settings = {"class": type(self).__name__, "media": media, "max_gap": options.max_gap, **self.reading_options()}

        def build() -> Annotations:
            found = self.read_annotations(split, media)
            table = segments(found.tracks, found.voices, options.max_gap).table
            return Annotations(table, found.voices, found.clips, found.defects)

        found = cached_tables(Path(options.cache), inputs, settings, build)
        self.judge(found)
        return found

    def reading_options(self) -> dict[str, object]:
        """What else decides about the tables, as plain values."""
        return {}

    def judge(self, found: Annotations) -> None:
        """Say what is wrong with annotations, and refuse those of which too much cannot be used.

        Raises:
            AnnotationError: When it cannot.
        """
        options = self.hparams
        share = options.max_bad_share if options.on_error == "quarantine" else None
        usual = USUAL if share is not None else set(USUAL) - {NO_MEDIA}
        lost = [defect for defect in found.defects if defect.kind not in usual]
        require_usable(lost, len(found.tracks), share)
        if found.defects:
            counts = Counter(defect.kind for defect in found.defects)
            kinds = ", ".join(f"{count} x {kind}" for kind, count in counts.items())
            log.warning("%s: %s; mode=check names all", found.defects[0].path, kinds)

    def plan(self, recording: Recording, tracks: TrackTable, starts: np.ndarray) -> ClipPlan:
        """What is packed of a clip."""
        facts, options = recording.facts, self.hparams
        pixels = tracks.boxes * np.array([facts.width, facts.height] * 2)
        faces = FacePlan(facts, recording.places(tracks.frame), pixels, starts, options.crop, options.face_size)
        return ClipPlan(recording.name, faces, recording.sound, Path(options.cache))

    def plans(self, split: str) -> Planned:
        """What is packed of a split; found out once, by the process that packs and by those that read."""
        if split not in self._planned:
            self._planned = self._planned | {split: self.planned(split)}
        return self._planned[split]

    def planned(self, split: str) -> Planned:
        """Find out what is packed of a split."""
        recordings, broken = self.recordings()
        tables = self.tables(split, recordings, broken)
        found = segments(tables.tracks, tables.voices, max_gap=0)
        plans = {}
        for name, rows in tables.tracks.videos.items():
            if name in recordings and self.belongs(name, split, list(tables.tracks.videos)):
                starts = found.starts[(found.starts >= rows.start) & (found.starts <= rows.stop)] - rows.start
                plans[name] = self.plan(recordings[name], tables.tracks.take(rows), starts)
        return Planned(tables, with_sound(plans, self.hparams.missing_audio), broken, recordings)

    def pack(self, plans: Mapping[str, ClipPlan]) -> Iterator[tuple[ClipPlan, list[Product] | VideoReadError]]:
        """Pack what is not there of some clips."""
        options = self.hparams
        wanted = {plan.faces.facts.path: plan for plan in plans.values()}
        yield from pack_all(wanted, in_order(options.reader), options.num_workers, options.decode_timeout_s)

    def pack_missing(self, split: str) -> None:
        """Pack the clips of a split that are not packed; those that cannot be read are named, and met again later."""
        plans = self.plans(split).plans
        missing = {name: plan for name, plan in plans.items() if not all(map(Path.exists, plan.files().values()))}
        if missing:
            log.info("Packing the faces and the sound of %d clips (once; into %s)", len(missing), self.hparams.cache)
            facts = [plan.faces.facts for plan in missing.values()]
            log.info("%s", describe_routes(facts, in_order(self.hparams.reader)))
        for plan, found in self.pack(missing):
            wrong = [found] if isinstance(found, VideoReadError) else [one for one in found if one.state == "failed"]
            for one in wrong:
                log.warning(
                    "%s cannot be packed: %s", plan.name, one if isinstance(one, VideoReadError) else one.detail
                )

    def sources_of(self, split: str) -> list[SpeakerSource | UnreadableSource]:
        """The clips of a split that have faces, packed, or why they cannot be used; in the order of their names."""
        tables, plans, broken, recordings = self.plans(split)
        found: list[SpeakerSource | UnreadableSource] = []
        for name, plan in plans.items():
            lacking = [file for file in plan.files().values() if not file.exists()]
            if lacking:
                reason = f"{lacking[0]} is not there; mode=prepare datamodule.pack=true makes it, or says why it cannot"
                found.append(UnreadableSource(name, plan.faces.facts.path, reason))
                continue
            tracks, medium = tables.tracks.of(name), recordings[name].medium
            packed = (plan.faces_file, plan.sound_file)
            found.append(SpeakerSource(name, medium.fps, medium.num_frames, tracks, tables.voices, *packed))
        named = sorted(set(tables.clips) & set(broken))
        named = [name for name in named if self.belongs(name, split, list(tables.tracks.videos) or named)]
        found += [UnreadableSource(name, broken[name].path, broken[name].reason) for name in named]
        if self.place()[0] == 0:
            compare_lengths([source for source in found if isinstance(source, SpeakerSource)])
        return found

    def prepare(self) -> Iterator[Product]:
        """Make what the options in ``prepares`` name, of all splits (``mode=prepare``)."""
        self.make_sample()
        require_any(self.hparams, self.prepares)
        if self.hparams.pack:
            yield from pack_splits(self)
        if self.hparams.clip_seconds is not None:
            yield from cut_splits(self)

    # What is wrong with the data (``mode=check``).

    def splits(self) -> dict[str, list[Listed]]:
        media = self.media()
        anything = dict.fromkeys(media, Medium(1, 1, self.fps_of_frames, UNLIMITED))
        found = {}
        for split in self.parts():
            names = [name for name in self.read_annotations(split, anything).clips if name in media]
            found[split] = [Listed(name, media[name]) for name in names if self.belongs(name, split, names)]
        return found

    def compare(self, splits: Mapping[str, Sequence[Listed]], examined: Mapping[Path, Examined]) -> Iterator[Defect]:
        """Say what is wrong with the sounds, with the annotations, and with the clips as a set."""
        yield from check_speakers(self, splits, examined)
