"""Windows put on the disk beside the work on the next ones."""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from core.atomic import fill_folder

AT_ONCE = 4  # windows: file systems write in one go what several threads wait for
WAITING = 4  # more, made and held in memory


@contextmanager
def saving() -> Iterator[Callable[[Path, Mapping[str, bytes], Path], None]]:
    """Give a function that saves a window as `store` does, and may return before; all are saved when this is left.

    Raises:
        OSError: At one of the next calls or at the end, when a window could not be saved.
    """
    begun: deque[Future] = deque()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="save") as pool:

        def save(partial: Path, files: Mapping[str, bytes], target: Path) -> None:
            if len(begun) == AT_ONCE + WAITING:
                begun.popleft().result()
            begun.append(pool.submit(store, partial, files, target))

        yield save
        while begun:
            begun.popleft().result()


def store(partial: Path, files: Mapping[str, bytes], target: Path) -> None:
    """Complete a folder with files and give it its final name; a folder that is there makes way.

    Args:
        partial: The folder as it is so far.
        files: What is lacking.
        target: Where it belongs.
    """
    fill_folder(partial, files)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        old = partial.with_suffix(f".old{partial.suffix}")
        target.rename(old)
        shutil.rmtree(old)
    partial.rename(target)
