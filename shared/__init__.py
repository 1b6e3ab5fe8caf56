"""Components of the task-driven medical image enhancement bundles.

A bundle's configuration names what it uses by its full path, for example ``shared.handlers.GradPromHandler``.
"""

from __future__ import annotations

from pathlib import Path

from shared.errors import InputError

__version__ = "0.2.0"

__all__ = ["InputError", "__version__", "bundle_root"]


def bundle_root(name: str) -> str:
    """Return the folder of a bundle, wherever the command was started.

    Args:
        name: the bundle's folder name, for example ``gradprom_isic``.

    Returns:
        ``<repository>/bundles/<name>``, found from where this package lies.

    Raises:
        InputError: when there is no such bundle.
    """
    bundles = Path(__file__).resolve().parent.parent / "bundles"
    folder = bundles / name
    if not (folder / "configs").is_dir():
        known = sorted(p.parent.name for p in bundles.glob("*/configs"))
        raise InputError(f"bundle {name!r}: no folder {folder}; bundles found: {', '.join(known) or 'none'}")
    return str(folder)
