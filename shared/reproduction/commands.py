"""What MONAI's bundle runner is told to do for a run: files, overrides and the command that does the same."""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from shared import bundle_root
from shared.bundle import reading
from shared.bundle.overlays import OVERLAYS
from shared.files import digest
from shared.reproduction.description import Run


def data_of(run: Run) -> str:
    """Return the name of the data set that a run reads."""
    return str(run.overrides.get("test_dataset", run.bundle.partition("_")[2]))


def run_id(run: Run) -> str:
    """Return the list of expressions that a run evaluates."""
    return "evaluating" if run.kind == "evaluation" else "training"


def config_files(run: Run) -> list[str]:
    """Return the configuration files of a run, in their order."""
    names = ["train", "evaluate"] if run.kind == "evaluation" else ["train"]
    own = reading.config_files(Path(bundle_root(run.bundle)), *names)
    return own + [str(OVERLAYS / name) for name in run.overlays]


def configuration_digest(files: list[str]) -> str:
    """Return what tells configurations apart (16 hexadecimal digits); layout and descriptions do not count."""
    content = ConfigParser.load_config_files(files)
    return digest(json.dumps(_without_descriptions(content), sort_keys=True).encode())[:16]


def _without_descriptions(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_descriptions(value) for key, value in content.items() if key != "_desc_"}
    return [_without_descriptions(value) for value in content] if isinstance(content, list) else content


def command_line(run_id: str, files: list[str], overrides: Mapping[str, Any]) -> str:
    """Return what a person would type to run a bundle, with paths as seen from the repository."""
    root = OVERLAYS.parents[1]
    short = [str(Path(file).relative_to(root)) if Path(file).is_relative_to(root) else file for file in files]
    words = ["python", "-m", "monai.bundle", "run", run_id, "--config_file"]
    words.append(short[0] if len(short) == 1 else str(short))
    for key, value in overrides.items():
        words += [f"--{key}", str(value)]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Quote a word for the shell; a list of files stays readable."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


@contextlib.contextmanager
def output_in(path: Path) -> Iterator[None]:
    """Append everything that is printed and logged to a file."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with open(path, "a", encoding="utf-8") as file:
        # MONAI's loggers hold the streams that there were at import; a bundle's logging.conf takes today's.
        streams = {handler: handler.stream for handler in _stream_handlers()}
        for handler in streams:
            handler.stream = file
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            root.handlers[:], root.level = handlers, level
            # Handlers made meanwhile must not keep a file that is about to be closed.
            for handler in _stream_handlers():
                handler.stream = streams.get(handler, sys.stderr)


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    """Return the handlers of all loggers, but for the root's, that write to a stream."""
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    return [handler for logger in loggers for handler in logger.handlers if type(handler) is logging.StreamHandler]
