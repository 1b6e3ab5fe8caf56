"""A package checked by the code that lies in it, in a process of its own: as whoever unpacks it will run it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shared.conformance.result import OK, SKIPPED, Result

CODE = "code"
"""Head of the column that names the version of a package's code."""
SCRIPT = Path(__file__).with_name("package_script.py")


def check_package(
    folder: Path, checks: Sequence[str], own_weights: bool, exports: Path | None, say: Callable[[str], None]
) -> dict[str, Result]:
    """Run checks over a package by its own ``shared``.

    Args:
        folder: of the package, absolute.
        checks: names of what to check; one that the package's code does not know is left out.
        own_weights: as for ``check_bundle``.
        exports: as for ``check_bundle``.
        say: as for ``check_bundle``.

    Returns:
        What each check found, by its name; before them, as :data:`CODE`, whether the code could be run.
    """
    with tempfile.TemporaryDirectory(prefix="check-package-") as work:
        answer, errors = Path(work, "answer.json"), Path(work, "errors.txt")
        request = {
            "folder": str(folder),
            "checks": list(checks),
            "own_weights": own_weights,
            "exports": str(exports.resolve()) if exports else None,
            "answer": str(answer),
        }
        code = _run(request, errors, checks, say)
        if not answer.is_file():
            lines = errors.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
            return _failed(checks, f"found an end with exit code {code} ({last})")
        content: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in content:
        return _failed(checks, f"found {content['error']}")
    results = {name: Result(**{**each, "failures": tuple(each["failures"])}) for name, each in content["found"].items()}
    return {CODE: Result(OK, content["version"]), **results}


def _run(request: dict[str, Any], errors: Path, checks: Sequence[str], say: Callable[[str], None]) -> int:
    """Run the script in the package's folder, pass on which check it is at, and return its exit code."""
    # Without -P the script's folder, without -B what Python compiles would come into play: nothing is written.
    command = [sys.executable, "-P", "-B", str(SCRIPT), json.dumps(request)]
    with (
        errors.open("w", encoding="utf-8") as sink,
        subprocess.Popen(
            command, cwd=request["folder"], stdout=subprocess.PIPE, stderr=sink, encoding="utf-8", errors="replace"
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                if line.strip() in checks:
                    say(line.strip())
        except BaseException:
            process.kill()
            raise
    return process.returncode


def _failed(checks: Sequence[str], found: str) -> dict[str, Result]:
    failure = f"shared: {found}, expected the package's own code to check the package"
    return {CODE: Result.of([failure]), **{name: Result(SKIPPED, f"needs {CODE!r} to be ok") for name in checks}}
