"""What a continued run takes from its checkpoint, and what from its command line."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from core.command_line.targets import settings
from core.errors import ConfigError, wrong

KEPT_GROUPS = ("optim", "scheduler")


def continued(config: dict[str, Any], stored: dict[str, Any] | None) -> dict[str, Any]:
    """The config that a training has which continues a checkpoint.

    The optimizer continues with its state, which includes its settings: those of ``optim`` and ``scheduler`` are the
    stored ones, except for what ``resume.override`` names. A checkpoint of this run then says what it was trained with.

    Args:
        config: Config of the command line as plain containers.
        stored: The checkpoint; None for a run that begins.

    Raises:
        ConfigError: When ``resume.override`` names what the checkpoint's optimizer and schedule do not have.
    """
    if stored is None or config["mode"] != "fit":
        return config
    kept = {group: stored["config"].get(group) or {} for group in KEPT_GROUPS}
    for key in config["resume"]["override"]:
        group, _, name = key.partition(".")
        if name not in kept[group]:
            raise wrong("resume.override", key, "the run that is continued has no such setting", settings(kept))
        kept[group] = kept[group] | {name: config[group][name]}
    return config | kept


class Resume(Callback):
    """Put a continued run where its checkpoint was: position in the epoch, and new settings of ``resume.override``.

    Lightning gives a loader its position back only if nobody asked for the loader earlier; a schedule that wants to
    know the number of steps does. Settings are taken from the optimizer and the schedule as they were made for this
    run, so that groups of parameters with rates or decay of their own keep them.

    Args:
        override: Dotted keys below ``optim`` and ``scheduler``.

    Raises:
        ConfigError: When the run accumulates another number of batches than the checkpoint's, or its schedule cannot
            be changed.
    """

    def __init__(self, override: list[str]) -> None:
        self.override = override
        self._loaders: list[dict[str, Any]] | None = None
        self._made: list[list[dict[str, Any]]] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["accumulate_grad_batches"] = trainer.accumulate_grad_batches

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._loaders = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])
        before, now = checkpoint.get("accumulate_grad_batches"), trainer.accumulate_grad_batches
        if before not in (None, now):
            problem = f"the run that is continued has steps of {before} batches; continue with {before}, or begin a "
            raise wrong("trainer.accumulate_grad_batches", now, problem + "new run from its weights (model.pretrained)")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        names = [key.partition(".")[2] for key in self.override if key.startswith("optim.")]
        names += ["initial_lr"] if "lr" in names else []
        self._made = [
            [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._loaders is None:
            return
        if self._loaders:
            trainer.train_dataloader.load_state_dict(self._loaders[0])
        if self.override:
            for optimizer, made in zip(trainer.optimizers, self._made, strict=True):
                for group, values in zip(optimizer.param_groups, made, strict=True):
                    group.update(values)
            for scheduled in trainer.lr_scheduler_configs:
                _follow(scheduled.scheduler, scheduled.scheduler.optimizer)


def _follow(schedule: Any, optimizer: Optimizer) -> None:
    """Set the rates of the step that comes next; torch would do so only after it."""
    if not isinstance(schedule, LambdaLR):
        raise ConfigError(f"resume.override: works with schedules of core.schedules, found {type(schedule).__name__}")
    schedule.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
    for group, base, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        group["lr"] = base * factor(schedule.last_epoch)
