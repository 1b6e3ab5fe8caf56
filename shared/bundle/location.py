"""Where a packaged bundle lies.

Several packages can be in use in one process, and the first ``shared`` that was imported serves them all, so its own
place says nothing about the others. What tells packages apart is ``package.json`` in each one's folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from shared.errors import InputError

FILE_NAME = "package.json"
"""What names a package: lies in its folder."""


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


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message that names what was probably meant, or nothing."""
    close = get_close_matches(name, list(known), n=2)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


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
