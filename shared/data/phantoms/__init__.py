"""Phantom data sets: small synthetic images in the real layout, for a machine that has no data.

A new phantom is one module with a ``write(folder)`` function and one line in ``PHANTOMS``. Raise the version
whenever the written files change: it is part of the path in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.data.phantoms import brats, camus, covid_ct, folder, isic, lizard


@dataclass(frozen=True)
class Phantom:
    """How to write a phantom data set into an empty folder, and the version of what it writes."""

    write: Callable[[Path], None]
    version: int


PHANTOMS: dict[str, Phantom] = {
    "folder": Phantom(folder.write, version=1),
    "brats": Phantom(brats.write, version=1),
    "camus": Phantom(camus.write, version=1),
    "covid_ct": Phantom(covid_ct.write, version=4),
    "isic": Phantom(isic.write, version=3),
    "lizard": Phantom(lizard.write, version=2),
}
