"""Run one job so that all its ranks share one config and one run folder.

Lightning starts the other ranks of a single-node job by calling the script again with the same arguments. Under a sweep
those arguments describe the whole sweep, not this job, so a rank must not compose its config again: it reads the one
its parent composed.
"""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from core.atomic import write_file
from core.errors import primary_process

CONFIG_VARIABLE = "VIDZOO_CONFIG"
RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", CONFIG_VARIABLE)
THREADS_VARIABLE = "OMP_NUM_THREADS"  # Lightning sets it, and torch's number, to the share of one of several ranks

log = logging.getLogger(__name__)


def relaunched() -> DictConfig | None:
    """The parent's config when this process is a rank that Lightning started, else None."""
    path = os.environ.get(CONFIG_VARIABLE)
    return OmegaConf.load(path) if path and int(os.environ.get("LOCAL_RANK", "0")) > 0 else None


def launch(run: Callable[[DictConfig], float | None], cfg: DictConfig) -> float | None:
    """Freeze ``cfg`` into the run folder, call ``run`` and leave the process as it was found.

    Args:
        run: The job; gets the resolved config.
        cfg: Composed config; interpolations into Hydra's node are allowed.

    Returns:
        What ``run`` returns: the value that a sweeper compares.
    """
    from core.command_line.check import check_config
    from core.sweep import check_direction

    check_config(cfg)
    check_direction(cfg.get("monitor"))
    frozen = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    path = config_file(frozen)
    if primary_process():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, OmegaConf.to_yaml(frozen).encode())  # no rank sees half of it
        log.info("%s", shlex.join(["python", *sys.argv]))
    else:
        logging.getLogger().handlers.clear()  # one voice on the screen and in the log file
    import torch  # not at the top: a rank is watched before it loads torch

    before = {key: os.environ.get(key) for key in (*RANK_VARIABLES, THREADS_VARIABLE)}, torch.get_num_threads()
    os.environ[CONFIG_VARIABLE] = str(path)
    try:
        with _ranks_run_the_script():
            return run(frozen)
    finally:
        _leave(*before)


def config_file(cfg: DictConfig) -> Path:
    """Where the config of a job is kept: ``config.yaml``, or ``config_<mode>.yaml`` beside that of a training."""
    path = Path(cfg.paths.run, "config.yaml").resolve()
    if cfg.mode != "fit" and path.exists():
        return path.with_name(f"config_{cfg.mode}.yaml")
    return path


@contextmanager
def _ranks_run_the_script() -> Iterator[None]:
    """Let Lightning start ranks as ``python train.py``, also from the worker process of a launcher.

    Lightning repeats the command of the main module. In a worker of joblib that is ``python -m <joblib's own>``.
    """
    main = sys.modules["__main__"]
    before = main.__spec__
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = before


def _leave(variables: dict[str, str | None], threads: int) -> None:
    """Close what a later job of the same process would inherit."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    torch.set_num_threads(threads)
    torch.compiler.reset()  # what was compiled is counted over all jobs, and after a few torch compiles no more
    if "wandb" in sys.modules and sys.modules["wandb"].run is not None:
        sys.modules["wandb"].finish()
    for key, value in variables.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
