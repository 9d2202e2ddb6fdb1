"""Signatures from source text agree with those of the imported objects."""

import inspect
from typing import get_type_hints

import pytest

from core.command_line.hints import Instance, fits
from core.command_line.signature import class_literal, is_subclass, locate, signature
from tests.constructors import constructors, real_parameters

TARGETS = [
    "lightning.Trainer",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.callbacks.LearningRateMonitor",
    "lightning.pytorch.loggers.TensorBoardLogger",
    "torch.optim.AdamW",
    "torch.optim.SGD",
    "core.schedules.warmup_cosine",
    "core.metrics_file.MetricsFile",
    "callbacks.throughput.Throughput",
    "callbacks.progress.Progress",
    "tasks.focusmae.MaskedPretraining",
    "models.focusmae.FocusMAE",
    "datamodules.shanghaitech.ShanghaiTech",
]
# What a constructor takes by way of its base class and decides itself, so that nobody else may.
DECIDED = {"models.focusmae.FocusMAE": {"mask", "decoder_mask", "decoder_mask_ratio"}}
VALUES = [None, True, 1, 0.5, "x", "max", [1], [1, 2], [0.5, 0.5], {"a": 1}]


@pytest.mark.parametrize("target", TARGETS)
def test_names_and_requirements_are_those_of_the_object(target: str) -> None:
    real, read = real_parameters(target), signature(target)
    assert read.parameters.keys() <= real.keys()
    if not read.is_open:
        assert real.keys() - read.parameters.keys() == DECIDED.get(target, set())
    for name, parameter in read.parameters.items():
        assert parameter.required == (real[name].default is inspect.Parameter.empty)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_refused_from_source_text_is_refused_by_the_real_annotation(target: str) -> None:
    hints = {}
    for constructor in constructors(target):
        hints = {**get_type_hints(constructor), **hints}
    for name, parameter in signature(target).parameters.items():
        for value in VALUES:
            assert fits(value, parameter.hint) or not fits(value, hints[name]), (name, value)


def test_imports_are_followed_to_the_definition() -> None:
    assert locate("lightning.Trainer")[2] == "lightning.pytorch.trainer.trainer.Trainer"
    assert locate("models.focusmae.MaskedAutoencoder")[2] == "models.masked_autoencoder.MaskedAutoencoder"
    assert locate("models.focusmae.Nothing") is None
    assert signature("nowhere.at.all") is None


def test_classes_are_compared_without_importing_them() -> None:
    assert is_subclass("models.focusmae.FocusMAE", "models.masked_autoencoder.MaskedAutoencoder") is True
    assert is_subclass("models.vit.VisionTransformer", "models.masked_autoencoder.MaskedAutoencoder") is False
    assert is_subclass("models.focusmae.FocusMAE", "nowhere.Class") is None


def test_literals_of_a_class_are_read_and_inherited() -> None:
    from datamodules.shanghaitech import ShanghaiTech
    from tasks.focusmae import MaskedPretraining

    assert class_literal("tasks.focusmae.MaskedPretraining", "needs") == MaskedPretraining.needs
    assert class_literal("datamodules.shanghaitech.ShanghaiTech", "provides") == ShanghaiTech.provides
    assert class_literal("tasks.focusmae.MaskedPretraining", "nothing") is None


def test_objects_known_by_name_only_take_no_plain_values() -> None:
    assert signature("tasks.focusmae.MaskedPretraining").parameters["model"].hint is Instance
