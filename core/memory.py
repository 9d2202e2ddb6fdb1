"""Memory of a process that computes on CPUs: what tensors give back is kept for the next ones."""

import ctypes
import os
import sys

# Parameters of mallopt, and variables by which a user decides about them: mallopt(3) of the GNU C library.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
OF_THE_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
LARGEST = 2**31 - 1  # bytes; mallopt takes an int


def keep_freed_memory() -> bool:
    """Have the GNU C library keep large blocks that are freed, instead of giving them back to the kernel.

    By itself it maps each large block anew and unmaps it when a tensor dies. The kernel then hands out, and fills with
    zeros, each page of each activation of each step: 10,000 to 30,000 pages for a clip of a ViT-S, a fifth of its time.
    The price: what was needed once is held until the process ends, and the peak was up to a tenth higher.

    Returns:
        Whether anything was changed: not on other systems, nor where the user's environment decides about it.
    """
    if sys.platform != "linux" or any(name in os.environ for name in OF_THE_USER):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):  # another C library
        return False
    return all(library.mallopt(option, LARGEST) for option in (MMAP_THRESHOLD, TRIM_THRESHOLD))
