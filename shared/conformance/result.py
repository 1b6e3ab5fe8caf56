"""What a check answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.conformance.bundle import Bundle

OK, FAIL, SKIPPED = "ok", "FAIL", "skipped"


@dataclass(frozen=True)
class Result:
    """What one check found in one bundle.

    Attributes:
        status: "ok", "FAIL" or "skipped".
        note: what the table says beside "ok", or why the check was skipped.
        failures: one line each, which names a file or key, what was found and what was expected.
        seconds: that the check took.
    """

    status: str
    note: str = ""
    failures: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, failures: Sequence[str], note: str = "") -> Result:
        """A result that is ok unless there are failures."""
        return cls(FAIL if failures else OK, "" if failures else note, tuple(failures))


@dataclass(frozen=True)
class Check:
    """A check of one bundle.

    Attributes:
        name: head of its column.
        function: what it does. An exception it raises is a failure.
        needs: names of earlier checks; where one of them is not ok, this one is skipped.
    """

    name: str
    function: Callable[[Bundle], Result]
    needs: tuple[str, ...] = ()
