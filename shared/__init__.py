"""Components of the task-driven medical image enhancement bundles.

A bundle's configuration names what it uses by its full path, for example ``shared.handlers.GradPromHandler``.
"""

from __future__ import annotations

from pathlib import Path

from shared.errors import InputError, show_errors_last
from shared.packaging.location import find_package, nearest

__version__ = "0.3.0"

__all__ = ["InputError", "__version__", "bundle_names", "bundle_root"]

_HOME = Path(__file__).resolve().parent.parent
_BUNDLES = _HOME / "bundles"


def bundle_names() -> list[str]:
    """Return the names of the repository's bundles, sorted; none where this package lies in a packaged bundle."""
    return sorted(path.parent.name for path in _BUNDLES.glob("*/configs"))


def bundle_root(name: str, shared_version: str | None = None, folder: str | None = None) -> str:
    """Return the folder of a bundle, wherever the command was started.

    In the repository that is ``<repository>/bundles/<name>``, found from where this package lies. A packaged bundle
    has a copy of this package beside its configurations; which folder is its own, ``find_package`` tells.

    Args:
        name: the bundle's folder name, for example ``gradprom_isic``.
        shared_version: of a packaged bundle: the version of this package that it was made with.
        folder: of a packaged bundle: where its configuration was read from, as far as that is known.

    Raises:
        InputError: when there is no such bundle, when two packages could be meant, or when a packaged bundle was made
            with another version of this package than the one that the process has imported.
    """
    if shared_version is not None or not _BUNDLES.is_dir():
        try:
            return str(find_package(name, _HOME, __version__, shared_version, folder))
        except InputError:
            # A packaged configuration asks before check_configuration has run, and MONAI wraps the answer.
            show_errors_last()
            raise
    found = _BUNDLES / name
    if not (found / "configs").is_dir():
        known = bundle_names()
        names = ", ".join(known) or "none"
        raise InputError(f"bundle {name!r}: no folder {found}; bundles found: {names}{nearest(name, known)}")
    return str(found)
