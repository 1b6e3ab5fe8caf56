"""Bundles run as a person runs them: a command, in a process of its own or in this one, which has imported MONAI."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import fire
from monai.bundle import scripts
from monai.utils import set_determinism

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent.parent for path in ROOT.glob("bundles/*/configs/train.json"))
SMOKE = ROOT / "shared" / "configs" / "smoke.json"
TINY = Path(__file__).with_name("tiny.json")


def config(bundle: Path, *names: str | Path) -> str:
    """The value of --config_file: names of the bundle's own files, then paths of overlays."""
    files = [bundle / "configs" / name if isinstance(name, str) else name for name in names]
    return str([str(file) for file in files])


def arguments(
    bundle: Path, folder: Path, *names: str | Path, run_id: str = "training", **overrides: object
) -> list[str]:
    """Arguments of ``python -m monai.bundle`` for a run that writes below a folder only."""
    values = {"ckpt_dir": folder / "models", "output_dir": folder / "eval", **overrides}
    options = [word for key, value in values.items() for word in (f"--{key}", str(value))]
    return ["run", run_id, "--config_file", config(bundle, *names), *options]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **more}


def start(words: list[str], **kwargs) -> subprocess.Popen:
    kwargs = {"cwd": ROOT, "env": environment(), **kwargs}
    command = [sys.executable, "-m", "monai.bundle", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)


def run(words: list[str], **kwargs) -> tuple[int, str]:
    """Exit code and everything printed."""
    process = start(words, **kwargs)
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


@contextlib.contextmanager
def warnings_as_by_default(stream: TextIO) -> Iterator[None]:
    """Warnings are shown, and shown again, as a process of their own would show them: pytest collects them."""

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        stream.write(warnings.formatwarning(message, category, filename, lineno))

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def call(words: list[str], cwd: Path = ROOT) -> tuple[int, str]:
    """As :func:`run`, in this process: no time for imports, and everything else as the command does it."""
    root, hook, said = logging.getLogger(), sys.excepthook, io.StringIO()
    handlers, level = list(root.handlers), root.level
    code = 0
    try:
        with (
            contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.chdir(cwd),
            warnings_as_by_default(said),
        ):
            try:
                fire.Fire({"run": scripts.run}, command=words)
            except Exception as err:
                code = 1
                sys.excepthook(type(err), err, err.__traceback__)
    finally:
        root.handlers, sys.excepthook = handlers, hook
        root.setLevel(level)
        set_determinism(None)
    return code, said.getvalue()


def succeed(words: list[str], **kwargs) -> str:
    code, output = run(words, **kwargs)
    assert code == 0, output
    return output


def succeed_here(words: list[str], cwd: Path = ROOT) -> str:
    """As :func:`succeed`, in this process."""
    code, output = call(words, cwd)
    assert code == 0, output
    return output
