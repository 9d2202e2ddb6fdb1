"""What tasks say can be explained: of actors, faces, clips of masked autoencoders, rows of videos."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from metrics.ava import FrameMAP
from models.action_detector import ActionDetector
from models.light_asd import LightASD
from models.linear_roi_head import LinearRoIHead
from models.lr_asd import LRASD
from models.saliency import Evidence, SaliencySpec, evidence_of
from models.slowfast import SlowFast
from tasks.action_detection import ActionDetection
from tasks.active_speaker import ActiveSpeaker
from tasks.actor_evidence import shares_inside
from tasks.anomaly_detection import AnomalyDetection
from tasks.explaining import Explainable
from tasks.focusmae import MaskedPretraining
from tests.models.saliency_networks import same, state_of
from tests.models.talknets import small, tracks
from tests.tasks.action_batches import CLASSES, FRAMES, batch_of, detector
from tests.tasks.speaker_batches import rows_of
from tests.tasks.test_anomaly_detection import MODELS as DETECTORS
from tests.tasks.test_anomaly_detection import collate, videos
from tests.tasks.test_focusmae import MEAN, STD, clips, make_model

COMPLETE = 1e-5
TIMES = {"frames": torch.arange(FRAMES), "seconds": torch.arange(FRAMES).double() / 25}


def key_frames(counts: list[int]) -> dict:
    batch = batch_of(counts)
    return batch | {key: each.repeat(len(counts), 1) for key, each in TIMES.items()}


def alone(batch: dict, clip: int) -> dict:
    """One clip of a batch, without what it was filled up with."""
    mine, (height, width) = batch["clip"] == clip, batch["size"][clip].tolist()
    one = {key: batch[key][mine] for key in ("rois", "actor", "boxes", "scores", "targets")}
    one |= {key: batch[key][clip : clip + 1] for key in (*TIMES, "video", "size", "name", "second", "index", "view")}
    one["video"] = one["video"][..., :height, :width]
    return one | {"clip": torch.zeros(int(mine.sum()), dtype=torch.int64), "truth": [batch["truth"][clip]]}


def action_task(plain: bool, **options: Any) -> ActionDetection:
    model = detector()
    if plain:
        torch.manual_seed(0)
        backbone = SlowFast(layers=(1, 1, 1, 1), base_width=8, beta_inv=4)
        model = ActionDetector(backbone, LinearRoIHead(backbone.widths, num_classes=len(CLASSES)), FRAMES)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)  # the last norms of blocks are 0 at first
    task = ActionDetection(model.eval(), **options).eval()
    task.frame_map["test"] = FrameMAP(CLASSES)
    return task


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "interaction"])
def test_answers_about_actors_are_what_the_detector_says_of_them_in_any_batch(plain: bool) -> None:
    task, batch = action_task(plain), key_frames([2, 0, 1])
    batch["video"] = torch.nn.functional.pad(batch["video"], (0, 16, 0, 16))  # filled up, right and below
    with torch.no_grad():
        expected = task._forward(batch, task.mask_draws.of_evaluation(batch))["logits"]
    before, found = state_of(task), task.explainables(batch)
    assert torch.allclose(torch.stack([each.output for each in found]), expected, atol=1e-5)
    assert [(each.name, each.key, each.subject) for each in found] == [
        ("video0", (0, 0), "actor 0"), ("video0", (0, 0), "actor 1"), ("video2", (2, 0), "actor 0")
    ]  # fmt: skip
    assert found[0].classes == ("stand", "sit", "talk to")
    single = task.explainables(alone(batch, 2))
    maps = [evidence_of(task, each.video, 1, run=each.run).maps for each in (found[2], single[0])]
    for path in ("slow", "fast"):
        assert torch.allclose(maps[0][path], maps[1][path], atol=1e-5) and maps[0][path].abs().max() > 0
    for numbers in (found[2].beside(1).numbers, single[0].beside(1).numbers):
        assert numbers == pytest.approx(found[2].beside(1).numbers, abs=1e-5, nan_ok=True)
    assert same(state_of(task), before)


def test_versions_of_a_clip_are_judged_each_by_itself_and_next_to_the_same_actors() -> None:
    task = action_task(plain=False, masks="average", mask_draws=2)
    answer = task.explainables(key_frames([3]))[1]
    versions = torch.cat([answer.video, torch.zeros_like(answer.video), answer.video])
    with torch.no_grad():
        found = answer.run(versions)
    assert torch.allclose(found[[0, 2]], answer.output.expand(2, -1), atol=1e-5)
    assert not torch.allclose(found[1], answer.output, atol=1e-3)


def test_evidence_of_actors_is_complete_or_said_to_be_approximate_and_its_share_in_the_box_is_one() -> None:
    for plain in (True, False):
        answer = action_task(plain).explainables(key_frames([2]))[0]
        picture = answer.beside(2).pictures["pathways"]
        assert set(picture["maps"]) == {"slow", "fast"}
        assert (picture["error"] is not None) == plain and (not plain or picture["error"] < COMPLETE)
        assert all(math.isnan(share) or 0 <= share <= 1 for share in picture["inside"].values())
        assert sum(picture["shares"].values()) == pytest.approx(1)
        assert picture["frame"].shape == (32, 48, 3)


@pytest.mark.parametrize("side", [32, 40])
def test_all_evidence_is_in_a_box_around_everything_and_half_of_an_even_map_in_half_of_the_clip(side: int) -> None:
    task, batch = action_task(plain=True), key_frames([2])
    batch["video"], batch["size"] = batch["video"].new_ones(1, 3, FRAMES, side, 48), torch.tensor([[side, 48]])
    batch["rois"] = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.1, 0.1]])
    inside = [answer.beside(2).pictures["pathways"]["inside"] for answer in task.explainables(batch)]
    for path in ("slow", "fast"):
        assert inside[0][path] == pytest.approx(1)
        assert math.isnan(inside[1][path]) or inside[1][path] < 0.2
    evidence = Evidence({"slow": torch.ones(1, 2, 2, 2)}, torch.zeros(1), torch.ones(1), (8, 32, 32), "tube")
    clip, half = torch.tensor([0.0, 0.0, 1.0, 0.75]), torch.tensor([0.0, 0.0, 0.5, 0.75])
    assert shares_inside(evidence, half, clip)["slow"].item() == pytest.approx(0.5)
    above = torch.tensor([0.0, 0.0, 1.0, 0.5])  # what is below it fills the clip up
    assert shares_inside(evidence, above, above)["slow"].item() == pytest.approx(0.5)


@pytest.mark.parametrize("masks", ["random", "upstream"])
def test_chance_plays_no_part_in_an_explanation(masks: str) -> None:
    task, batch = action_task(plain=False, masks=masks), key_frames([2])
    stream = task.mask_draws._stream.getstate()
    first, second = (torch.stack([each.output for each in task.explainables(batch)]) for _ in range(2))
    assert torch.equal(first, second) and task.mask_draws._stream.getstate() == stream


def test_what_is_true_of_an_actor_is_that_of_the_annotated_box_it_finds() -> None:
    batch = key_frames([2])
    batch["boxes"][1] = torch.tensor([0.0, 0.0, 0.01, 0.01])
    boxes, labels = batch["truth"][0]
    answers = action_task(plain=True).explainables(batch | {"targets": torch.zeros(2, 3), "truth": [(boxes, labels)]})
    assert [each.truth for each in answers] == [tuple(labels[0].nonzero().flatten().tolist()), None]


def face_tracks(**settings: Any) -> dict:
    batch = tracks(frames=6, **settings)
    batch["valid"][0, 2] = False  # a gap
    batch["length"][1] = 4
    batch["valid"][1, 4:] = False
    batch["faces"] = batch["faces"] * batch["valid"][:, :, None, None]
    count = len(batch["faces"])
    return batch | {
        "name": [f"video{row}" for row in range(count)],
        "entity": [f"face{row}" for row in range(count)],
        "index": torch.arange(count),
        "frames": torch.arange(6).repeat(count, 1),
        "target": (torch.arange(6) % 2).repeat(count, 1),
    }


def speaker_model(kind: str) -> torch.nn.Module:
    if kind.startswith("talknet"):
        return small(**{"context": "scene"} if kind == "talknet of a scene" else {})
    torch.manual_seed(0)
    return {"light": LightASD, "lr": LRASD}[kind](widths=(4, 8, 8), face_size=32).eval()


def speakers(kind: str = "talknet") -> ActiveSpeaker:
    return ActiveSpeaker(speaker_model(kind)).eval()


@pytest.mark.parametrize("kind", ["talknet", "talknet of a scene", "light", "lr"])
def test_faces_are_explained_in_every_frame_alike_alone_and_in_a_batch(kind: str) -> None:
    task, batch = speakers(kind), face_tracks()
    batch["scene"] = torch.tensor([0, 1, 0])  # faces of one scene are of the same frames
    before, found = state_of(task), task.explainables(batch)
    with torch.no_grad():
        logits = task._forward(batch)["logits"]
    for row, answer in enumerate(found):
        assert answer.video.shape == (1, 1, int(batch["length"][row]), 32, 32)
        margin = (logits[row, :, 1] - logits[row, :, 0])[batch["valid"][row]].mean()
        assert answer.output[1] - answer.output[0] == pytest.approx(float(margin), abs=1e-4)
        options = {"method": "grad_cam", "temporal_weights": "per_frame"}
        maps = evidence_of(task, answer.video, 1, run=answer.run, **options).maps["faces"]
        assert maps.shape[:2] == answer.video.shape[:1] + answer.video.shape[2:3]
        assert maps[0, 1].abs().max() > 0
    assert len(found[0].beside(1).curves["sound"]) == 6
    assert same(state_of(task), before)
    if kind != "talknet of a scene":
        [single] = task.explainables(rows_of(batch, torch.tensor([1])))
        pair = [each.beside(1) for each in (single, found[1])]
        assert pair[0].numbers == pytest.approx(pair[1].numbers, abs=1e-3)
        pictures = [torch.tensor(each.pictures["face"]["maps"]) for each in pair]
        assert torch.allclose(*pictures, atol=1e-4)


@pytest.mark.parametrize("method", [None, "grad_cam"])
def test_a_face_is_nowhere_in_frames_without_one(method: str | None) -> None:
    task = speakers()
    answer = task.explainables(face_tracks())[0]
    maps = evidence_of(task, answer.video, 1, method, run=answer.run).total()[0]
    assert (maps[2] == 0).all() and all((maps[frame] != 0).any() for frame in (0, 1, 3, 4, 5))
    assert answer.regions[2].isnan().all() and answer.regions[0].tolist() == [[0.0, 16.0, 32.0, 32.0]]


class Adder(torch.nn.Module):
    """Says of each frame three times the mean of its sound less the mean of its face, as fractions of 255."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = torch.nn.Identity()
        self.weight = torch.nn.Parameter(torch.tensor(3.0))

    def saliency_spec(self) -> SaliencySpec:
        return SaliencySpec({"faces": "maps"})

    def forward(self, faces: Tensor, audio: Tensor, **where: Tensor) -> dict[str, Tensor]:
        seen = self.maps(faces.unsqueeze(1) / 255).mean((1, 3, 4))
        heard = audio.unflatten(1, (-1, 4)).mean((2, 3))
        margin = self.weight * heard - seen
        return {"logits": torch.stack([-margin, margin], -1) / 2}


def test_the_share_of_the_sound_of_a_linear_model_is_known() -> None:
    batch = face_tracks()
    batch["faces"] = torch.full_like(batch["faces"], 255)
    batch["audio"] = torch.ones_like(batch["audio"])
    batch["audio"][0, 4 * 2 : 4 * 3] = 9  # where there is no face
    for answer in ActiveSpeaker(Adder()).eval().explainables(batch):
        for explained, sign in ((0, -1), (1, 1)):
            beside = answer.beside(explained)
            numbers, heard = beside.numbers, beside.pictures["face"]["heard"]
            assert (sign * heard >= 0).all() and sign * heard.sum() == pytest.approx(3)
            assert numbers["share of the sound, gradient x input"] == pytest.approx(0.75, abs=1e-5)
            assert numbers["share of the sound, by blanking"] == pytest.approx(0.75, abs=1e-5)


def pretraining(kind: str) -> tuple[MaskedPretraining, dict]:
    made = [each | {"seconds": torch.arange(4).double()} for each in clips(3)]
    batch = torch.utils.data.default_collate(made)
    return MaskedPretraining(make_model(kind)).eval(), batch | {"mean": MEAN, "std": STD}


@pytest.mark.parametrize("kind", ["videomae", "focusmae"])
def test_tokens_are_shown_as_in_evaluation_and_do_not_depend_on_the_batch(kind: str) -> None:
    task, batch = pretraining(kind)
    before, found = state_of(task), task.explainables(batch)
    with torch.no_grad():
        drawn = task.draw(batch)
    for row, answer in enumerate(found):
        beside = answer.beside(None)
        picture = beside.pictures["tokens"]
        assert torch.equal(torch.tensor(picture["shown"]).flatten(), ~drawn["hidden"][row])
        assert picture["features"].shape == (*task.model.grid, 3)
        for title, found_map in beside.maps.items():  # shares that are one together
            assert title == "shown" or (2.0**found_map).mean() == pytest.approx(1, abs=1e-4)
        assert ("probability to be shown" in beside.maps) == (kind == "focusmae")
    one = {key: each[2:] if key not in ("mean", "std") else each for key, each in batch.items()}
    pair = [each.beside(None).pictures["tokens"] for each in (found[2], task.explainables(one)[0])]
    assert torch.allclose(*(torch.tensor(each["features"]) for each in pair), atol=1e-4)
    for title, values in pair[0]["maps"].items():
        assert torch.allclose(torch.tensor(values), torch.tensor(pair[1]["maps"][title]), atol=1e-4)
    assert same(state_of(task), before)


def test_a_direction_among_the_features_of_an_encoder_has_exact_evidence() -> None:
    task, batch = pretraining("focusmae")
    answer = task.explainables(batch)[0]
    direction = torch.randn(24, generator=torch.Generator().manual_seed(0))
    evidence = evidence_of(task, answer.video, direction, "tube", run=answer.run)
    assert evidence.exact and evidence.completeness_error().max() < COMPLETE


@pytest.mark.parametrize("kind", list(DETECTORS))
def test_rows_of_a_video_add_up_to_its_logit_alone_and_in_a_batch(kind: str) -> None:
    torch.manual_seed(0)
    task, samples = AnomalyDetection(DETECTORS[kind]()), videos(3)  # in training, which must not matter
    before, found = state_of(task), task.explainables(collate(samples))
    single = [task.explainables(collate([each]))[0] for each in samples]
    for sample, *pair in zip(samples, found, single, strict=True):
        for answer in pair:
            beside = answer.beside(0)
            picture = beside.pictures["rows"]
            assert picture["evidence"].mean() == pytest.approx(float(answer.output), abs=COMPLETE)
            assert beside.numbers["completeness error"] < COMPLETE
            assert (picture["evidence"][~picture["chosen"]] == 0).all() and picture["chosen"].any()
            assert len(picture["scores"]) == len(picture["labels"]) == sample["num_frames"]
        assert pair[0].output == pytest.approx(float(pair[1].output), abs=1e-4)
        assert answer.truth == ((0,) if sample["label"] else ())
    assert same(state_of(task), before)


def test_answers_outlive_their_batch() -> None:
    task, batch = action_task(plain=True), key_frames([1])
    [answer] = task.explainables(batch)
    expected = answer.beside(0).numbers
    for each in batch.values():
        if isinstance(each, Tensor):
            each.zero_()
    assert isinstance(answer, Explainable) and answer.beside(0).numbers == pytest.approx(expected, nan_ok=True)


def test_a_batch_of_inference_is_explained_as_well() -> None:
    for task, make in ((action_task(plain=False), lambda: key_frames([2])), (speakers(), face_tracks)):
        with torch.inference_mode():
            batch = {key: each.clone() if isinstance(each, Tensor) else each for key, each in make().items()}
        answer, expected = (task.explainables(each)[0] for each in (batch, make()))
        assert answer.beside(1).numbers == pytest.approx(expected.beside(1).numbers, nan_ok=True)
