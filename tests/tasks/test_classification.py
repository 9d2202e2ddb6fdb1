"""Classification: soft targets, what is trained, what is measured of several views, what is refused."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningDataModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from datamodules.normalization import statistics
from metrics.video_classes import VideoClasses
from models.vit import VisionTransformer
from tasks.classification import Classification, last_linear, soft_cross_entropy
from tasks.mixing import Mixing

SIZES: dict[str, Any] = {"num_frames": 4, "image_size": 16, "patch_size": 8, "dim": 24, "depth": 3, "num_heads": 2}
SHAPE = (3, 4, 16, 16)


class Brightness(nn.Module):
    """Takes the mean of each colour for a logit; the batch norm is there to have statistics."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, affine=False)
        self.drop = nn.Dropout(0.5)
        self.first = nn.Linear(3, 3)
        self.head = nn.Linear(3, classes, bias=False)
        with torch.no_grad():
            for layer in (self.first, self.head):
                layer.weight.copy_(torch.eye(layer.out_features, 3))
            self.first.bias.zero_()

    def forward(self, video: Tensor) -> Tensor:
        features = self.norm(video.mean((2, 3, 4)))
        return self.head(self.drop(self.first(features)))


def clips(videos: int, classes: int, rows: int = 1, views: int = 1, seed: int = 0) -> list[dict]:
    """Clips in which the colour of their class is brighter, ``rows`` x ``views`` of each video."""
    generator, made = torch.Generator().manual_seed(seed), []
    for index in range(videos * rows * views):
        video, label = index // (rows * views), index // (rows * views) % classes
        clip = torch.randn(SHAPE, generator=generator)
        clip[label % 3] += 1.0
        numbers = {"row": index // views % rows, "rows": rows, "view": index % views, "views": views}
        made.append(
            {
                "video": clip,
                "name": f"v{video}",
                "frames": torch.arange(4),
                "index": index,
                "class_id": label,
                **numbers,
            }
        )
    return made


def loader(samples: list[dict], batch_size: int = 4) -> DataLoader:
    return DataLoader(samples, batch_size=batch_size)


def make_trainer(folder: Path, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(accelerator="cpu", devices=1, default_root_dir=folder, num_sanity_val_steps=0, **quiet, **options)


def batch_of(samples: list[dict]) -> dict:
    return torch.utils.data.default_collate(samples)


@pytest.mark.parametrize("rule", ["mean_prob", "any", "fraction"])
@pytest.mark.parametrize(("stage", "prefix"), [("validate", "val"), ("test", "test")])
def test_views_of_a_video_are_fused_and_every_number_has_its_name(
    stage: str, prefix: str, rule: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, samples = Brightness(2), clips(6, 2, rows=2, views=3)
    model.norm.running_mean.fill_(0.1)
    found = getattr(make_trainer(tmp_path), stage)(
        Classification(model, video_rule=rule, rule_fraction=0.4), loader(samples, 5), verbose=False
    )[0]
    batch = batch_of(samples)
    logits = model.eval()(batch["video"]).detach()
    metric = VideoClasses(2, rule, 0.4)
    metric.expect(36)
    metric.update(batch["index"], torch.arange(36) // 6, logits.softmax(1), batch["class_id"])
    expected = {f"{prefix}/{name}": float(value) for name, value in metric.compute().items()}
    expected[f"{prefix}/loss"] = float(F.cross_entropy(logits, batch["class_id"]))
    assert found == pytest.approx(expected, rel=1e-5)
    assert found.keys() == {
        f"{prefix}/{name}" for name in ("loss", "acc", "balanced_acc", "sensitivity", "specificity", "auc")
    }


def test_an_evaluation_does_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, samples = VisionTransformer(**SIZES, num_classes=3, head_init_scale=1.0), clips(7, 3, rows=2)
    task = Classification(model, num_classes=3)
    once, thrice = (make_trainer(tmp_path).validate(task, loader(samples, size), verbose=False)[0] for size in (14, 3))
    assert once == pytest.approx(thrice, rel=1e-5)


def test_targets_are_smoothed_and_the_loss_is_that_of_torch() -> None:
    torch.manual_seed(0)
    video, label, logits = torch.randn(6, *SHAPE), torch.arange(6) % 3, torch.randn(6, 3)
    same, target = Mixing(3, label_smoothing=0.1)(video, label, torch.arange(6), 0)
    assert same is video
    expected = F.cross_entropy(logits, label, label_smoothing=0.1)
    torch.testing.assert_close(soft_cross_entropy(logits, target), expected)


def mixed(mixing: Mixing, epoch: int = 0, index: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Clips that show their own number everywhere, what became of them, and their targets."""
    video = torch.arange(6.0).view(-1, 1, 1, 1, 1).expand(-1, *SHAPE).contiguous()
    found, target = mixing(video, torch.arange(6), torch.arange(index, index + 6), epoch)
    assert torch.equal(video[:, 0, 0, 0, 0], torch.arange(6.0))  # the batch stays as it is
    assert found.shape == video.shape and torch.allclose(target.sum(1), torch.ones(6))
    return video, found, target


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_mixup_mixes_pixels_and_classes_alike(mode: str) -> None:
    _, found, target = mixed(Mixing(6, mixup=0.8, mode=mode))
    shares = target[torch.arange(6), torch.arange(6)]
    assert (shares < 1).any()
    other = torch.arange(5, -1, -1)
    expected = shares * torch.arange(6) + (1 - shares) * other
    torch.testing.assert_close(found[:, 1, 2, 3, 4], expected)
    assert torch.equal(found, found[:, :1, :1, :1, :1].expand_as(found))
    assert (len(shares.unique()) == 1) == (mode == "batch")


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_cutmix_cuts_the_same_rectangle_from_every_frame(mode: str) -> None:
    for epoch in range(4):
        video, found, target = mixed(Mixing(6, cutmix=1.0, mode=mode), epoch)
        foreign = found != video
        assert torch.equal(foreign, foreign[:, :1, :1].expand_as(foreign))  # in all colours and frames
        assert set(found[foreign].tolist()) <= set(range(6))
        shares = 1 - foreign[:, 0, 0].float().mean((1, 2))
        torch.testing.assert_close(target[torch.arange(6), torch.arange(6)], shares)
        rows, columns = foreign[:, 0, 0].any(2).sum(1), foreign[:, 0, 0].any(1).sum(1)
        assert torch.equal(rows * columns, foreign[:, 0, 0].sum((1, 2)))  # a rectangle


def test_what_is_mixed_is_a_function_of_the_samples_and_the_epoch() -> None:
    mixing = Mixing(6, mixup=0.8, cutmix=1.0, seed=3)
    first = mixed(mixing, 2, 10)[1]
    np.random.random(5)
    assert torch.equal(mixed(mixing, 2, 10)[1], first)
    others = [mixed(mixing, 3, 10)[1], mixed(mixing, 2, 11)[1], mixed(Mixing(6, 0.8, 1.0, seed=4), 2, 10)[1]]
    assert not any(torch.equal(other, first) for other in others)


def test_the_global_stream_goes_on_as_if_nothing_had_been_drawn() -> None:
    np.random.seed(0)
    expected = np.random.random(4)
    np.random.seed(0)
    found = [np.random.random()]
    mixed(Mixing(6, mixup=0.8))
    assert [*found, *np.random.random(3)] == expected.tolist()


def test_an_odd_batch_cannot_be_mixed() -> None:
    with pytest.raises(ValueError, match="expected an even number of clips in a batch, found 5"):
        Mixing(3, mixup=0.8)(torch.randn(5, *SHAPE), torch.zeros(5, dtype=torch.int64), torch.arange(5), 0)


def optimizer_of(task: Classification, tmp_path: Path) -> torch.optim.Optimizer:
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(task, loader(clips(4, 2)))
    return trainer.optimizers[0]


def test_learning_rates_fall_towards_the_input(tmp_path: Path) -> None:
    model = VisionTransformer(**SIZES, num_classes=2)
    task = Classification(model, partial(torch.optim.AdamW, lr=0.1), layer_decay=0.5)
    rates = {
        id(parameter): group["lr"]
        for group in optimizer_of(task, tmp_path).param_groups
        for parameter in group["params"]
    }
    of = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert of["head.weight"] == of["fc_norm.bias"] == 0.1
    assert [of[f"blocks.{i}.mlp.fc1.weight"] for i in (2, 1, 0)] == pytest.approx([0.05, 0.025, 0.0125])
    assert of["patch_embed.proj.weight"] == pytest.approx(0.00625)


def test_without_layer_decay_there_is_one_rate(tmp_path: Path) -> None:
    model = VisionTransformer(**SIZES, num_classes=2)
    groups = optimizer_of(Classification(model, partial(torch.optim.AdamW, lr=0.1)), tmp_path).param_groups
    assert {group["lr"] for group in groups} == {0.1} and {group["weight_decay"] for group in groups} == {0.0, 0.01}


def test_a_linear_probe_trains_the_last_linear_layer_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Brightness(2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = Classification(model, partial(torch.optim.SGD, lr=1.0), train="head")
    make_trainer(tmp_path, max_epochs=2).fit(task, loader(clips(8, 2)), loader(clips(4, 2)))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight"}  # and no statistics of batches either
    assert task.train().training and not model.training
    assert last_linear(VisionTransformer(**SIZES, num_classes=2)).out_features == 2


def test_all_of_the_model_is_trained_otherwise(tmp_path: Path) -> None:
    model = Brightness(2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = Classification(model, partial(torch.optim.SGD, lr=1.0))
    make_trainer(tmp_path, max_epochs=1).fit(task, loader(clips(8, 2)))
    unchanged = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])}
    assert unchanged == set()


def test_a_small_encoder_learns_with_everything_switched_on(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    model = VisionTransformer(**SIZES, num_classes=3, drop_path_rate=0.1)
    options = {"layer_decay": 0.75, "label_smoothing": 0.1, "mixup": 0.8, "cutmix": 1.0, "mix_mode": "pair"}
    task = Classification(model, partial(torch.optim.AdamW, lr=5e-3), num_classes=3, **options)
    trainer = make_trainer(tmp_path, max_epochs=12, check_val_every_n_epoch=12)
    trainer.fit(task, loader(clips(48, 3), 8), loader(clips(24, 3, seed=1), 8))
    assert trainer.callback_metrics["val/acc"] > 0.9


def test_a_prediction_is_of_clips_by_name(tmp_path: Path) -> None:
    samples, model = clips(3, 3, rows=2), Brightness()
    [first, *_] = make_trainer(tmp_path).predict(Classification(model, num_classes=3), loader(samples, 4))
    assert first["name"] == ["v0", "v0", "v1", "v1"] and first["row"].tolist() == [0, 1, 0, 1]
    expected = model.eval()(batch_of(samples[:4])["video"]).softmax(1)
    torch.testing.assert_close(first["scores"], expected)


class Named(LightningDataModule):
    """Clips whose classes have names.

    Args:
        classes: The names; None where the datamodule knows of none.
        normalization: Of the pixels.
    """

    def __init__(self, classes: list[str] | None, normalization: str = "imagenet") -> None:
        super().__init__()
        self.save_hyperparameters("normalization")
        self.mean, self.std = statistics(normalization)
        if classes is not None:
            self.classes = classes

    def train_dataloader(self) -> DataLoader:
        return loader(clips(4, 3))

    predict_dataloader = val_dataloader = train_dataloader


def trained(folder: Path, classes: list[str]) -> Path:
    """A checkpoint of a training on named classes."""
    trainer = make_trainer(folder, max_epochs=1)
    trainer.fit(
        Classification(Brightness(), partial(torch.optim.SGD, lr=0.1), num_classes=3), datamodule=Named(classes)
    )
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def predicted(checkpoint: Path, data: LightningDataModule) -> list[str]:
    """The names of classes in a prediction by a checkpoint."""
    task = Classification(Brightness(), num_classes=3)
    [found] = make_trainer(checkpoint.parent).predict(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return found["classes"]


def test_a_checkpoint_knows_the_names_of_its_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = trained(tmp_path, ["cats", "dogs"])
    [said] = [each.getMessage() for each in caplog.records if each.name == "tasks.classification"]
    assert said.startswith("task.num_classes=3: the data has 2 classes; set model.num_classes=2, unless")
    caplog.clear()
    assert predicted(checkpoint, Named(None)) == ["cats", "dogs", "class 2"]  # a video file knows of no classes
    assert predicted(checkpoint, Named(["cats"])) == ["cats", "dogs", "class 2"]  # a split without the last ones
    assert not [each for each in caplog.records if each.name == "tasks.classification"]
    assert predicted(checkpoint, Named(["birds", "cats"])) == ["cats", "dogs", "class 2"]
    [said] = [each.getMessage() for each in caplog.records if each.name == "tasks.classification"]
    assert said.startswith("the data has the classes birds, cats: these weights were trained on cats, dogs")
    stored = torch.load(checkpoint, weights_only=True)
    torch.save({key: each for key, each in stored.items() if key != "classes"}, tmp_path / "old.ckpt")
    assert predicted(tmp_path / "old.ckpt", Named(None)) == []
    assert predicted(tmp_path / "old.ckpt", Named(["birds", "cats"])) == ["birds", "cats", "class 2"]


def test_pixels_that_are_normalised_otherwise_than_for_the_model_are_refused(tmp_path: Path) -> None:
    model = Brightness()
    model.mean, model.std = (0.45,) * 3, (0.225,) * 3
    task = Classification(model, num_classes=3)
    make_trainer(tmp_path).predict(task, datamodule=Named(None, "slowfast"))
    for other in ("imagenet", "mfnet"):
        with pytest.raises(ValueError, match=rf"datamodule\.normalization={other}: a mean of .*weights of model were"):
            make_trainer(tmp_path).predict(task, datamodule=Named(None, other))


def test_weights_that_were_trained_on_other_pixels_are_named(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    task = Classification(Brightness(), num_classes=3)
    task.trainer = make_trainer(tmp_path)
    task.trainer.datamodule = Named(None, "imagenet")
    for normalization in ("imagenet", "zero_one"):
        task.on_load_checkpoint({"config": {"datamodule": {"normalization": normalization}}})
    [said] = [each.getMessage() for each in caplog.records if each.name == "tasks.classification"]
    assert said.startswith("datamodule.normalization=imagenet: these weights were trained with zero_one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_decay": 1.5}, r"layer_decay: expected a factor in \(0, 1\], or None for one rate, found 1.5"),
        ({"label_smoothing": 1.0}, r"label_smoothing: expected a share in \[0, 1\), found 1.0"),
        ({"mix_switch": 1.5}, r"mix_switch: expected a probability in \[0, 1\], found 1.5"),
        ({"mixup": -1.0}, r"mixup: expected 0 \(none\) or more, found -1.0"),
        ({"train": "tail"}, "train: expected one of all, head, found 'tail'"),
        ({"mix_mode": "half"}, "mix_mode: expected one of batch, pair, elem, found 'half'"),
        ({"video_rule": "any", "num_classes": 3}, "decides between two classes"),
    ],
)
def test_a_wrong_argument_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classification(Brightness(), **options)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_classes_of_the_data_are_compared_with_those_of_the_model(classes: int, caplog) -> None:
    task = Classification(Brightness(), num_classes=3)
    names = [f"class {number}" for number in range(classes)]
    task.trainer = SimpleNamespace(datamodule=SimpleNamespace(classes=names))
    if classes > 3:
        with pytest.raises(ValueError, match=r"task\.num_classes=3: the data has 4 classes; set model\.num_classes=4"):
            task.setup("fit")
    else:
        task.setup("fit")
        assert ("the data has 2 classes; set model.num_classes=2" in caplog.text) == (classes == 2)


def test_a_model_of_other_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Brightness: expected logits of shape \(4, 2\), found \(4, 3\)"):
        make_trainer(tmp_path).validate(Classification(Brightness(3)), loader(clips(4, 2)), verbose=False)
    with pytest.raises(ValueError, match="Flatten has no linear layer"):
        Classification(nn.Flatten(), train="head")
