"""Where a bundle lies: in the repository, or as a package, in a folder of its own.

Several packages can be in use in one process, and the first ``shared`` that was imported serves them all, so its own
place says nothing about the others. What tells packages apart is ``package.json`` in each one's folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from shared.bundle.running import find_running, running_folder
from shared.errors import InputError, did_you_mean, nearest, show_errors_last
from shared.version import __version__

FILE_NAME = "package.json"
"""What names a package: lies in its folder."""

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
            check_version(found, shared_version, __version__, _HOME)
    except InputError:
        if find_running() is not None:
            # A configuration asks before check_configuration has run, and MONAI wraps the answer.
            show_errors_last()
        raise
    return str(found)


def find_package(name: str, home: Path, folder: str | Path | None = None) -> Path:
    """Return the folder of a package.

    It is the folder that its configuration says it was read from; else the one package of this name in the working
    directory or on ``sys.path``; else the package that ``shared`` was imported from.

    Args:
        name: of the bundle.
        home: the folder that ``shared`` was imported from.
        folder: what the configuration says; of another package, it is passed over.

    Raises:
        InputError: when there is no such package, or when nothing decides between two.
    """
    places: list[list[str | Path]] = [[folder] if folder else [], [Path.cwd(), *sys.path], [home]]
    found = next(filter(None, (_named(name, each) for each in places)), None)
    if found is None:
        raise InputError(f"bundle {name!r}: found no package of this name in the working directory or on sys.path, "
                         f"expected a folder with {FILE_NAME}; start in the package's folder or add it to sys.path")
    if len(found) > 1:
        raise InputError(f"bundle {name!r}: found packages in {found[0]} and in {found[1]}, expected one; start in one "
                         "of them without the other on sys.path, or set bundle_root to the one that is meant")
    return found[0]


def check_version(folder: Path, made_with: str, version: str, home: Path) -> None:
    """Check that the process has imported the ``shared`` that a package was made with.

    Args:
        folder: of the package.
        made_with: version of ``shared`` in the package.
        version: of the ``shared`` that was imported.
        home: the folder that it was imported from.

    Raises:
        InputError: naming both versions, when it has imported another one.
    """
    if made_with != version:
        raise InputError(f"package {folder}: made with shared {made_with}, found shared {version}, imported from "
                         f"{home}; start in the package's folder, in a process that has used no other")


def is_package(folder: Path) -> bool:
    """Whether a folder is that of a package."""
    return _name_in(folder) is not None


def _in_repository(name: str) -> Path:
    folder = _BUNDLES / name
    if not (folder / "configs").is_dir():
        known = bundle_names()
        names = ", ".join(known) or "none"
        hint = did_you_mean(nearest(name, known, 2))
        raise InputError(f"bundle {name!r}: no folder {folder}; bundles found: {names}{hint}")
    return folder


def _named(name: str, places: Iterable[str | Path]) -> list[Path]:
    """Return the folders among some places that hold the package of a name, each once."""
    folders = dict.fromkeys(Path(place).resolve() for place in places)
    return [folder for folder in folders if _name_in(folder) == name]


def _name_in(folder: Path) -> str | None:
    """Return the name in a folder's package.json; None where there is none, or one of another kind (npm's)."""
    try:
        content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("name") if isinstance(content, dict) and "shared_version" in content else None
