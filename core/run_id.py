"""The name of a run: of its folder, and of what a continued run continues. Configs say ``${run_id:}``."""

import os
from time import strftime

from omegaconf import OmegaConf

from core.errors import ConfigError

_SHELLS = (None, "bash", "sh", "zsh", "interactive")  # SLURM's job names of an allocation that a person types into


def run_id() -> str:
    """Name of the run folder, the same for all ranks of a job and after each requeue of a batch job.

    ``RUN_ID`` if set; else the job id under SLURM, with the step where many runs share one interactive allocation; else
    torchrun's ``--rdzv-id``; else the time. Processes that this one starts, such as the jobs of a sweep, find the name
    in ``RUN_ID``: by their own clock or job id they would take another folder.

    Raises:
        ConfigError: When several processes were started by somebody else and nothing gives them a common name.
    """
    return os.environ.setdefault("RUN_ID", _name())


def _name() -> str:
    variables = os.environ
    job, step = variables.get("SLURM_JOB_ID"), variables.get("SLURM_STEP_ID")
    if variables.get("RUN_ID"):
        return variables["RUN_ID"]
    if batch_job() is not None:
        return batch_job()
    if job and step and int(variables.get("SLURM_NTASKS", "1")) > 1:
        return f"{job}.{step}"
    if variables.get("TORCHELASTIC_RUN_ID", "none") != "none":
        return variables["TORCHELASTIC_RUN_ID"]
    if int(variables.get("WORLD_SIZE", "1")) > 1 or int(variables.get("NODE_RANK", "0")) > 0:
        raise ConfigError("RUN_ID: missing; processes started together need one name: RUN_ID=NAME torchrun ...")
    return strftime("%Y-%m-%d_%H-%M-%S")


def batch_job() -> str | None:
    """Id of the SLURM batch job that this process belongs to, None elsewhere; the same after each requeue."""
    if os.environ.get("SLURM_JOB_NAME") in _SHELLS:
        return None
    return os.environ.get("SLURM_JOB_ID") or None


OmegaConf.register_new_resolver("run_id", run_id, replace=True)
