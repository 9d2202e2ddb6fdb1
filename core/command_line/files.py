"""Files and folders that a config names: they must be there."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.command_line.signature import class_literal
from core.errors import ConfigError, nearest, wrong


def check_file(key: str, value: str | None, words: tuple[str, ...] = ()) -> None:
    """Refuse a file that does not exist; addresses with a scheme (``s3://``) are left to what opens them.

    Args:
        key: Key that names it.
        value: Path, None, or one of ``words``.
        words: What stands for no path.

    Raises:
        ConfigError: When there is no such file, with the most similar name in its folder.
    """
    if value is not None and value not in words and "://" not in value and not Path(value).is_file():
        raise _lacking(key, value, "no such file", _possible(words, "a file"), words)


def check_can_be_made(key: str, folder: str) -> None:
    """Refuse a folder that cannot be made, before the first run is lost to it.

    Raises:
        ConfigError: When something else stands in its way, or nothing can be made in its nearest existing parent.
    """
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise wrong(key, folder, f"{there.name} is no folder; expected one that can be written to")
    try:  # what access rights say does not hold for every user and every file system
        TemporaryDirectory(prefix=".vidzoo-", dir=there).cleanup()
    except OSError as error:
        problem = f"{there} cannot be written to ({error.strerror}); give another folder as {key}=FOLDER"
        raise wrong(key, folder, problem) from error


def check_paths(key: str, values: Mapping[str, Any], target: str) -> None:
    """Refuse files and folders that do not exist, of the parameters that a class lists as paths.

    Two literals in the class body give, by parameter, the words that stand for no path: ``paths``, and
    ``paths_in_root`` for what may also be relative to the parameter ``root``.

    Raises:
        ConfigError: When there is no such file or folder, with the most similar name in its folder.
    """
    paths = class_literal(target, "paths") or {}
    root = values.get("root")
    for name, words in paths.items():
        value = values.get(name)
        if isinstance(value, str) and value not in words and not Path(value).exists():
            raise _lacking(f"{key}.{name}", value, "no such file or folder", _possible(words, "a path"), words)
    if not isinstance(root, str):
        return
    is_made = root in paths.get("root", ())  # and may be made yet: what lies in it is not known
    for name, words in (class_literal(target, "paths_in_root") or {}).items():
        value = values.get(name)
        if not isinstance(value, str) or value in words or (is_made and not Path(value).is_absolute()):
            continue
        if not (Path(value).exists() or Path(root, value).exists()):
            problem = f"no such file or folder, nor in {key}.root={root}"
            raise _lacking(f"{key}.{name}", value, problem, _possible(words, "a path"), words)


def _possible(words: tuple[str, ...], thing: str) -> list[str]:
    return [*words, thing] if words else []


def _lacking(key: str, value: str, problem: str, possible: list[str], words: tuple[str, ...]) -> ConfigError:
    folder = Path(value).parent
    siblings = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    near = nearest(Path(value).name, siblings)
    return wrong(key, value, problem, possible, nearest(value, words) or (near and str(folder / near)))
