"""Packages as zip files: written so that the same content gives the same bytes, and read with every file checked."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared.bundle.location import FILE_NAME
from shared.bundle.manifest import Manifest, parse
from shared.errors import InputError
from shared.files import digest, make_folder, whole_folder

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can name."""


def to_zip(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """Return the zip file of a package: one folder of the bundle's name.

    Times, order and permissions are fixed, and nothing is compressed, because another version of zlib compresses to
    other bytes: the same content has the same SHA-256 on every machine.

    Args:
        manifest: of the package.
        files: content by path, without package.json.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file, content in sorted({**files, FILE_NAME: manifest.to_bytes()}.items()):
            entry = zipfile.ZipInfo(f"{manifest.name}/{file}", EARLIEST)
            entry.create_system = 3  # Unix, on every system: it decides what the permissions mean
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def read_zip(path: str | Path) -> tuple[Manifest, dict[str, bytes]]:
    """Return what a package's zip file holds: its manifest, and the content of all files by path.

    Raises:
        InputError: when the file is missing, is no zip file, is damaged or is no package.
    """
    expected = "expected a package made by scripts/package.py"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file, {expected}") from err
    except (IsADirectoryError, PermissionError) as err:
        raise InputError(f"{path}: {(err.strerror or str(err)).lower()}, {expected}") from err
    # A damaged zip file raises any of these, and RuntimeError or NotImplementedError where a flag was hit.
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as err:
        raise InputError(f"{path}: found a damaged zip file ({err}), {expected}") from err
    manifests = [name for name in entries if name.endswith(f"/{FILE_NAME}") and name.count("/") == 1]
    if len(manifests) != 1:
        raise InputError(f"{path}: found no {FILE_NAME}, {expected}")
    manifest = parse(entries[manifests[0]], f"{path}: {manifests[0]}")
    top = f"{manifest.name}/"
    odd = sorted(set(entries) ^ {f"{top}{file}" for file in (*manifest.files, FILE_NAME)})
    if odd:
        raise InputError(f"{path}: found other files than {FILE_NAME} lists, the first is {odd[0]}")
    for file, sha256 in manifest.files.items():
        if digest(entries[top + file]) != sha256:
            raise InputError(f"{path}: found another content of {file} than {FILE_NAME} says; the zip file is damaged")
    return manifest, {name.removeprefix(top): content for name, content in entries.items()}


def unpack(path: str | Path, folder: str | Path) -> Path:
    """Unpack a package into a folder, whole or not at all; a second time changes nothing.

    Args:
        path: the zip file.
        folder: what gets the package's own folder; is made where it is missing.

    Returns:
        The package's folder, ``<folder>/<name>``.

    Raises:
        InputError: when the zip file is no sound package, when something else has the name of its folder, or when
            the folder cannot be written.
    """
    manifest, files = read_zip(path)
    folder = Path(folder)
    target = folder / manifest.name
    if os.path.lexists(target):
        with contextlib.suppress(OSError):
            if (target / FILE_NAME).read_bytes() == files[FILE_NAME]:
                return target
        raise InputError(f"{target}: exists and is not the package in {path}; move it away or give another folder")
    make_folder(folder)
    try:
        with whole_folder(target) as partial:
            for file, content in files.items():
                destination = partial / file
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(content)
    except OSError as err:
        raise InputError(f"{target} cannot be written: {err.strerror or err}") from err
    return target


@contextlib.contextmanager
def open_package(path: str | Path) -> Iterator[Path]:
    """Give the folder of a bundle: of a zip file, unpacked for as long as the context lasts; a folder is given as is.

    Args:
        path: a package's zip file, or a bundle's folder, packaged or not.

    Raises:
        InputError: when it is neither, or the zip file is damaged.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "configs" / "metadata.json").is_file():
            raise InputError(f"{path}: found no configs/metadata.json, expected the folder of a bundle")
        yield path
        return
    temporary = tempfile.mkdtemp(prefix="bundle-")
    try:
        yield unpack(path, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
