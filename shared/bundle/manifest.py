"""``package.json``: what a package is and what it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from shared.errors import InputError


@dataclass(frozen=True)
class Manifest:
    """What a package is and what it holds.

    Attributes:
        name: of the bundle, which is the name of the package's folder.
        version: of the bundle.
        shared_version: of the code beside it.
        files: SHA-256 of every other file in the package, by its path.
    """

    name: str
    version: str
    shared_version: str
    files: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Return the content of package.json."""
        return (json.dumps(asdict(self), indent=4) + "\n").encode()


def parse(content: bytes, source: str) -> Manifest:
    """Return what a package.json says.

    Args:
        content: of the file.
        source: what it was read from, for the message.

    Raises:
        InputError: when it is not what a package has, or names files outside its folder.
    """
    expected = "the package.json of a bundle's package"
    try:
        values = json.loads(content)
        manifest = Manifest(**{key: values[key] for key in Manifest.__dataclass_fields__})
    except (ValueError, TypeError, KeyError) as err:
        raise InputError(f"{source}: found something else than {expected}") from err
    texts = (manifest.name, manifest.version, manifest.shared_version)
    if not all(isinstance(text, str) for text in texts) or not isinstance(manifest.files, dict):
        raise InputError(f"{source}: found other types than {expected} has")
    if not re.fullmatch(r"\w[\w.-]*", manifest.name):
        raise InputError(f"{source}: found the name {manifest.name!r}, expected that of a folder")
    for file in manifest.files:
        parts = PurePosixPath(file).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in file or ":" in file:
            raise InputError(f"{source}: found the file name {file!r}, expected one inside the package")
    return manifest
