"""Active speakers: every frame counts the same, whoever computes it; faces are known by video, entity and frame."""

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from tasks.active_speaker import ActiveSpeaker
from tests.conftest import REPOSITORY
from tests.tasks.speaker_batches import LEARNING_RATE, LENGTHS, Tracks, batch_of, batches, model, train
from tests.tasks.steps import assert_close

OPTIONS = {"class_weights": (1, 4), "voice_weight": 0.5}


def trainer(epochs: int = 1, **options: object) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(accelerator="cpu", devices=1, max_epochs=epochs, enable_checkpointing=False, **quiet, **options)


def sgd(groups: list[dict]) -> SGD:
    return SGD(groups, lr=LEARNING_RATE)


def parts(network: torch.nn.Module, batch: dict) -> tuple[Tensor, Tensor]:
    """Weighted losses of all frames that count and their weights, by a loop over frames."""
    output, losses, weights = network(batch["faces"], batch["audio"]), [], []
    for row, frame in batch["valid"].nonzero().tolist() + (~batch["valid"]).nonzero().tolist():
        at = {name: each[row, frame] for name, each in output.items()}
        if batch["valid"][row, frame]:
            label, factors = batch["target"][row, frame], {"logits": 1, "audio_logits": 0.4, "video_logits": 0.4}
            weight = 4 if label == 1 else 1
        else:
            label, factors, weight = batch["voice"][row, frame], {"audio_logits": 1}, 0.5
        if label >= 0:
            losses.append(weight * sum(factor * cross_entropy(at[name], label) for name, factor in factors.items()))
            weights.append(weight)
    nothing = sum(each.sum() for each in output.values()) * 0
    return sum(losses, nothing), torch.tensor(weights, dtype=torch.float32).sum()


# The loss of a step ---------------------------------------------------------------------------------------------------


def test_a_step_follows_the_mean_over_all_frames_of_its_batches() -> None:
    network, given = model(), batches()
    optimizer = SGD(network.parameters(), lr=LEARNING_RATE)
    for number in range(0, len(LENGTHS), 2):
        losses, weights = zip(*(parts(network, batch) for batch in given[number : number + 2]), strict=True)
        optimizer.zero_grad()
        (sum(losses) / max(sum(weights), 1)).backward()
        optimizer.step()
    assert_close(train(devices=1, accumulate=2, **OPTIONS), network.state_dict())


def test_two_processes_with_tracks_of_unequal_lengths_take_the_same_steps_as_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.tasks.speaker_batches", str(tmp_path / "weights.pt")]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=240, capture_output=True)
    assert_close(torch.load(tmp_path / "weights.pt", weights_only=True), train(devices=1, accumulate=2, **OPTIONS))


def loss_of(batch: dict, **options: object) -> float:
    task = ActiveSpeaker(model(), **options)
    losses, weights = task.frame_losses(batch, task._forward(batch))
    return (losses.sum() / weights.sum()).item()


def test_a_frame_counts_only_if_a_face_is_there_and_its_target_is_known() -> None:
    batch, other = batch_of([9, 6]), batch_of([9, 6])
    unknown = (batch["target"] < 0) | ~batch["valid"]
    assert unknown.any() and (batch["target"] < 0)[batch["valid"]].any()
    other["faces"] = torch.where(unknown[:, :, None, None], 255 - batch["faces"], batch["faces"])
    other["target"] = batch["target"].masked_fill(~batch["valid"], 1)
    assert loss_of(other) == loss_of(batch)


def test_interpolated_boxes_count_unless_they_are_left_out() -> None:
    batch = batch_of([9, 6])
    filled = batch["valid"] & ~batch["annotated"] & (batch["target"] >= 0)
    assert filled.any()
    without = batch | {"target": batch["target"].masked_fill(filled, -1)}
    assert loss_of(batch, loss_on_interpolated=False) == loss_of(without) != loss_of(batch)


def test_every_head_has_a_gradient_though_its_loss_does_not_count() -> None:
    task, batch = ActiveSpeaker(model(), audio_weight=0, video_weight=0), batch_of([9, 6])
    losses, _ = task.frame_losses(batch, task._forward(batch))
    losses.sum().backward()
    assert all(each.grad is not None for each in task.model.parameters())


def test_frames_without_a_face_train_what_is_heard_and_nothing_else() -> None:
    task, batch = ActiveSpeaker(model(), voice_weight=1.0), batch_of([9, 6])
    batch["target"] = torch.full_like(batch["target"], -1)
    losses, weights = task.frame_losses(batch, task._forward(batch))
    losses.sum().backward()
    assert weights.sum() == ((batch["voice"] >= 0) & ~batch["valid"]).sum() > 0
    moved = {name for name, each in task.model.named_parameters() if each.grad is not None and each.grad.any()}
    assert moved == {"audio.weight", "audio.bias"}


def test_the_loss_of_training_is_that_of_logits_at_the_temperature_of_the_epoch() -> None:
    logged = []

    class Listening(ActiveSpeaker):
        def log(self, name: str, value: object, **options: object) -> None:
            if name == "train/loss":
                logged.append(float(value))
            super().log(name, value, **options)

    task, batch = Listening(model(), lambda groups: SGD(groups, lr=0.0), temperature=2.0, cooling=0.5), batch_of([9, 6])
    losses, weights = task.frame_losses(batch, {name: each / 1.5 for name, each in task._forward(batch).items()})
    trainer(epochs=2).fit(task, datamodule=Tracks([batch]))
    assert logged[1] == pytest.approx((losses.sum() / weights.sum()).item(), rel=1e-6) != logged[0]


def test_a_model_that_does_not_say_what_is_heard_cannot_learn_voices() -> None:
    task, batch = ActiveSpeaker(model(), voice_weight=1.0), batch_of([3])
    output = {name: each for name, each in task._forward(batch).items() if name != "audio_logits"}
    with pytest.raises(ValueError, match=r"task\.voice_weight=1: Levels does not say what is heard; set it to 0"):
        task.frame_losses(batch, output)


# What the model is given ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("without", ["audio", "video"])
def test_a_stream_that_is_left_out_reaches_nothing(without: str) -> None:
    task, given = ActiveSpeaker(model(), without=without), {}
    task.model.forward = lambda faces, audio, **where: given.update(where, faces=faces, audio=audio)
    task._forward(batch_of([4, 2]))
    kept = {"audio": ("faces", "boxes"), "video": ("audio",)}[without]
    assert {name for name in ("faces", "audio", "boxes") if given[name].any()} == set(kept)


def test_positions_grow_over_the_first_epochs_and_are_kept_in_checkpoints() -> None:
    seen = []

    class Listening(ActiveSpeaker):
        def training_step(self, batch: dict, batch_idx: int) -> Tensor:
            seen.append(self.model.rope_scale)
            return super().training_step(batch, batch_idx)

    task = Listening(model(positions=True), sgd, rope_warmup_epochs=4)
    trainer(epochs=3).fit(task, datamodule=Tracks([batch_of([4, 2])]))
    assert seen == [0.0, 0.25, 0.5]
    other = ActiveSpeaker(model(positions=True))
    other.load_state_dict(task.state_dict())
    assert other.model.rope_scale == 0.5 and task.model.state_dict().keys() == model().state_dict().keys()


def test_positions_count_in_full_without_a_warm_up() -> None:
    task = ActiveSpeaker(model(positions=True), sgd)
    trainer().fit(task, datamodule=Tracks([batch_of([4, 2])]))
    assert task.model.rope_scale == 1.0


# Evaluation and prediction --------------------------------------------------------------------------------------------


def test_a_detector_that_knows_the_labels_has_an_ap_of_1_and_one_that_turns_them_round_has_not() -> None:
    given, found = batches(), {}
    for sign in (1, -1):
        task = ActiveSpeaker(model())
        task._forward = lambda batch, sign=sign: {
            f"{name}logits": sign * (10.0 * torch.stack([1 - batch["target"], batch["target"]], 2) - 5)
            for name in ("", "audio_", "video_")
        }
        [found[sign]] = trainer().validate(task, datamodule=Tracks(given), verbose=False)
    assert {found[1][f"val/{name}"] for name in ("ap", "map50", "accuracy", "ap_audio", "ap_video")} == {1.0}
    assert found[-1]["val/ap"] < 0.8 and found[-1]["val/accuracy"] == 0
    assert found[1]["val/loss"] < 0.01 < 4 < found[-1]["val/loss"]
    assert {"val/ap_1_face", "val/ap_2_faces", "val/ap_small", "val/ap_medium", "val/ap_large"} <= found[1].keys()


def test_an_evaluation_says_what_a_loop_over_its_batches_says() -> None:
    task, given = ActiveSpeaker(model(), **OPTIONS), batches()
    [found] = trainer().test(task, datamodule=Tracks(given), verbose=False)
    losses, weights = zip(*(parts(task.model, batch) for batch in given), strict=True)
    assert found["test/loss"] == pytest.approx((sum(losses) / sum(weights)).item(), rel=1e-5)
    right = []
    for batch in given:
        said = task.scores(task._forward(batch)["logits"]) > 0
        right += (said == (batch["target"] == 1))[batch["annotated"] & (batch["target"] >= 0)].tolist()
    hits, total = sum(right), len(right)
    assert found["test/accuracy"] == pytest.approx(hits / total)


def test_a_prediction_has_the_frames_with_a_face_of_every_row() -> None:
    task, batch = ActiveSpeaker(model(), score="probability"), batch_of([9, 0, 4])
    [[first, empty, last]] = trainer().predict(task, datamodule=Tracks([batch]))
    with torch.no_grad():
        score = task._forward(batch)["logits"].softmax(-1)[..., 1]
    assert (first["name"], last["entity"]) == ("video0", "face2")
    assert torch.equal(first["score"], score[0, batch["valid"][0]])
    assert first["frames"].tolist() == batch["valid"][0].nonzero().flatten().tolist()
    assert first["boxes"].shape == (len(first["frames"]), 4) and first["seconds"].dtype == torch.float64
    assert len(empty["score"]) == 0 and len(last["score"]) == batch["valid"][2].sum() > 0


def test_pieces_of_several_durations_depend_on_the_row_alone_and_are_averaged() -> None:
    class Mean(torch.nn.Module):
        """Says of every frame of a piece how loud the piece is."""

        def forward(self, faces: Tensor, audio: Tensor, **where: Tensor) -> dict[str, Tensor]:
            loud = audio[..., 0].mean(1, keepdim=True).expand(faces.shape[:2])
            return {"logits": torch.stack([torch.zeros_like(loud), loud], 2)}

    both, alone = batch_of([53, 30]), batch_of([53, 30])
    alone = {key: each[1:] for key, each in alone.items()}
    alone |= {key: each[:, :30] for key, each in alone.items() if isinstance(each, Tensor) and each.ndim > 1
              and key not in ("frame_size", "audio")}  # fmt: skip
    alone["audio"] = alone["audio"][:, :120]
    task = ActiveSpeaker(Mean(), durations=(1, 2), duration_weights=(3, 1))
    [rows], [[row]] = (trainer().predict(task, datamodule=Tracks([batch])) for batch in (both, alone))
    assert torch.equal(rows[1]["score"], row["score"])
    sound = both["audio"][0, :, 0]
    second, whole = sound[100:212].mean(), sound[:212].mean()  # 53 frames: 25 and 28; the last 3 are too few
    last = rows[0]["score"][rows[0]["frames"] >= 50]
    assert torch.allclose(last, (3 * second + whole) / 4) and len(last)


def test_without_a_known_target_there_is_nothing_to_learn_and_no_number() -> None:
    batch = batch_of([4, 2])
    batch["target"] = torch.full_like(batch["target"], -1)
    task = ActiveSpeaker(model(), sgd)
    before = {name: each.clone() for name, each in task.model.state_dict().items()}
    trainer(limit_val_batches=0).fit(task, datamodule=Tracks([batch]))
    assert_close(task.model.state_dict(), before)
    [found] = trainer().validate(task, datamodule=Tracks([batch]), verbose=False)
    assert math.isnan(found["val/ap"]) and math.isnan(found["val/map50"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"audio_weight": -1}, r"task\.audio_weight: expected 0 or more, found -1"),
        ({"temperature": 0}, r"task\.temperature: expected more than 0, found 0"),
        ({"class_weights": (1,)}, r"task\.class_weights: expected two numbers above 0, found \[1\]"),
        ({"without": "both"}, r"task\.without: expected null, audio or video, found 'both'"),
        ({"durations": (1, 0)}, r"task\.durations: expected seconds above 0, found \[1, 0\]"),
        ({"durations": (1, 2)}, r"task\.duration_weights: expected 2 numbers from 0 on, .*, found \[\]"),
        ({"score": "logit"}, r"task\.score: expected one of margin, .*, found 'logit'"),
        ({"rope_warmup_epochs": 2}, r"task\.rope_warmup_epochs=2: Levels has no positions to warm up"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ActiveSpeaker(model(), **options)


def test_weights_that_were_trained_on_other_faces_or_sounds_are_named(caplog: pytest.LogCaptureFixture) -> None:
    task = ActiveSpeaker(model())
    task.trainer = trainer()
    task.trainer.datamodule = SimpleNamespace(hparams={"crop": "ava", "hop": "exact"})
    task.on_load_checkpoint({"config": {"datamodule": {"crop": "talkset", "hop": "exact", "audio_level": "int16"}}})
    [said] = [each.getMessage() for each in caplog.records if each.name == "tasks.active_speaker"]
    assert said.startswith("datamodule.crop=ava: these weights were trained with talkset")
