"""What happens between the command line and the first job: print the zoo, or refuse what cannot work."""

import sys

from core.command_line import zoo
from core.errors import ConfigError, readable, until_read

_HELP = ("-h", "--help")
_SWEEP = ("-m", "--multirun")


def prepare(arguments: list[str]) -> list[str]:
    """Check the command line and return it as Hydra shall see it.

    Without arguments, or with ``--help``, the zoo is printed and the program ends. A wrong command line ends the
    program with one message and exit code 1.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The same arguments, ``-m`` in front wherever it stood: Hydra's parser does not take it between overrides.
    """
    if not arguments or any(argument in _HELP for argument in arguments):
        with until_read():
            print(zoo.text())
        sys.exit(0)
    sweep = [argument for argument in arguments if argument in _SWEEP]
    arguments = [*sweep[:1], *(argument for argument in arguments if argument not in _SWEEP)]
    with readable():
        _check(arguments)
    return arguments


def _check(arguments: list[str]) -> None:
    from hydra._internal.utils import get_args_parser

    from core.command_line.check import check_overrides
    from core.run_id import run_id

    parser = get_args_parser()
    parser.error = _refuse
    given = parser.parse_args(arguments)
    elsewhere = given.config_dir or given.config_path or given.config_name or given.experimental_rerun
    if elsewhere or given.hydra_help or given.shell_completion or given.info:
        return  # Hydra's own business; the config is checked again when a job starts
    run_id()
    check_overrides(given.overrides, given.multirun)


def _refuse(message: str) -> None:
    raise ConfigError(f"{message}; options of vidzoo are written key=value, flags are -m, --cfg job and --help")
