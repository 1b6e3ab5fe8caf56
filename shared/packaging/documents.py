"""The documents and requirements of a package: as in the repository, with paths and commands that hold in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

SETUP = "In this folder, after `pip install -r requirements.txt` (Python 3.11 or later){download}:"
"""First line below a package's heading "Commands"."""

DOWNLOAD = " and `python -m monai.bundle download_large_files`"
"""The end of that line where some files are not in the package."""


def extras(pyproject: Path) -> dict[str, str]:
    """Return what the extras of the repository's pyproject.toml install, by their names."""
    content = tomllib.loads(pyproject.read_text(encoding="utf-8")) if pyproject.is_file() else {}
    groups = content.get("project", {}).get("optional-dependencies", {})
    return {name: " ".join(requirements) for name, requirements in groups.items()}


def localise(text: str, name: str, extra: Mapping[str, str], download: bool = False) -> str:
    """Return a document whose commands work in the package's folder.

    Paths begin there, what only the repository needs is left out, an extra of the repository becomes the requirements
    that it stands for, and links to other bundles, which are not in the package, become plain names.

    Args:
        text: Markdown.
        name: of the bundle.
        extra: as :func:`extras` returns it.
        download: whether some of the package's files have to be downloaded first.
    """
    setup = SETUP.format(download=DOWNLOAD if download else "")
    text = text.replace(f"bundles/{name}/", "")
    text = re.sub(r"^From the repository root[^\n]*\(from any folder[^)]*\):\n\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^From the repository root, w", "W", text, flags=re.MULTILINE)
    text = re.sub(r"^bash scripts/environment\.sh[^\n]*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"pip install -e '\.\[(\w+)\]'", lambda match: f"pip install {extra.get(match[1], match[1])}", text)
    text = re.sub(r"\[([^\]]+)\]\(\.\./\.\./[^)]*\)", r"\1", text)
    return re.sub(r"^## Commands\n\n", f"## Commands\n\n{setup}\n\n", text, flags=re.MULTILINE)


def requirements(text: str) -> str:
    """Return the repository's requirements without what their first lines say about the repository."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(["# Everything that this bundle needs, on Python 3.11 or later.", "", *lines, ""])


def large_files(urls: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """Return the large_files.yml that ``python -m monai.bundle download_large_files`` reads.

    Args:
        urls: where files can be downloaded, by their paths in the package.
        digests: their SHA-256.
    """
    entries = (
        f'  - path: "{path}"\n    url: "{url}"\n    hash_val: "{digests[path]}"\n    hash_type: "sha256"\n'
        for path, url in sorted(urls.items())
    )
    return "large_files:\n" + "".join(entries)
