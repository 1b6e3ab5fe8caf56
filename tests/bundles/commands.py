"""Bundles run as a person runs them: a command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def succeed(words: list[str], **kwargs) -> str:
    code, output = run(words, **kwargs)
    assert code == 0, output
    return output
