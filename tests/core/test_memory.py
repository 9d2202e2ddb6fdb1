"""What is kept of freed memory, told by the pages that the kernel had to hand out, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import memory

ROOT = Path(__file__).parents[2]
GLIBC = hasattr(os, "confstr") and "CS_GNU_LIBC_VERSION" in os.confstr_names
pytestmark = pytest.mark.skipif(sys.platform != "linux" or not GLIBC, reason="only the GNU C library can be told so")

# Blocks above the size from which on glibc maps whatever it has learned of a process: 32 MiB.
BLOCK, TIMES = 48 * 2**20, 20
SCRIPT = f"""
import resource, torch
from core.memory import keep_freed_memory
print(keep_freed_memory())
for _ in range({TIMES}):  # until the heap has found its shape: what is freed is first cut up by smaller blocks
    torch.ones({BLOCK}, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({TIMES}):
    torch.ones({BLOCK}, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def changed_and_pages(**variables: str) -> tuple[bool, int]:
    """What `keep_freed_memory` answers, and the pages handed out for tensors of the same size one after the other."""
    own = {name: value for name, value in os.environ.items() if name not in memory.OF_THE_USER}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=own | variables)
    changed, pages = done.stdout.split()
    return changed == "True", int(pages)


def test_a_tensor_gets_the_memory_of_the_one_before_it() -> None:
    changed, pages = changed_and_pages()
    assert changed
    assert pages < TIMES / 4 * BLOCK / os.sysconf("SC_PAGE_SIZE")


def test_what_the_environment_says_holds() -> None:
    changed, pages = changed_and_pages(MALLOC_TRIM_THRESHOLD_="131072")
    assert not changed
    assert pages > 3 * TIMES / 4 * BLOCK / os.sysconf("SC_PAGE_SIZE")  # or the other test could not fail
