"""Which bundle a person means by a name, a folder or a package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from shared.bundle.archive import open_package
from shared.bundle.location import bundle_names, bundle_root
from shared.errors import InputError, did_you_mean, nearest

INFERENCE = Path("configs") / "inference.json"
METADATA = Path("configs") / "metadata.json"


@contextlib.contextmanager
def open_bundle(name: str, argument: str, needed: Path = INFERENCE) -> Iterator[Path]:
    """Give the folder of a bundle; a zip file is unpacked for as long as the context lasts.

    Args:
        name: of a bundle in the repository or of the package that this code lies in, path of a bundle's folder, or
            path of a package's zip file.
        argument: by which a person named it, for messages.
        needed: file in the folder without which it is none.

    Raises:
        InputError: there is no such bundle (the message names the nearest ones), or the zip file is damaged.
    """
    path = Path(name).expanduser()
    if path.is_file() or path.suffix == ".zip":
        with open_package(path) as folder:
            yield folder
    else:
        yield _folder(name, path, argument, needed)


def _folder(name: str, path: Path, argument: str, needed: Path) -> Path:
    if (path / needed).is_file():
        return path.resolve()
    known = bundle_names()
    if len(path.parts) != 1:
        raise InputError(f"{argument}: found no {path / needed}, expected the folder of a bundle")
    if name in known or not known:
        return Path(bundle_root(name))
    hint = did_you_mean(nearest(name, known, 2)) or f", expected a folder, a zip file or one of {', '.join(known)}"
    raise InputError(f"{argument}: found no bundle {name!r}{hint}")
