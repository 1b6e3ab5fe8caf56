"""Measurements in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import shared
from shared.errors import InputError

STEADY = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
"""Environment in which glibc gives large arrays back when they are freed.

By itself it keeps them in pieces, as much as it happens: some tens of MiB more or less from run to run.
"""


def run_alone(title: str, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a module in a fresh process and return the last line that it prints.

    Args:
        title: what is measured, for the message.
        module: its full name.
        *arguments: of its command line.
        environment: variables that it gets besides those of this process.

    Raises:
        InputError: when the process fails, for example for want of memory.
    """
    # From the folder that holds the package, -m finds it, installed or not.
    process = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **(environment or {})},
        cwd=Path(shared.__file__).resolve().parents[1],
        capture_output=True,
        text=True,
    )
    if process.returncode != 0:
        last = process.stderr.strip().splitlines()[-1:] or ["no message"]
        raise InputError(f"{title}: process ended with code {process.returncode}: {last[0]}")
    return process.stdout.splitlines()[-1]
