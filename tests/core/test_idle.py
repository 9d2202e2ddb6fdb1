"""Options without effect are said."""

import pytest

from core.idle import idle_options

ADAM = {"_target_": "torch.optim.AdamW", "lr": 0.1, "betas": [0.9, 0.999]}


def config(mode: str = "fit", **changes) -> dict:
    base = {
        "mode": mode,
        "seed": 0,
        "ckpt_path": None,
        "model": {"pretrained": None},
        "optim": ADAM,
        "monitor": {"metric": "val/loss", "mode": "min"},
        "trainer": {"max_epochs": 4, "max_steps": -1},
    }
    return base | changes


def checkpoint(**changes) -> dict:
    return {"epoch": 1, "global_step": 6, "config": {"optim": config()["optim"], "seed": 0}} | changes


def test_a_plain_training_has_nothing_to_say() -> None:
    assert idle_options(config(), ["task=toy", "optim.lr=0.1", "trainer.max_epochs=4"], None, 1) == []
    assert idle_options(config(ckpt_path="last"), ["ckpt_path=last"], checkpoint(), 1) == []
    answered = config(callbacks={"mine": {"_target_": "callbacks.nonfinite.NonFinite"}, "removed": None})
    assert idle_options(answered, ["nonfinite=skip"], None, 1) == []
    taken = config(optim=ADAM | {"lr": 0.2}, resume={"override": ["optim.lr"]})
    assert idle_options(taken, ["optim.lr=0.2"], checkpoint(), 1) == []


@pytest.mark.parametrize("mode", ["validate", "test", "predict"])
@pytest.mark.parametrize("option", ["optim.lr=1", "scheduler=cosine", "trainer.max_epochs=3", "nonfinite=skip"])
def test_options_of_training_have_no_effect_elsewhere(mode: str, option: str) -> None:
    [message] = idle_options(config(mode), [option], checkpoint(), 1)
    assert message == f"{option} has no effect: mode={mode} does not train"


@pytest.mark.parametrize(
    ("job", "typed", "stored", "words"),
    [
        (config("test"), [], None, ["mode=test", "random"]),
        (
            config(model={"pretrained": "w.pt"}, ckpt_path="a.ckpt"),
            [],
            checkpoint(),
            ["model.pretrained=w.pt", "a.ckpt"],
        ),
        (
            config(optim=ADAM | {"lr": 0.2}),
            [],
            checkpoint(),
            ["optim.lr=0.2 has no effect", "stored 0.1", "resume.override=[optim.lr]"],
        ),
        (config(scheduler={"min_lr": 0.1}), [], checkpoint(), ["scheduler.min_lr=0.1 has no effect", "stored None"]),
        (config(optim={"_target_": "torch.optim.SGD", "lr": 1}), [], checkpoint(), ["SGD has no effect", "AdamW"]),
        (config(resume={"override": ["optim.lr"]}), [], None, ["resume.override=[optim.lr]", "no training"]),
        (config(resume={"override": ["optim.lr"]}), [], checkpoint(), ["resume.override=[optim.lr]", "0.1 as well"]),
        (config(seed=1), [], checkpoint(), ["seed=1 has no effect", "seed=0"]),
        (config(trainer={"max_epochs": 2}), [], checkpoint(), ["max_epochs=2", "finished 2 epochs"]),
        (config(trainer={"max_steps": 6}), [], checkpoint(), ["max_steps=6", "made 6 steps"]),
        (config(trainer={"fast_dev_run": True}), ["trainer.max_epochs=9"], None, ["max_epochs=9", "fast_dev_run"]),
        (config(trainer={"fast_dev_run": True}), ["logger=wandb"], None, ["logger=wandb", "fast_dev_run"]),
        (config(trainer={"sync_batchnorm": True}), [], None, ["sync_batchnorm", "one process"]),
        (config(trainer={"gradient_clip_algorithm": "norm"}), [], None, ["gradient_clip_algorithm", "val is null"]),
        (config(callbacks={}), ["nonfinite=skip"], None, ["nonfinite=skip", "callbacks.nonfinite", "left out"]),
        (config(trainer={"limit_val_batches": 0}), [], None, ["monitor.metric=val/loss", "validation"]),
    ],
)
def test_each_option_without_effect_is_named_with_its_reason(
    job: dict, typed: list[str], stored: dict | None, words: list[str]
) -> None:
    [message] = idle_options(job, typed, stored, 1)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("group", "values", "option"),
    [
        ("datamodule", {"frame_step": 2, "step_s": 0.1}, "datamodule.frame_step=2"),
        ("scheduler", {"warmup_epochs": 2, "warmup_steps": 50}, "scheduler.warmup_epochs=2"),
        ("model", {"decoder_mask": None, "decoder_mask_ratio": 0.25}, "model.decoder_mask_ratio=0.25"),
        ("task", {"sampling_weight": 1.0}, "task.sampling_weight=1.0"),
    ],
)
def test_an_option_that_another_one_overrules_or_lacks_is_said(group: str, values: dict, option: str) -> None:
    [message] = idle_options(config(**{group: values}), [option], None, 1)
    assert message.startswith(f"{option} has no effect: ")
    useful = {"step_s": None, "warmup_steps": 0, "decoder_mask": "running_cell"}
    rest = {"model": {"focus": "mask"}} if group == "task" else {}
    assert idle_options(config(**{group: values | useful} | rest), [option], None, 1) == []


def test_how_positions_turn_has_no_effect_where_nothing_turns() -> None:
    option = "model.rotary.theta=1e4"
    plain, turning = (config(model={"rope": rope, "pretrained": None}) for rope in ("none", "time"))
    assert idle_options(plain, [option], None, 1) == [f"{option} has no effect: model.rope=none turns nothing"]
    assert idle_options(turning, [option], None, 1) == []


@pytest.mark.parametrize("option", ["eval_clips=4", "resize=squash", "crop=center", "regions=null"])
def test_windows_take_the_place_of_clips_in_prediction_alone(option: str) -> None:
    data = {"datamodule": {"windows": {"stride": 4}}}
    sliding = config("predict", model={"pretrained": "file"}, **data)
    [message] = idle_options(sliding, [f"datamodule.{option}", "datamodule.windows.stride=4"], None, 1)
    assert message == f"datamodule.{option} has no effect: prediction is of datamodule.windows"
    [message] = idle_options(config(**data), [f"datamodule.{option}", "datamodule.windows.stride=4"], None, 1)
    assert message.startswith("datamodule.windows.stride=4 has no effect: mode=fit takes clips")
