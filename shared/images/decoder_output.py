"""What decoders written in C say on the terminal, in the log and in messages instead."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator

logger = logging.getLogger(__name__)
# Standard error belongs to the whole process.
_turn = threading.RLock()


def own_lines() -> contextlib.AbstractContextManager[object]:
    """Wait until no decoder in another thread is listened to: what is printed meanwhile stays on the terminal."""
    return _turn


@contextlib.contextmanager
def decoder_lines(path: str) -> Iterator[list[str]]:
    """Keep what a library prints on standard error from the terminal, and log it with the name of the file.

    One thread at a time: what others print meanwhile goes to the log, too, unless they ask for :func:`own_lines`.

    Args:
        path: of the file that is decoded, for the log.

    Yields:
        An empty list, which holds the lines afterwards.
    """
    lines: list[str] = []
    with _turn:
        try:
            terminal = os.dup(2)
        # Closed, as some services start their programs.
        except OSError:
            yield lines
            return
        with tempfile.TemporaryFile() as caught:
            _flush()
            os.dup2(caught.fileno(), 2)
            try:
                yield lines
            finally:
                _flush()
                os.dup2(terminal, 2)
                os.close(terminal)
                caught.seek(0)
                said = caught.read().decode(errors="replace").splitlines()
                lines += [line.strip() for line in said if line.strip()]
                for line, count in Counter(lines).items():
                    logger.info("%s: the decoder says: %s%s", path, line, f" ({count} times)" if count > 1 else "")


def _flush() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
