"""Building objects from config nodes, with messages that name the key."""

import pytest
import torch
from omegaconf import OmegaConf

from core.build import build
from core.errors import ConfigError
from tests.toy_project import add_toys

add_toys()
AUTOENCODER = "models.toy_network.Autoencoder"


def test_containers_arrive_as_plain_python() -> None:
    node = OmegaConf.create({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1, "betas": [0.5, 0.6]})
    factory = build(node, "optim")
    assert type(factory.keywords["betas"]) is list
    assert factory([torch.nn.Parameter(torch.zeros(1))]).defaults["betas"] == (0.5, 0.6)


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "models.toy_network.torch.hub.os.system", "subprocess.Popen", "open"]
)
@pytest.mark.parametrize("where", ["top", "nested"])
def test_a_foreign_callable_is_refused_wherever_it_hides(target: str, where: str) -> None:
    node = {"_target_": target}
    if where == "nested":
        node = {"_target_": AUTOENCODER, "hidden": [{"deep": {"_target_": target}}]}
    with pytest.raises(ConfigError, match="trusted") as error:
        build(node, "model")
    assert target in str(error.value)


def test_a_trusted_path_that_walks_into_another_package_is_refused() -> None:
    with pytest.raises(ConfigError, match="trusted"):
        build({"_target_": "models.toy_network.torch.load", "f": "x"}, "model", trusted=("models.",))


@pytest.mark.parametrize(
    ("node", "parts"),
    [
        ({"hiden": 3}, ["model.hiden=3", AUTOENCODER, "no such parameter", "did you mean 'model.hidden'?", "dropout"]),
        ({"hidden": "wide"}, ["model.hidden=wide: expected a whole number"]),
        ({"hidden": 7}, ["model.hidden: expected an even number, found 7"]),
        ({"activation": "rely"}, ["model.activation=rely: expected one of relu, gelu; did you mean 'relu'?"]),
    ],
)
def test_messages_name_key_value_and_what_would_be_right(node: dict, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        build({"_target_": AUTOENCODER, **node}, "model")
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("node", "parts"),
    [
        (
            {"decoder_dmi": 3},
            ["model.decoder_dmi=3", "no such parameter", "did you mean 'model.decoder_dim'?", "focus"],
        ),
        ({"decoder_dim": "wide"}, ["model.decoder_dim=wide: expected a whole number"]),
        ({"decoder_mask": "running_cell"}, ["model.decoder_mask=running_cell", "no such parameter"]),
    ],
)
def test_what_a_constructor_hands_on_to_its_base_class_is_checked_too(node: dict, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        build({"_target_": "models.focusmae.FocusMAE", **node}, "model")
    for part in parts:
        assert part in str(error.value)


def test_arguments_of_nested_nodes_are_checked_too() -> None:
    node = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Linear", "in_feature": 1}]}
    with pytest.raises(ConfigError, match=r"model\._args_\.0\.in_feature=1") as error:
        build(node, "model")
    assert "did you mean 'model._args_.0.in_features'?" in str(error.value)


def test_a_target_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'models\.toy_network\.Autoencoder'\?"):
        build({"_target_": "models.toy_network.Autoencodr"}, "model")
    with pytest.raises(ConfigError, match=r"model\._target_: missing"):
        build({"hidden": 3}, "model")


def test_a_fault_of_the_program_keeps_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    from models import toy_network

    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            raise KeyError("a bug")

    Broken.__module__ = toy_network.__name__
    monkeypatch.setattr(toy_network, "Broken", Broken, raising=False)
    with pytest.raises(Exception, match="a bug") as error:
        build({"_target_": "models.toy_network.Broken"}, "model")
    assert not isinstance(error.value, ConfigError)
