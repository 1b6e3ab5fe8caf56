"""Where a bundle lies."""

from __future__ import annotations

from pathlib import Path

import shared
from shared.bundle.location import check_version, find_package, nearest
from shared.bundle.running import find_running, running_folder
from shared.errors import InputError, show_errors_last

_HOME = Path(__file__).resolve().parents[2]
_BUNDLES = _HOME / "bundles"


def bundle_names() -> list[str]:
    """Return the names of the repository's bundles, sorted; none where this package lies in a packaged bundle."""
    return sorted(path.parent.name for path in _BUNDLES.glob("*/configs"))


def bundle_root(name: str, shared_version: str | None = None, folder: str | None = None) -> str:
    """Return the folder of a bundle, wherever the command was started.

    Asked by a bundle's configuration, that is the folder whose configuration MONAI evaluates, wherever it lies and
    whatever it is called. The name decides only where no file is known, as from Python or by a parser that belongs to
    no workflow: ``<repository>/bundles/<name>``, found from where this package lies, or a package of this name, as
    ``find_package`` finds it.

    Args:
        name: the bundle's folder name, for example ``gradprom_isic``.
        shared_version: of a packaged bundle: the version of this package that it was made with.
        folder: of a packaged bundle: what its configuration says of where it was read from.

    Raises:
        InputError: when there is no such bundle, when two packages could be meant, or when a packaged bundle was made
            with another version of this package than the one that the process has imported.
    """
    try:
        found = running_folder(name)
        if found is None:
            packaged = shared_version is not None or not _BUNDLES.is_dir()
            found = find_package(name, _HOME, folder) if packaged else _in_repository(name)
        if shared_version is not None:
            check_version(found, shared_version, shared.__version__, _HOME)
    except InputError:
        if find_running() is not None:
            # A configuration asks before check_configuration has run, and MONAI wraps the answer.
            show_errors_last()
        raise
    return str(found)


def _in_repository(name: str) -> Path:
    folder = _BUNDLES / name
    if not (folder / "configs").is_dir():
        known = bundle_names()
        names = ", ".join(known) or "none"
        raise InputError(f"bundle {name!r}: no folder {folder}; bundles found: {names}{nearest(name, known)}")
    return folder
