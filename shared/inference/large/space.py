"""Room on the disk for what is about to be written."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path


def require_space(folder: Path, needed: int) -> None:
    """Find out whether a folder has room for ``needed`` bytes.

    Raises:
        OSError: it has not, as where the disk is full.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        found = f"needs up to {needed / 2**20:.0f} MiB, found {free / 2**20:.0f} MiB free"
        raise OSError(errno.ENOSPC, found)
