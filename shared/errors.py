"""The error a person sees when a file or a setting is wrong, and what its message says."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from types import TracebackType


class InputError(ValueError):
    """Bad input from outside: a file, a folder or a configuration key.

    The message names the file or the key, what was found and what was expected, in one line: the command
    line shows it as the last line on the terminal.
    """


class NoIntensities(InputError):  # noqa: N818 - it names what the file holds, like StopIteration
    """A file that is whole and known, but holds no image of intensities: a label map, a dose, a report, ...

    It is refused by its name where it is given alone, left out and counted in a folder.

    Attributes:
        kind: what it holds, in the few words under which such files are counted ("label maps").
    """

    def __init__(self, message: str, kind: str = "files without an image") -> None:
        super().__init__(message)
        self.kind = kind


def nearest(name: str, known: Iterable[str], most: int = 1, always: bool = False) -> list[str]:
    """Return the names among ``known`` that were probably meant by ``name``, the nearest first.

    Args:
        name: what a person wrote.
        known: what there is.
        most: how many to return.
        always: return the nearest ones however far they are; else only what is similar.
    """
    return get_close_matches(name, list(known), n=most, cutoff=0.0 if always else 0.6)


def did_you_mean(names: Sequence[str]) -> str:
    """Return the end of a message that names what was probably meant, or nothing: ``; did you mean 'train'?``."""
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""


def root_cause(error: BaseException) -> BaseException:
    """Return the error that a person should see: a bad input in a chain of causes, else the chain's first error."""
    while error.__cause__ is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """Return what an error of a library says, in one line; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def message_of(error: BaseException) -> str:
    """Return the one line that says what went wrong, whatever has been wrapped around it.

    A worker of a DataLoader sends its whole traceback as text; the line of the first error in it is picked out.
    """
    cause = root_cause(error)
    text = str(cause.args[0]) if isinstance(cause, KeyError) and cause.args else str(cause)
    sent = re.search(r"^(?:\w+\.)+(?:InputError|NoIntensities|NonFiniteError): (.*)$", text, re.MULTILINE)
    if sent is not None:
        return sent.group(1)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return line if isinstance(cause, InputError) else f"{type(cause).__name__}: {line}"


def show_errors_last() -> None:
    """Let an uncaught error of a command end with its message, not with what MONAI wraps around it.

    Replaces ``sys.excepthook``, which only acts when a process is about to end. A bad input shows its message
    alone, any other error its traceback first.
    """
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return
    line = message_of(error)
    if not isinstance(root_cause(error), InputError):
        traceback.print_exception(kind, error, trace)
    sys.stderr.write(f"error: {line}\n")
