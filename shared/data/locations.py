"""Where a data set lies: the person's own folder, or a phantom made once in the cache."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

from shared.data.phantoms import PHANTOMS
from shared.errors import InputError, nearest
from shared.files import whole_folder

logger = logging.getLogger("shared.data")

DATA_VARIABLE = "MONAI_DATA_DIRECTORY"
PHANTOM_MARKER = "phantom.json"
CACHE_FOLDER = "enhancement-bundles"

#: Known data sets, and where a person gets them.
SOURCES = {
    "isic": "https://challenge.isic-archive.com/data/",
    "covid_ct": "https://github.com/UCSD-AI4H/COVID-CT",
    "lizard": "https://warwick.ac.uk/fac/cross_fac/tia/data/lizard/",
    "camus": "https://www.creatis.insa-lyon.fr/Challenge/camus/",
    "brats": "https://www.synapse.org/brats (BraTS), http://medicaldecathlon.com/ (Task01_BrainTumour, free)",
    "ccm": "the CORN-2 (iMED Ningbo) or Qilu CCM corneal confocal microscopy sets",
    "fundus": "https://github.com/HzFu/EyeQ",
    "colonoscopy": "https://datasets.simula.no/kvasir-seg/",
    "folder": "your own clean images",
}

_announced: set[str] = set()


def dataset_dir(name: str) -> str:
    """Return the folder of the data set ``name``, real or phantom.

    With ``MONAI_DATA_DIRECTORY`` set it is ``$MONAI_DATA_DIRECTORY/<name>``, which must exist. Without it, a small
    phantom in the real on-disk layout is made once in the user's cache (``XDG_CACHE_HOME``, else ``~/.cache``) and
    a warning says so: phantom data show that everything runs; they are no result.

    Raises:
        InputError: the name is unknown, the folder is missing, or there is no phantom for a known name.
    """
    if name not in SOURCES:
        near = nearest(name, SOURCES, always=True)[0]
        raise InputError(f"unknown data set '{name}'; the nearest known name is '{near}' (known: {', '.join(SOURCES)})")
    base = os.environ.get(DATA_VARIABLE)
    if base:
        folder = Path(base).expanduser() / name
        if not folder.is_dir():
            raise InputError(
                f"{DATA_VARIABLE}={base}: no folder '{folder}'; put the data set '{name}' there "
                f"(from {SOURCES[name]}), or unset the variable to use phantom data"
            )
        return str(folder)
    if name not in PHANTOMS:
        raise InputError(
            f"data set '{name}': {DATA_VARIABLE} is not set and there is no phantom for it; "
            f"set {DATA_VARIABLE} to the folder that holds '{name}', or give --dataset_dir (data: {SOURCES[name]})"
        )
    folder = _phantom_dir(name)
    if name not in _announced:
        _announced.add(name)
        logger.warning(
            f"using PHANTOM data for '{name}' (synthetic, no result): {folder}. For real data (from {SOURCES[name]}) "
            f"set {DATA_VARIABLE} to the folder that holds '{name}/', or give --dataset_dir FOLDER."
        )
    return str(folder)


def is_phantom(dataset_dir: str | os.PathLike[str]) -> bool:
    """Whether the folder is a phantom: it holds the marker file ``phantom.json``."""
    return (Path(dataset_dir) / PHANTOM_MARKER).is_file()


def cache_folder() -> Path:
    """The project's folder in the user's cache: in ``XDG_CACHE_HOME``, else in ``~/.cache``; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / CACHE_FOLDER


def _phantom_dir(name: str) -> Path:
    """The phantom's folder in the cache, made when it is not there yet."""
    folder = cache_folder() / f"phantom-{name}-v{PHANTOMS[name].version}"
    if not folder.exists():
        try:
            _make_phantom(name, folder)
        except OSError as err:
            raise InputError(
                f"phantom data for '{name}' cannot be written to '{folder}' ({err}); set XDG_CACHE_HOME to a "
                f"writable folder, or {DATA_VARIABLE} to real data"
            ) from err
    if not _is_complete(folder):
        raise InputError(f"phantom data in '{folder}' are incomplete (files were removed): delete the folder")
    return folder


def _make_phantom(name: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Of two processes at once, the first one wins.
    with contextlib.suppress(FileExistsError), whole_folder(folder) as partial:
        PHANTOMS[name].write(partial)
        marker = {"name": name, "version": PHANTOMS[name].version, "files": _count_files(partial)}
        (partial / PHANTOM_MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def _count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _is_complete(folder: Path) -> bool:
    try:
        marker = json.loads((folder / PHANTOM_MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(marker["files"] + 1 == _count_files(folder))
