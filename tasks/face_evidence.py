"""What a detector of active speakers says of each face, to be explained: where, and how much by the sound."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.faithfulness import energy_inside
from models.face_tracks import MAX_GREY, PIXEL_MEAN, PIXEL_STD, ROWS_PER_FRAME
from models.saliency import evidence_of
from models.saliency.streams import evidence_of_streams
from tasks.explaining import Beside, Explainable

if TYPE_CHECKING:
    from tasks.active_speaker import ActiveSpeaker

CLASSES = ("silent", "speaking")
CELLS = 8  # of a map, along a side of the face
SPEAKING = 1
PER_ROW = ("faces", "audio", "boxes", "valid", "length", "seconds", "scene")


def explain_faces(task: "ActiveSpeaker", batch: Mapping) -> list[Explainable]:
    """The answers about each face track of a batch that has a face; see `tasks.explaining.Explainable`."""
    return [_answer(task, batch, row) for row in range(len(batch["valid"])) if batch["valid"][row].any()]


class FaceTrack:
    """One row of a batch of face tracks as a clip of grey faces, and what the model says when that changes.

    Faces are normalised, (M, 1, T, S, S), black where there is none; T is the length of the row. Where the model looks
    at all faces of a scene, the others stay as they are.

    Args:
        task: The task.
        batch: Face tracks.
        row: Which.
    """

    def __init__(self, task: "ActiveSpeaker", batch: Mapping, row: int) -> None:
        company = []
        if getattr(task.model, "context", "track") == "scene":
            places = (batch["scene"] == batch["scene"][row]).nonzero().flatten().tolist()
            company = [place for place in places if place != row]
        rows = [row, *company]
        longest = int(batch["length"][rows].max())
        self.task, self.frames = task, int(batch["length"][row])
        self.rows = {key: _first(batch[key][rows], key, longest).clone() for key in PER_ROW}
        self.faces = self.rows["faces"][0, : self.frames].float()
        self.audio = self.rows["audio"][0, : ROWS_PER_FRAME * self.frames]
        self.valid = self.rows["valid"][0, : self.frames]

    @property
    def clip(self) -> Tensor:
        """(1, 1, T, S, S), normalised."""
        return ((self.faces / MAX_GREY - PIXEL_MEAN) / PIXEL_STD)[None, None]

    def logits(self, clips: Tensor) -> Tensor:
        """Of silence and of speech, (M, 2), each against the other: means over the frames with a face."""
        margin = self.margins((clips[:, 0] * PIXEL_STD + PIXEL_MEAN) * MAX_GREY) * self.valid
        mean = margin.sum(1) / self.valid.sum()
        return torch.stack([-mean, mean], 1) / 2  # their softmax is that of the model's own logits

    def margins(self, faces: Tensor, audio: Tensor | None = None) -> Tensor:
        """Logit of speaking minus that of silence in each frame, (M, T), for other faces (M, T, S, S) or sound."""
        versions, company = len(faces), len(self.rows["faces"]) - 1
        # The versions come first: layers are looked at where they are (`models.saliency.layers.as_volume`).
        batch = {
            key: torch.cat([_copies(each[:1], versions), _copies(each[1:], versions)])
            for key, each in self.rows.items()
        }
        number = torch.arange(versions, device=faces.device)
        batch["scene"] = torch.cat([number, number.repeat_interleave(company)])
        batch["faces"] = _put(batch["faces"].to(faces.dtype), faces)
        if audio is not None:
            batch["audio"] = _put(batch["audio"], audio.to(batch["audio"].dtype))
        logits = self.task.model(**self.task.inputs(batch))["logits"][:versions, : self.frames]
        return logits[..., SPEAKING] - logits[..., 1 - SPEAKING]


def _answer(task: "ActiveSpeaker", batch: Mapping, row: int) -> Explainable:
    track = FaceTrack(task, batch, row)
    with torch.no_grad():
        output = track.logits(track.clip)[0]
    known, side = batch["target"][row, : track.frames], track.faces.shape[-1]
    known = known[known >= 0]
    lower_half = torch.tensor([[0.0, side / 2, side, side]], device=output.device)  # where mouths are
    target, seconds = batch["target"][row, : track.frames].clone(), batch["seconds"][row, : track.frames].cpu().clone()
    return Explainable(
        name=batch["name"][row],
        key=(int(batch["index"][row]),),
        frames=batch["frames"][row, : track.frames].cpu().clone(),
        seconds=seconds,
        output=output,
        video=track.clip,
        run=track.logits,
        mean=output.new_tensor([PIXEL_MEAN]),
        std=output.new_tensor([PIXEL_STD]),
        subject=batch["entity"][row],
        kind="face",
        classes=CLASSES,
        truth=(int(known.float().mean() > 0.5),) if len(known) else None,
        regions=torch.where(track.valid[:, None, None], lower_half, torch.nan),
        beside=partial(_beside, track, seconds, target),
    )


def _beside(track: FaceTrack, seconds: Tensor, target: Tensor, explained: int | None) -> Beside:
    """The score over time, where on each face, and the sound with its share."""
    if explained is None:
        return Beside()
    task, sign = track.task, 1 if explained == SPEAKING else -1
    pixels = evidence_of(task.model, track.clip, explained, method="gradient_x_input", run=track.logits).total()
    maps = F.adaptive_avg_pool2d(pixels[0], CELLS)  # single pixels say little, and are not to be seen
    streams = {"faces": track.faces[None], "audio": track.audio[None]}
    blanks = {name: torch.zeros_like(each) for name, each in streams.items()}
    found = evidence_of_streams(task.model, track.margins, streams, blanks, track.valid[None])
    by_gradient, by_blanking = (float(each["audio"][0]) for each in (found.by_gradient(), found.by_blanking()))
    lower = torch.zeros_like(maps, dtype=torch.bool)
    lower[:, (maps.shape[1] + 1) // 2 :] = True
    numbers = {
        "share of the sound, gradient x input": by_gradient,
        "share of the sound, by blanking": by_blanking,
        "in the lower half of the face": float(energy_inside(maps[None], lower[None])[0]),
    }
    scores, sound = found.scores[0], sign * found.parts["audio"][0]
    return Beside(
        curves={"score of speaking": scores, "sound": sound.unflatten(0, (-1, ROWS_PER_FRAME)).sum((1, 2))},
        numbers=numbers,
        pictures={
            "face": {
                "seconds": seconds.numpy(),
                "faces": track.faces.byte().cpu().numpy(),
                "maps": maps.cpu().numpy(),
                "valid": track.valid.cpu().numpy(),
                "scores": scores.float().cpu().numpy(),
                "blanked": {name: each[0].float().cpu().numpy() for name, each in found.blanked.items()},
                "speaks": (target == SPEAKING).cpu().numpy(),
                "cepstra": track.audio.float().cpu().numpy(),
                "heard": sound.float().cpu().numpy(),
                "explained": CLASSES[explained],
                "numbers": numbers,
            }
        },
    )


def _first(each: Tensor, key: str, frames: int) -> Tensor:
    if key in ("length", "scene"):
        return each
    return each[:, : ROWS_PER_FRAME * frames if key == "audio" else frames]


def _copies(rows: Tensor, count: int) -> Tensor:
    return rows.repeat(count, *(1,) * (rows.ndim - 1))


def _put(rows: Tensor, first: Tensor) -> Tensor:
    """Rows with others in the place of the first ones, from their beginning on."""
    return torch.cat([torch.cat([first, rows[: len(first), first.shape[1] :]], 1), rows[len(first) :]])
