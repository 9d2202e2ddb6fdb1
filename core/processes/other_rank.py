"""What a rank that the first process of the job started does differently: it lives no longer, and fails in silence.

Nothing but the standard library is imported, so that it watches before it loads torch.
"""

import json
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from core.atomic import write_file
from core.errors import is_for_users
from core.processes.signals import request

STARTER_VARIABLE = "VIDZOO_STARTER"  # process id of the rank that starts the others of its node
LOOK_S = 0.5  # between two looks at another process
GRACE_S = 5.0  # for a process to end by itself that lost another one
_CONNECTION = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")


@contextmanager
def other_rank(folder: str | Path) -> Iterator[None]:
    """Run this rank's share of the job.

    When it fails it says so to the first process of its node, which speaks for all, and ends. When that one is gone it
    ends, too, wherever it is.

    Args:
        folder: Run folder.
    """
    starter = int(os.environ.get(STARTER_VARIABLE, os.getppid()))
    threading.Thread(target=_end_with, args=(starter,), daemon=True).start()
    try:
        yield
    except Exception as error:
        if is_consequence(error):
            time.sleep(2 * LOOK_S)  # time to see whether it is the starter that is gone
        text = str(error) if is_for_users(error) else traceback.format_exc()
        told = json.dumps({"text": text, "consequence": is_consequence(error)}).encode()
        write_file(failure_file(folder, local_rank()), told)
        leave_at_once(1)


def is_consequence(error: BaseException) -> bool:
    """Whether ``error`` says no more than that the connection to another rank is lost."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in _CONNECTION)


def failure_file(folder: str | Path, rank: int) -> Path:
    """Where a rank of this node, counted within it, leaves what it failed of."""
    return Path(folder, f".failed-{os.environ.get('NODE_RANK', '0')}-{rank}.json")


def local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def leave_at_once(code: int) -> NoReturn:
    """End this process and those that it started, without cleaning up: that may wait for ranks that are gone."""
    for process in multiprocessing.active_children():
        process.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(LOOK_S)
    if request.leaving:
        time.sleep(GRACE_S)
    elif local_rank() == 1:
        print(f"the first process of this job ({starter}) was killed or crashed; its ranks end", file=sys.stderr)
    leave_at_once(1)
