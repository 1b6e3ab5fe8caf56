"""What a person sees who waits: a bar on a terminal, a plain line now and then in a log or a batch job."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from tqdm import tqdm

PLAIN_SECONDS = 10.0
"""Seconds between plain lines where there is no terminal."""


def say(line: str, stream: TextIO | None = None) -> None:
    """Show a line without disturbing a bar.

    Args:
        line: without its end.
        stream: where to write; None for standard error, where MONAI's log goes.
    """
    out = sys.stderr if stream is None else stream
    tqdm.write(line, file=out)
    out.flush()


class Waiting:
    """A bar over a number of things, on a terminal; elsewhere a plain line is due every ten seconds.

    The line is the caller's to say: ``if waiting.is_due(): say(...)``.

    Args:
        total: how many there are.
        unit: what they are, in one word.
        title: what the bar begins with.
        done: how many an earlier run finished.
        leave: whether the bar stays when it is closed.
        stream: where to write; None for standard error.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        title: str | None = None,
        done: int = 0,
        leave: bool = True,
        stream: TextIO | None = None,
    ) -> None:
        out = sys.stderr if stream is None else stream
        self._begun = self._last_line = time.monotonic()
        self._bar = tqdm(
            desc=title, total=total, initial=done, unit=unit, file=out, dynamic_ncols=True, leave=leave,
            disable=not out.isatty(),
        )

    def advance(self, number: int = 1, detail: str = "") -> None:
        """Move the bar.

        Args:
            number: of things done since the last call.
            detail: what the bar ends with.
        """
        if detail and not self._bar.disable:
            self._bar.set_postfix_str(detail, refresh=False)
        self._bar.update(number)

    def is_due(self, anyway: bool = False) -> bool:
        """Whether to say a plain line now: there is no bar, and the last line was said long enough ago.

        Args:
            anyway: do not wait so long, as for the first and the last of the things.
        """
        now = time.monotonic()
        if not self._bar.disable or not (anyway or now - self._last_line > PLAIN_SECONDS):
            return False
        self._last_line = now
        return True

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._begun

    def close(self) -> None:
        """End the bar; more than once does no harm."""
        self._bar.close()
