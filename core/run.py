"""One job: config in, monitored value out."""

import logging
import re
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    BasePredictionWriter,
    Checkpoint,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
)
from omegaconf import DictConfig, OmegaConf
from torch import nn

from core import report
from core.accelerator import check_accelerator
from core.build import build, find
from core.check_data import check_data
from core.checkpoint.plugin import CheckpointFiles, ConfigInCheckpoint, probe_folders
from core.checkpoint.reading import read_unverified, resolve_checkpoint
from core.command_line.targets import CORE_KEYS
from core.errors import primary_process, wrong
from core.idle import idle_options
from core.memory import keep_freed_memory
from core.metrics_file import MetricsFile
from core.optim import scale_to_batch
from core.outcome import best_of
from core.precision import keep_exact
from core.prepare_data import prepare_data
from core.processes.one_config import OneConfig
from core.processes.ranks import together
from core.processes.signals import request
from core.processes.stopping import StopOnSignal, leave_signals_to_us
from core.resume import Resume, continued

# Advertisement, devices that are neither there nor used, what will be reported when it is done or is seen anyway.
_NO_NEWS = re.compile(
    r"Tip:|^GPU available: False|^TPU available: False|^Loading `train_dataloader` to|^Restoring states from"
    r"|stopped: `max_epochs=\d+` reached"
)

WITHOUT_TRAINER = {"check": check_data, "prepare": prepare_data}

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> float | None:
    """Build every part named in ``cfg`` and run ``cfg.mode``.

    Returns:
        The best value of the monitored metric after ``fit``, which a sweeper compares; None for other modes and where
        nothing was monitored.

    Raises:
        DivergedError: When no value of the monitored metric was finite.
    """
    request.check()  # a signal at the end of one job of a sweep: the next one does not begin
    config, typed, started = OmegaConf.to_container(cfg, resolve=True), typed_overrides(), time.time()
    screen = report.console() if primary_process() else None
    quiet_lightning(config["mode"])
    if screen:
        report.show_config(config, screen)
    if config["mode"] in WITHOUT_TRAINER:
        return WITHOUT_TRAINER[config["mode"]](config)
    checkpoint = resolve_checkpoint(config["ckpt_path"], config["paths"]["run"], config["mode"])
    if config["ckpt_path"] not in (None, str(checkpoint)):
        log.info("ckpt_path=%s: %s", config["ckpt_path"], checkpoint or "none in the run folder yet, starting fresh")
    seed_everything(config["seed"], workers=True, verbose=False)
    stored = read_unverified(checkpoint) if checkpoint else None  # its sum was compared when it was chosen
    asked, config = config, continued(config, stored)
    trainer = make_trainer(config)
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    if trainer.is_global_zero:
        if config["mode"] == "fit":
            probe_folders(trainer, config["paths"]["run"])
        for message in idle_options(asked, typed, stored, trainer.num_devices * trainer.num_nodes):
            log.warning("warning: %s", message)
    datamodule = build(config["datamodule"], "datamodule")
    keep_exact(trainer, getattr(datamodule, "exact", ()))
    model = make_model(config, checkpoint)
    task = make_task(config, model, datamodule, trainer)
    if hasattr(task, "check_inputs"):  # now, not once the data has been made and indexed
        task.check_inputs(datamodule)
    flops = report.forward_flops(model)
    if screen:
        report.show_model(model, flops, screen)
    give_flops(trainer, flops)
    if config["compile"]:
        model.compile()
    best = path = tested = None
    with together(trainer, config["paths"]["run"]):
        start(trainer, task, datamodule, config["mode"], checkpoint)
        if config["mode"] == "fit":
            best, path = best_of(trainer, config)
            tested = test_best(trainer, task, datamodule, config, path) if config["test_after_fit"] else None
    if screen and trainer.is_global_zero:
        report.show_end(config, typed, best, path, tested, started, screen)
    return best


def typed_overrides() -> list[str]:
    """Overrides of this job's command line; none where Hydra did not start the job."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def quiet_lightning(mode: str) -> None:
    """Let every message appear once, and only those that say something."""
    if logging.getLogger().hasHandlers():  # Hydra's; Lightning's own would print everything a second time
        for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_news)
    warnings.filterwarnings("ignore", message=".*treespec.*is deprecated")  # of Lightning to itself
    # The data set of windows deals its batches to the workers by itself, and counts them right.
    warnings.filterwarnings("ignore", message="Your `IterableDataset` has `__len__` defined")
    # Not empty where a run is continued; a run that would write into another one is refused.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    if mode != "fit":  # no further checkpoint will be written
        warnings.filterwarnings("ignore", message="The dirpath has changed")


def _is_news(record: logging.LogRecord) -> bool:
    return not _NO_NEWS.search(record.getMessage())


def make_trainer(config: dict[str, Any]) -> Trainer:
    """Build callbacks, loggers and the trainer; leave out what the trainer's switches exclude."""
    check_accelerator(config["trainer"].get("accelerator", "auto"))
    callbacks = [build(node, f"callbacks.{name}") for name, node in (config.get("callbacks") or {}).items()]
    loggers = [build(node, f"logger.{name}") for name, node in (config.get("logger") or {}).items()]
    if loggers and not any(isinstance(logger, MetricsFile) for logger in loggers):
        loggers.insert(0, MetricsFile(config["paths"]["run"], config["mode"]))
    switches = {Checkpoint: "enable_checkpointing", ProgressBar: "enable_progress_bar"}
    off = tuple(kind for kind, switch in switches.items() if config["trainer"].get(switch) is False)
    if not loggers:
        off += (LearningRateMonitor,)  # it refuses to work without a logger
    callbacks = [callback for callback in callbacks if not isinstance(callback, off)]
    callbacks += [OneConfig(config), Resume(config["resume"]["override"]), ConfigInCheckpoint(config)]
    callbacks.append(StopOnSignal(config["run_id"], continues=config["ckpt_path"] == "last"))
    plugins = [CheckpointFiles(), *make_plugins(config["trainer"].get("plugins") or [])]
    trainer = build(config["trainer"], "trainer", callbacks=callbacks, logger=loggers or False, plugins=plugins)
    leave_signals_to_us(trainer)
    for logger in trainer.loggers:
        logger.log_hyperparams(config)
    return trainer


def make_plugins(nodes: list[Any]) -> list[Any]:
    """Build what ``+trainer.plugins=[...]`` adds to the writer of checkpoints."""
    return [build(node, f"trainer.plugins.{i}") if isinstance(node, dict) else node for i, node in enumerate(nodes)]


def make_model(config: dict[str, Any], checkpoint: Path | None) -> nn.Module:
    """Build the network, its initial weights a function of the seed alone, and load ``model.pretrained``."""
    node = {name: value for name, value in config["model"].items() if name not in CORE_KEYS["model"]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        model = build(node, "model")
    pretrained = config["model"].get("pretrained")
    if pretrained is not None and checkpoint is None:
        loaded = find("models.pretrained.load_pretrained", "model.pretrained")(model, pretrained)
        log.info("model.pretrained=%s\n%s", pretrained, loaded)
    return model


def make_task(
    config: dict[str, Any], model: nn.Module, datamodule: LightningDataModule, trainer: Trainer
) -> LightningModule:
    """Build the task around ``model``, with factories of its optimizer and schedule where it will train."""
    optim, scheduler = config.get("optim") or {}, config.get("scheduler") or {}
    if config["mode"] != "fit" or "_target_" not in optim:
        return build(config["task"], "task", model=model)
    optim, scheduler, _ = scale_to_batch(optim, scheduler, videos_per_step(optim, datamodule, trainer))
    # One that is used for nothing: it refuses wrong values now, not once the data has been made and indexed.
    build({**optim, "_partial_": False}, "optim", params=[nn.Parameter(torch.zeros(1, 1))])
    factories = {"optimizer": build(optim, "optim")}
    if scheduler:
        factories["scheduler"] = build(scheduler, "scheduler")
    return build(config["task"], "task", model=model, **factories)


def videos_per_step(optim: dict[str, Any], datamodule: LightningDataModule, trainer: Trainer) -> int:
    """Videos per optimisation step over all processes; needed where ``optim.reference_batch`` scales the rate."""
    batch_size = getattr(datamodule, "batch_size", None) or datamodule.hparams.get("batch_size")
    if batch_size is None:
        reference = optim.get("reference_batch")
        if reference is not None:
            raise wrong("optim.reference_batch", reference, "the datamodule has no batch_size to scale by")
        return 0
    return batch_size * trainer.num_devices * trainer.num_nodes * trainer.accumulate_grad_batches


def give_flops(trainer: Trainer, flops: float | None) -> None:
    """Tell the callbacks that ask for it (``forward_flops`` is None) the cost of a clip."""
    for callback in trainer.callbacks:
        if flops is not None and getattr(callback, "forward_flops", flops) is None:
            callback.forward_flops = flops


def writes_in_prediction(callback: Callback) -> bool:
    """Whether something is left of a prediction by this callback."""
    return isinstance(callback, BasePredictionWriter) or getattr(callback, "writes_in_prediction", False)


def start(
    trainer: Trainer, task: LightningModule, datamodule: LightningDataModule, mode: str, checkpoint: Path | None
) -> None:
    """Call the trainer; checkpoints are opened in torch's safe mode.

    Raises:
        ConfigError: When the first validation did not log the monitored metric.
    """
    path = None if checkpoint is None else str(checkpoint)
    extra = {"return_predictions": False} if mode == "predict" else {}
    if mode == "predict" and not any(map(writes_in_prediction, trainer.callbacks)):
        log.warning("warning: mode=predict keeps nothing: there is no callback that writes predictions")
    try:
        getattr(trainer, mode)(task, datamodule=datamodule, ckpt_path=path, weights_only=True, **extra)
    except MisconfigurationException as error:
        monitored = [kept.monitor for kept in trainer.checkpoint_callbacks if isinstance(kept, ModelCheckpoint)]
        unknown = [metric for metric in monitored if metric is not None and metric not in trainer.callback_metrics]
        if unknown and trainer.callback_metrics:
            problem = "no such metric is logged"
            raise wrong("monitor.metric", unknown[0], problem, sorted(trainer.callback_metrics)) from error
        raise


def test_best(
    trainer: Trainer, task: LightningModule, datamodule: LightningDataModule, config: dict[str, Any], best: Path | None
) -> float | None:
    """Test the best checkpoint of a training that has ended, or the last weights where none was kept.

    Returns:
        The monitored quantity as the test measured it; None where it has no such.
    """
    if best is None:
        log.warning("warning: no checkpoint was kept: the weights at the end are tested")
    start(trainer, task, datamodule, "test", best)
    value = trainer.callback_metrics.get(report.in_test((config.get("monitor") or {}).get("metric", "")))
    return None if value is None else float(value)
