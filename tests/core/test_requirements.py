"""Conditions on values are the ones that constructors keep, and what is known of Lightning is what Lightning knows."""

from typing import Any, get_args

import pytest
from hydra.utils import get_object
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.trainer import Trainer

from core.command_line.hints import fits
from core.command_line.requirements import ACCELERATORS, PROFILERS, STRATEGIES, TRAINER, check_requirements, hint_of
from core.command_line.signature import signature
from core.errors import ConfigError

VALUES = (-1, 0, 0.5, 1, 1.5, 3, 4)
TINY = {"num_frames": 6, "image_size": 12, "patch_size": 2, "tubelet_size": 2, "dim": 12, "depth": 1, "num_heads": 2}
TINY_DECODER = {"decoder_dim": 12, "decoder_depth": 1, "decoder_num_heads": 1}
# target: what its constructor needs to be called at all
BUILT = {
    "datamodules.videos.Videos": {},
    "datamodules.shanghaitech.ShanghaiTech": {},
    "datamodules.shanghaitech_features.ShanghaiTechFeatures": {"features": "features"},
    "callbacks.features.Features": {"folder": "features"},
    "callbacks.panels.Panels": {"folder": "pictures"},
    "models.vit.VisionTransformer": TINY,
    "models.masked_autoencoder.MaskedAutoencoder": TINY | TINY_DECODER | {"decoder_mask": "running_cell"},
    "models.fbil.FBILHead": {"dim": 12, "num_heads": 2, "ffn_dim": 8},
    "models.linear_roi_head.LinearRoIHead": {},
    "models.focusmae.FocusMAE": TINY | TINY_DECODER | {"sampler_num_heads": 1},
}


def cases() -> list[tuple[str, str, Any]]:
    found = []
    for target in BUILT:
        for name, parameter in signature(target).parameters.items():
            if parameter.requirement:
                found += [(target, name, value) for value in VALUES if fits(value, parameter.hint)]
    return found


def is_right(target: str, values: dict[str, Any]) -> bool:
    try:
        check_requirements("node", values, signature(target))
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(("target", "name", "value"), cases())
def test_a_value_is_refused_before_the_import_where_the_constructor_refuses_it(
    target: str, name: str, value: Any
) -> None:
    values = BUILT[target] | {name: value}
    if is_right(target, values):
        get_object(target)(**values)
    else:
        with pytest.raises(
            ValueError, match=name.removeprefix("decoder_").removeprefix("head_").removeprefix("sampler_")
        ):
            get_object(target)(**values)


def test_a_condition_on_several_parameters_takes_defaults_and_each_element_of_a_list() -> None:
    target = "models.vit.VisionTransformer"
    right = [{}, {"image_size": 32}, {"image_size": [32, 48]}, {"image_size": {"_target_": "x"}}, {"patch_size": 14}]
    wrong = [{"image_size": 100}, {"image_size": [32, 100]}, {"patch_size": 15}]
    assert [is_right(target, values) for values in right + wrong] == [True] * len(right) + [False] * len(wrong)
    with pytest.raises(ConfigError, match=r"node.num_heads=5: expected .*dim % num_heads == 0 with node.dim=192$"):
        check_requirements("node", {"num_heads": 5, "dim": 192}, signature(target))
    with pytest.raises(ConfigError, match=r"node.dim=100: expected .*dim % num_heads == 0 with node.num_heads=12$"):
        check_requirements("node", {"dim": 100}, signature(target), typed=["node.dim"])


@pytest.mark.parametrize("values", [{"limit_val_batches": 1.0}, {"overfit_batches": 7}, {"max_time": "00:08:00:00"}])
def test_other_options_are_taken_as_lightning_takes_them(values: dict[str, Any]) -> None:
    assert is_right(TRAINER, values)
    Trainer(accelerator="cpu", logger=False, **values)


@pytest.mark.parametrize("value", ["auto", "2", "-1", "0,1", "1,", "0, 3", 2, -1, [0], [1, 0]])
def test_devices_are_taken_as_lightning_takes_them(value: Any) -> None:
    assert is_right(TRAINER, {"devices": value})


@pytest.mark.parametrize(("name", "value"), [("limit_val_batches", 1.5), ("max_time", "2h"), ("fast_dev_run", -1)])
def test_other_options_that_lightning_cannot_take_are_refused(name: str, value: Any) -> None:
    assert not is_right(TRAINER, {name: value})
    with pytest.raises(Exception):  # noqa: B017 Lightning raises several kinds
        Trainer(accelerator="cpu", logger=False, **{name: value})


@pytest.mark.parametrize("value", ["two", "", "a,b", "1.5", 0, -2, [], [-1]])
def test_devices_that_lightning_cannot_take_are_refused(value: Any) -> None:
    assert not is_right(TRAINER, {"devices": value})
    with pytest.raises(Exception):  # noqa: B017 Lightning raises several kinds
        Trainer(accelerator="cpu", devices=value, logger=False)


def test_names_of_lightning_are_complete() -> None:
    assert {*AcceleratorRegistry.available_accelerators(), "auto", "gpu"} <= set(ACCELERATORS)
    assert {*StrategyRegistry.available_strategies(), "auto"} <= set(STRATEGIES)
    for name in PROFILERS[:-1]:  # the last one needs its own hardware
        Trainer(accelerator="cpu", profiler=name, logger=False)
    known = signature("lightning.Trainer")
    for name in ("accelerator", "strategy", "profiler"):
        hint = hint_of(known, name)
        assert str not in get_args(hint)
        assert not fits("nonsense", hint)
        assert fits({"_target_": "x"}, hint)
