"""Train, evaluate or run a model of the zoo: ``python train.py task=focusmae``; alone it prints the zoo."""

import sys

from core.command_line.cli import prepare
from core.processes.other_rank import other_rank
from core.processes.signals import answering_signals


def job(cfg) -> float | None:
    from core.run import run  # torch and lightning load only once a job starts

    return run(cfg)


def main(cfg) -> float | None:
    from core.launch import launch
    from core.sweep import errors_of_a_job

    with errors_of_a_job():
        return launch(job, cfg)


def start() -> None:
    from core.launch import relaunched

    config = relaunched()
    if config is not None:
        with other_rank(config.paths.run):
            job(config)
    else:
        sys.argv[1:] = prepare(sys.argv[1:])
        import hydra

        from core.sweep import last_word

        with last_word():
            hydra.main(version_base="1.3", config_path="conf", config_name="train")(main)()


if __name__ == "__main__":
    with answering_signals():
        start()
