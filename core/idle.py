"""Options that change nothing in the combination they are used in: each is said, none is dropped in silence."""

from collections.abc import Iterator
from typing import Any

from core.command_line.compatibility import products

ONLY_FIT_GROUPS = ("optim", "scheduler")
ONLY_FIT = (
    "nonfinite",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.accumulate_grad_batches",
    "trainer.gradient_clip_val",
    "trainer.limit_train_batches",
    "trainer.overfit_batches",
    "trainer.check_val_every_n_epoch",
    "resume.override",
)
OVERRULED = {"datamodule.frame_step": "datamodule.step_s", "scheduler.warmup_epochs": "scheduler.warmup_steps"}
WINDOWS = "datamodule.windows"  # in prediction they take the place of these
CLIPS_OF_PREDICTION = ("datamodule.eval_clips", "datamodule.resize", "datamodule.crop", "datamodule.regions")
ANSWERS_NONFINITE = "callbacks.nonfinite.NonFinite"
ROTARY = "model.rotary."  # nothing turns with model.rope=none
ONLY_WITH = {"model.decoder_mask_ratio": "model.decoder_mask", "task.sampling_weight": "model.focus"}
STOPPED_BY_FAST_RUN = ("max_epochs", "max_steps", "limit_train_batches", "limit_val_batches", "limit_test_batches")


def idle_options(
    config: dict[str, Any], typed: list[str], checkpoint: dict[str, Any] | None, devices: int
) -> list[str]:
    """Say which options have no effect.

    Args:
        config: Composed config of the job as plain containers.
        typed: Overrides of the command line.
        checkpoint: What the job continues or evaluates, with ``config``, ``epoch`` and ``global_step``; None without.
        devices: Processes of the job, over all nodes.

    Returns:
        One message per option, ``key=value has no effect: reason``.
    """
    values = dict(_split(override) for override in typed)
    found = [*_in_this_mode(config, values, checkpoint), *_in_this_trainer(config, values, devices)]
    found += _beside_others(config, values)
    if checkpoint is not None and config["mode"] == "fit":
        found += _on_resume(config, checkpoint)
    elif config["mode"] == "fit" and _overridden(config):
        found.append(f"resume.override=[{','.join(_overridden(config))}] has no effect: no training is continued")
    return found


def only_trains(override: str) -> bool:
    """Whether an override of a command line has an effect in a training alone."""
    key, _ = _split(override)
    return key in ONLY_FIT or key.split(".")[0] in ONLY_FIT_GROUPS


def _overridden(config: dict[str, Any]) -> list[str]:
    return (config.get("resume") or {}).get("override") or []


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def _in_this_mode(config: dict[str, Any], values: dict[str, str], checkpoint: dict | None) -> Iterator[str]:
    mode = config["mode"]
    for option in products(config.get("datamodule") or {}):
        if f"datamodule.{option}" in values:
            yield f"datamodule.{option}={values[f'datamodule.{option}']} has no effect: only mode=prepare makes it"
    if mode != "fit":
        for key, value in values.items():
            if only_trains(key):
                yield f"{key}={value} has no effect: mode={mode} does not train"
        if checkpoint is None and not config["model"].get("pretrained"):
            yield f"mode={mode} without ckpt_path or model.pretrained: the weights are random"
    if checkpoint is not None and config["model"].get("pretrained"):
        yield (
            f"model.pretrained={config['model']['pretrained']} has no effect: "
            f"the weights of ckpt_path={config['ckpt_path']} replace it"
        )


def _beside_others(config: dict[str, Any], values: dict[str, str]) -> Iterator[str]:
    slides = config["mode"] == "predict" and _value(config, WINDOWS)
    for key, value in values.items():
        if slides and key in CLIPS_OF_PREDICTION:
            yield f"{key}={value} has no effect: prediction is of {WINDOWS}"
        if key.startswith(WINDOWS) and config["mode"] in ("fit", "validate", "test"):
            yield f"{key}={value} has no effect: mode={config['mode']} takes clips, windows are for mode=predict"
        if key in OVERRULED and _value(config, OVERRULED[key]):
            yield f"{key}={value} has no effect: {OVERRULED[key]}={_value(config, OVERRULED[key])} takes its place"
        if key in ONLY_WITH and not _value(config, ONLY_WITH[key]):
            yield f"{key}={value} has no effect: it belongs to {ONLY_WITH[key]}, which is not set here"
        if key.startswith(ROTARY) and _value(config, "model.rope") == "none":
            yield f"{key}={value} has no effect: model.rope=none turns nothing"
    callbacks = (config.get("callbacks") or {}).values()
    if config["mode"] == "fit" and "nonfinite" in values and ANSWERS_NONFINITE not in map(_target, callbacks):
        yield f"nonfinite={values['nonfinite']} has no effect: callbacks.nonfinite, which answers it, is left out"


def _target(node: dict[str, Any] | None) -> str | None:
    return (node or {}).get("_target_")


def _value(config: dict[str, Any], key: str) -> Any:
    group, name = key.split(".")
    return (config.get(group) or {}).get(name)


def _in_this_trainer(config: dict[str, Any], values: dict[str, str], devices: int) -> Iterator[str]:
    trainer = config["trainer"]
    if trainer.get("fast_dev_run"):
        for name in STOPPED_BY_FAST_RUN:
            if f"trainer.{name}" in values:
                yield f"trainer.{name}={values[f'trainer.{name}']} has no effect: trainer.fast_dev_run decides"
        if "logger" in values:
            yield f"logger={values['logger']} has no effect: trainer.fast_dev_run logs nothing"
    if trainer.get("sync_batchnorm") and devices == 1:
        yield "trainer.sync_batchnorm=true has no effect: there is one process"
    if trainer.get("gradient_clip_algorithm") and trainer.get("gradient_clip_val") is None:
        algorithm = trainer["gradient_clip_algorithm"]
        yield f"trainer.gradient_clip_algorithm={algorithm} has no effect: trainer.gradient_clip_val is null"
    metric = (config.get("monitor") or {}).get("metric", "")
    if config["mode"] == "fit" and trainer.get("limit_val_batches") == 0 and metric.startswith("val/"):
        yield f"monitor.metric={metric} has no effect: trainer.limit_val_batches=0 leaves out validation"


def _on_resume(config: dict[str, Any], checkpoint: dict[str, Any]) -> Iterator[str]:
    stored, taken = checkpoint["config"], _overridden(config)
    for group in ONLY_FIT_GROUPS:
        before, now = stored.get(group) or {}, config.get(group) or {}
        if now.get("_target_") != before.get("_target_"):
            yield (
                f"{group}._target_={now.get('_target_')} has no effect: the run continues with the stored "
                f"{before.get('_target_')}; to begin with another give the file as model.pretrained in a new run"
            )
            continue
        for name, value in now.items():
            key, is_new = f"{group}.{name}", value != before.get(name)
            if is_new and key not in taken:
                yield (
                    f"{key}={value} has no effect: the run continues with the stored {before.get(name)}; "
                    f"resume.override=[{key}] takes the new one"
                )
            if key in taken and not is_new:
                yield f"resume.override=[{key}] has no effect: the stored value is {value} as well"
    if config["seed"] != stored.get("seed", config["seed"]):
        yield f"seed={config['seed']} has no effect on the random streams: those of seed={stored['seed']} continue"
    trainer = config["trainer"]
    done, wanted = int(checkpoint.get("epoch", -1)) + 1, trainer.get("max_epochs")
    if wanted is not None and 0 < wanted <= done:
        yield f"trainer.max_epochs={wanted}: the checkpoint has finished {done} epochs, nothing is left to train"
    steps, limit = int(checkpoint.get("global_step", 0)), trainer.get("max_steps", -1)
    if limit is not None and 0 < limit <= steps:
        yield f"trainer.max_steps={limit}: the checkpoint has made {steps} steps, nothing is left to train"
