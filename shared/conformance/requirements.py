"""Packages that only the checks need."""

from __future__ import annotations

from importlib.util import find_spec

from shared.errors import InputError

PACKAGES = ("jsonschema", "onnx", "onnxruntime", "onnxscript")
"""All of the extra ``export``."""


def require(*packages: str) -> None:
    """Stop where a package is not installed.

    Raises:
        InputError: naming the first that is missing, and the extra that has it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f"package {package}: not installed; the extra 'export' has it: pip install -e '.[export]'")
