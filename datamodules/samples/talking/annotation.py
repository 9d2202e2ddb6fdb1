"""The annotation of a clip in the schema of Ego4D's audio-visual diarization (repository EGO4D/docs)."""

import math

import numpy as np

from datamodules.samples.talking.clips import FPS, Clip
from datamodules.samples.talking.film import Sighting
from datamodules.samples.talking.story import Part, Story, Utterance
from datamodules.samples.talking.tracks import Track, follow

FIRST_SECOND = 150  # of the video at which its first clip begins
ANCHOR = 5  # frames of a track that shows the annotators who is meant
ANCHORED = 2  # every second clip has such tracks
WEARER = ("0", "camera_wearer")  # both kinds of names occur


def annotate(clip: Clip, story: Story, faces: list[list[Sighting]], rng: np.random.Generator) -> dict:
    """Annotate ``clip``.

    Args:
        clip: What is annotated.
        story: Who speaks when.
        faces: Each face in every frame.
        rng: Draws what the face tracker makes of them.

    Returns:
        An entry of ``clips`` in ``av_*.json``.
    """
    first = (FIRST_SECOND + (clip.number % 2) * math.ceil(clip.num_frames / FPS)) * FPS
    seconds = clip.num_frames / FPS
    wearer = WEARER[clip.number % 2]
    parts = {wearer: story.wearer}
    parts |= {str(number): part for number, part in enumerate((*story.faces, story.bystander), 1)}
    voices = {person: _voices(person, part, clip.num_frames, first) for person, part in parts.items()}
    persons = [{"person_id": wearer, "camera_wearer": True, "tracking_paths": [], "voice_segments": voices[wearer]}]
    for number, person in enumerate(list(parts)[1:]):
        tracks = follow(faces[number], rng) if number < len(faces) else []
        paths = [_path(f"track_{turn}", track, first) for turn, track in enumerate(tracks)]
        if tracks and clip.number % ANCHORED == 0:
            boxes = dict(list(tracks[0].boxes.items())[:ANCHOR])
            paths.append(_path(f"visual_anchor_{person}", Track(boxes), first))
        persons.append(
            {"person_id": person, "camera_wearer": False, "tracking_paths": paths, "voice_segments": voices[person]}
        )
    return {
        "clip_uid": clip.name,
        "source_clip_uid": clip.name,
        "video_uid": clip.video,
        "video_start_sec": first / FPS,
        "video_end_sec": first / FPS + seconds,
        "video_start_frame": first,
        "video_end_frame": first + clip.num_frames,
        "clip_start_sec": 0,
        "clip_end_sec": seconds,
        "clip_start_frame": 0,
        "clip_end_frame": clip.num_frames,
        "valid": True,
        "camera_wearer": {"person_id": wearer, "camera_wearer": True, "voice_segments": voices[wearer]},
        "persons": persons,
        "missing_voice_segments": [],
        "transcriptions": _transcriptions(parts, first / FPS, seconds),
        "social_segments_talking": [
            {**segment, "target": None, "is_at_me": bool(rng.random() < 0.5)}
            for person, segments in voices.items()
            if person != wearer
            for segment in segments
        ],
        "social_segments_looking": [],
    }


def spoken_frames(utterance: Utterance) -> tuple[int, int]:
    """First and last frame whose middle lies in ``utterance``; either may lie outside of the clip."""
    first, behind = (math.ceil(second * FPS - 0.5) for second in (utterance.begin, utterance.end))
    return first, behind - 1


def _voices(person: str, part: Part, num_frames: int, offset: int) -> list[dict]:
    segments = []
    for utterance in sorted(part.spoken, key=lambda said: said.begin):
        first, last = spoken_frames(utterance)
        if last < 0 or first >= num_frames:
            continue
        times = {"start_time": first / FPS, "end_time": last / FPS, "start_frame": first, "end_frame": last}
        segments.append(
            {
                **{key: round(value, 6) for key, value in times.items()},
                "video_start_time": round((first + offset) / FPS, 6),
                "video_end_time": round((last + offset) / FPS, 6),
                "video_start_frame": first + offset,
                "video_end_frame": last + offset,
                "person": person,
            }
        )
    return segments


def _path(name: str, track: Track, offset: int) -> dict:
    boxes = [
        {
            **{key: round(value, 2) for key, value in zip(("x", "y", "width", "height"), box, strict=True)},
            "frame": frame,
            "video_frame": frame + offset,
            "clip_frame": None,
        }
        for frame, box in track.boxes.items()
    ]
    return {
        "track_id": name,
        "track": boxes,
        "suspect": False,
        "unmapped_frames_count": len(track.unmapped),
        "unmapped_frames": track.unmapped,
    }


def _transcriptions(parts: dict[str, Part], offset: float, seconds: float) -> list[dict]:
    said = [(utterance, person) for person, part in parts.items() for utterance in part.spoken]
    return [
        {
            "transcription": "".join(s.consonant + s.vowel + " " * s.last for s in utterance.syllables).strip(),
            "start_time_sec": round(utterance.begin, 3),
            "end_time_sec": round(utterance.end, 3),
            "person_id": person,
            "video_start_time": round(utterance.begin + offset, 3),
            "video_start_frame": round((utterance.begin + offset) * FPS),
            "video_end_time": round(utterance.end + offset, 3),
            "video_end_frame": round((utterance.end + offset) * FPS),
        }
        for utterance, person in sorted(said, key=lambda pair: pair[0].begin)
        if utterance.end > 0 and utterance.begin < seconds
    ]
