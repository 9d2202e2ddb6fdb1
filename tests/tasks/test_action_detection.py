"""Action detection: every actor counts the same, whoever computes it; views are fused by who somebody is."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule, Trainer
from torch.optim import SGD
from torch.utils.data import DataLoader

from models.action_losses import action_losses
from tasks.action_detection import ActionDetection
from tasks.key_frames import fuse_views
from tasks.mask_draws import MaskDraws
from tests.conftest import REPOSITORY
from tests.tasks.action_batches import CLASSES, COUNTS, LEARNING_RATE, KeyFrames, batch_of, detector, train
from tests.tasks.steps import assert_close

NUM_POSE = 2


def trainer(**options: object) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(accelerator="cpu", devices=1, max_epochs=1, enable_checkpointing=False, **quiet, **options)


class OneBatch:
    """A data set of as many key frames as a batch has, which come all at once."""

    def __init__(self, batch: dict) -> None:
        self.batch, self.num_clips = batch, len(batch["index"].unique())

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict:
        return self.batch


class Evaluated(LightningDataModule):
    """Gives one batch of evaluation."""

    classes = CLASSES
    mean, std = KeyFrames.mean, KeyFrames.std

    def __init__(self, batch: dict) -> None:
        super().__init__()
        self.batch = batch

    def val_dataloader(self) -> DataLoader:
        return DataLoader(OneBatch(self.batch), batch_size=None)


def evaluated(task: ActionDetection, batch: dict) -> dict[str, float]:
    [found] = trainer().validate(task, datamodule=Evaluated(batch), verbose=False)
    return found


# The loss of a step ---------------------------------------------------------------------------------------------------


def test_a_step_follows_the_mean_over_all_actors_of_its_batches() -> None:
    model, draws = detector(), MaskDraws(detector().head)
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)
    for number in range(0, len(COUNTS), 2):
        losses = []
        for place in (number, number + 1):
            batch = batch_of(COUNTS[place], first=2 * place)
            output = model(
                *(batch[key] for key in ("video", "rois", "clip", "size")), **draws.of_training(batch, epoch=0)
            )
            losses.append(action_losses(output["logits"], batch["targets"], NUM_POSE))
        losses = torch.cat(losses)
        optimizer.zero_grad()
        (losses.mean() if len(losses) else losses.sum()).backward()
        optimizer.step()
    assert_close(train(devices=1, accumulate=2), model.state_dict())


def test_two_processes_take_the_same_steps_as_one_with_one_or_both_without_actors(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.tasks.action_batches", str(tmp_path / "weights.pt")]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=240, capture_output=True)
    assert_close(torch.load(tmp_path / "weights.pt", weights_only=True), train(devices=1, accumulate=2))


def test_the_loss_that_is_logged_is_the_mean_over_all_actors_of_the_step() -> None:
    logged = []

    class Listening(ActionDetection):
        def log(self, name: str, value: object, **options: object) -> None:
            logged.append((name, float(value)))
            super().log(name, value, **options)

    model, batches = detector(), [batch_of([3, 0]), batch_of([1, 4], first=2)]
    draws = MaskDraws(model.head)
    with torch.no_grad():
        outputs = [
            model(*(batch[key] for key in ("video", "rois", "clip", "size")), **draws.of_training(batch, epoch=0))
            for batch in batches
        ]
    losses = [
        action_losses(output["logits"], batch["targets"], NUM_POSE)
        for output, batch in zip(outputs, batches, strict=True)
    ]
    task = Listening(model, lambda groups: SGD(groups, lr=LEARNING_RATE))
    trainer(accumulate_grad_batches=2).fit(task, datamodule=KeyFrames(batches))
    assert logged == [("train/loss", pytest.approx(torch.cat(losses).mean().item(), rel=1e-5))]


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_views_are_averaged_by_identity_also_when_one_lacks_an_actor() -> None:
    batch = batch_of([2, 1], views=2)  # clips: two views of the first key frame, two of the second
    keep = torch.tensor([True, True, False, True, True, True])  # the second view lacks the first actor
    for key in ("clip", "rois", "actor", "boxes", "scores", "targets"):
        batch[key] = batch[key][keep]
    logits = torch.arange(15.0).view(5, 3)
    first, second = fuse_views(batch, logits)
    assert first.logits.tolist() == [[0, 1, 2], [(3 + 6) / 2, (4 + 7) / 2, (5 + 8) / 2]]
    assert second.logits.tolist() == [[(9 + 12) / 2, (10 + 13) / 2, (11 + 14) / 2]]
    assert torch.equal(first.boxes, batch["truth"][0][0]) and torch.equal(second.boxes, batch["truth"][2][0])
    assert (first.index, second.index, second.name) == (0, 1, "video1")


def test_a_key_frame_without_actors_is_a_key_frame() -> None:
    [empty] = fuse_views(batch_of([0]), torch.zeros(0, 3))
    assert empty.boxes.shape == (0, 4) and empty.logits.shape == (0, 3)


def test_a_detector_that_knows_the_labels_has_a_map_of_1_and_one_that_turns_them_round_has_not() -> None:
    batch = batch_of([3, 4, 2])
    found = {}
    for sign in (1, -1):
        task = ActionDetection(detector(), pose_softmax=False)
        task.model.forward = lambda *_, sign=sign, **__: {"logits": sign * (10 * batch["targets"] - 5)}
        found[sign] = evaluated(task, batch)
    assert found[1]["val/map"] == pytest.approx(1) and found[-1]["val/map"] < 0.7
    assert found[1]["val/loss"] < 0.01 < 4 < found[-1]["val/loss"]
    assert {"val/map_pose", "val/map_person"} <= found[1].keys()


def test_masks_of_evaluation_follow_the_key_frame_and_not_its_batch() -> None:
    model = detector().eval()
    both, alone = batch_of([2, 3]), batch_of([2, 3])
    second = alone["clip"] == 1
    for key in ("clip", "rois", "actor", "boxes", "scores", "targets"):
        alone[key] = alone[key][second]
    alone["clip"] = alone["clip"] - 1
    for key in ("video", "size", "name", "second", "index", "view", "truth"):
        alone[key] = alone[key][1:]
    for masks in ("seeded", "average", "none"):
        task = ActionDetection(model, masks=masks)
        with torch.no_grad():
            assert torch.allclose(task.detect(both)[1].logits, task.detect(alone)[0].logits, atol=1e-5), masks


def test_masks_matter_and_are_the_same_each_time_unless_they_are_random() -> None:
    batch, found = batch_of([3, 2]), {}
    for masks in ("seeded", "average", "none", "random", "upstream"):
        task = ActionDetection(detector().eval(), masks=masks)
        with torch.no_grad():
            found[masks], again = (torch.cat([each.logits for each in task.detect(batch)]) for _ in range(2))
        assert torch.equal(found[masks], again) == (masks not in ("random", "upstream")), masks
    assert not torch.equal(found["seeded"], found["none"]) and not torch.equal(found["seeded"], found["average"])


# What is refused ------------------------------------------------------------------------------------------------------


def test_another_number_of_classes_is_refused_with_the_value_to_set() -> None:
    task = ActionDetection(detector(num_classes=7), lambda groups: SGD(groups, lr=LEARNING_RATE))
    with pytest.raises(ValueError, match=r"model\.head\.num_classes=7: the data has 3 classes; set .*num_classes=3"):
        trainer().fit(task, datamodule=KeyFrames([batch_of([1])]))


def test_poses_that_are_not_the_first_classes_are_refused() -> None:
    data = KeyFrames([batch_of([1])])
    data.classes = CLASSES[::-1]
    task = ActionDetection(detector(), lambda groups: SGD(groups, lr=LEARNING_RATE))
    with pytest.raises(ValueError, match=r"pose are not the first .* task\.pose_softmax=false"):
        trainer().fit(task, datamodule=data)


def test_unknown_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.masks: expected one of seeded, .*, found 'some'"):
        ActionDetection(detector(), masks="some")


def test_pixels_that_were_normalised_for_other_weights_are_refused() -> None:
    data = KeyFrames([batch_of([1])])
    data.std = torch.ones(3)
    task = ActionDetection(detector(), lambda groups: SGD(groups, lr=LEARNING_RATE))
    with pytest.raises(ValueError, match=r"datamodule\.normalization=None: a std of .* model\.backbone were trained"):
        trainer().fit(task, datamodule=data)
