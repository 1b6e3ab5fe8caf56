"""One run at a time for each report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from shared.errors import InputError
from shared.files import make_folder


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keep other runs from writing a report for as long as the context lasts.

    The operating system holds the lock, on a hidden file beside the report, and lets go of it however the process ends:
    a file that a killed run leaves behind hinders nobody.

    Raises:
        InputError: another run is writing the report, or no file can be made beside it.
    """
    make_folder(path.parent)
    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout as err:
        raise InputError(
            f"{path.parent}: another run is at work in this folder and writes {path.name}, expected none; "
            "wait for its end or name another folder"
        ) from err
    except OSError as err:
        raise InputError(f"{path} cannot be written: {err.strerror or err}") from err
    try:
        yield
    finally:
        # While it is locked: who has opened it meanwhile finds it gone (filelock looks), and starts with a new file.
        with contextlib.suppress(OSError):
            file.unlink()
        lock.release()
