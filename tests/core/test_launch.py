"""Names of runs, the config that ranks share, and a process that is left as it was found."""

import os
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from core import build
from core.errors import ConfigError, readable
from core.launch import CONFIG_VARIABLE, THREADS_VARIABLE, launch, relaunched
from core.run_id import run_id
from datamodules import regions
from tests.toy_project import job_config

VARIABLES = ("RUN_ID", "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_STEP_ID", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK", "RANK", "SLURM_PROCID", CONFIG_VARIABLE):
        monkeypatch.setenv(name, "")  # so that it is put back, also where a test sets it
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"RUN_ID": "mine", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train"}, "mine"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_STEP_ID": "2"}, "7"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "bash", "SLURM_STEP_ID": "2", "SLURM_NTASKS": "4"}, "7.2"),
        ({"TORCHELASTIC_RUN_ID": "night", "WORLD_SIZE": "4"}, "night"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [{}, {"SLURM_PROCID": "3", "SLURM_NODEID": "1"}, {"NODE_RANK": "1", "RANK": "3"}, {"SLURM_RESTART_COUNT": "2"}],
    ids=["first", "another node", "another node of torchrun", "requeued"],
)
def test_a_run_is_named_alike_on_all_nodes_and_after_a_requeue(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str, place: dict[str, str]
) -> None:
    for key, value in (variables | place).items():
        monkeypatch.setenv(key, value)
    assert run_id() == name


def test_a_process_that_is_started_by_this_one_takes_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert run_id() == "7"
    monkeypatch.setenv("SLURM_JOB_ID", "8")  # as in a job that submitit put into the queue
    assert run_id() == os.environ["RUN_ID"] == "7"


def test_a_run_by_hand_is_named_by_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")  # many runs of one interactive allocation
    name = run_id()
    assert name.startswith("20")
    assert len(name) == len("2026-01-01_00-00-00")


def test_processes_without_a_common_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(ConfigError, match="RUN_ID=NAME torchrun"):
        run_id()


def test_a_rank_reads_the_config_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, seen = job_config(tmp_path, "task=focusmae"), []

    def job(cfg) -> float:
        assert relaunched() is None
        monkeypatch.setenv("LOCAL_RANK", "1")  # as in the process that Lightning starts meanwhile
        seen.append(relaunched())
        return 0.5

    assert launch(job, config) == 0.5
    assert seen == [config]
    assert OmegaConf.load(tmp_path / "config.yaml") == config
    assert not list(tmp_path.glob("*.part"))


def test_the_process_is_left_as_it_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PORT", "1")

    def job(cfg) -> None:
        import torch.distributed as dist

        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", LOCAL_RANK="0", WORLD_SIZE="1")
        dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
        raise KeyError("a job that fails")

    with pytest.raises(KeyError):
        launch(job, job_config(tmp_path, "task=focusmae"))
    import torch.distributed as dist

    assert not dist.is_initialized()
    assert os.environ["MASTER_PORT"] == "1"
    assert not {"MASTER_ADDR", "LOCAL_RANK", "WORLD_SIZE", CONFIG_VARIABLE} & os.environ.keys()


def test_a_later_job_has_all_threads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    before = torch.get_num_threads()

    def job(cfg) -> None:  # as Lightning does for a job of several ranks
        os.environ[THREADS_VARIABLE] = str(before + 1)
        torch.set_num_threads(before + 1)

    launch(job, job_config(tmp_path, "task=focusmae"))
    assert torch.get_num_threads() == before and THREADS_VARIABLE not in os.environ


def test_every_job_of_a_long_sweep_is_compiled(tmp_path: Path) -> None:
    compiled = []

    class Scale(nn.Module):
        def __init__(self, factor: int) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.factor * x

    def job(cfg) -> None:
        model = Scale(cfg.seed)
        model.compile(backend=lambda graph, inputs: compiled.append(cfg.seed) or graph.forward)
        model(torch.ones(cfg.seed))

    jobs = range(1, torch._dynamo.config.recompile_limit + 3)
    for seed in jobs:
        launch(job, job_config(tmp_path, "task=focusmae", f"seed={seed}"))
    assert compiled == list(jobs)


def test_an_evaluation_leaves_the_config_of_the_training(tmp_path: Path) -> None:
    launch(lambda cfg: None, job_config(tmp_path, "task=focusmae", "seed=1"))
    launch(lambda cfg: None, job_config(tmp_path, "task=focusmae", "mode=test", "seed=2"))
    assert OmegaConf.load(tmp_path / "config.yaml").seed == 1
    assert OmegaConf.load(tmp_path / "config_test.yaml").seed == 2


def test_the_command_is_said_as_it_can_be_typed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "-m", "optim.lr=tag(log,interval(1e-4,1e-2))"])
    with caplog.at_level("INFO"):
        launch(lambda cfg: None, job_config(tmp_path, "task=focusmae"))
    assert "python train.py -m 'optim.lr=tag(log,interval(1e-4,1e-2))'" in caplog.messages


def test_a_job_is_checked_before_it_leaves_anything(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mode=fly"):
        launch(lambda cfg: None, job_config(tmp_path / "run", "task=focusmae", "mode=fly"))
    assert not (tmp_path / "run").exists()


def test_messages_end_the_program_and_faults_keep_their_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as end, readable():
        raise ConfigError("optim.lr: too much")
    assert end.value.code == 1
    assert capsys.readouterr().err == "optim.lr: too much\n"
    with pytest.raises(SystemExit), readable():
        regions.read_regions(Path("nowhere"), [])
    assert capsys.readouterr().err.startswith("datamodule.regions: nowhere does not exist")
    with pytest.raises(ValueError, match="a fault"), readable():
        raise ValueError("a fault")  # not of the project
    with pytest.raises(ValueError, match="invalid literal"), readable():
        build._at([], ".x")  # of the project, but not in its words
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit), readable():
        raise ConfigError("said by the first rank")
    assert capsys.readouterr().err == ""
