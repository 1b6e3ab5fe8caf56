"""Makes packages of the repository's bundles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import shared
from shared import InputError, bundle_root
from shared.bundle import provenance
from shared.bundle.archive import to_zip
from shared.bundle.manifest import Manifest
from shared.errors import did_you_mean, nearest
from shared.files import digest, make_folder, read_json, write_atomically
from shared.packaging import configs, documents
from shared.packaging.metadata import METADATA, for_weights
from shared.packaging.trained import described, trained

REPOSITORY = Path(shared.__file__).resolve().parents[1]


@dataclass(frozen=True)
class Options:
    """What a person can choose about a package.

    Attributes:
        weights: whether trained weights come along, where there are any.
        recognition: whether the recognition networks' weights come along too.
        urls: where files of the package can be downloaded, by path: they are left out, and large_files.yml names them.
    """

    weights: bool = True
    recognition: bool = False
    urls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Package:
    """A package that was written.

    Attributes:
        path: of the zip file.
        sha256: of the zip file.
        files: number of files in it.
        size: of the zip file in bytes.
        weights: what it holds of weights, in words.
    """

    path: Path
    sha256: str
    files: int
    size: int
    weights: str


def build(name: str, out: str | Path, options: Options | None = None) -> Package:
    """Write the package of a bundle: ``<out>/<name>_v<version>.zip``, as the Model Zoo names its files.

    Args:
        name: of the bundle.
        out: folder of the zip file; is made where it is missing.
        options: what is not as usual.

    Raises:
        InputError: when there is no such bundle, its weights must not be given away, a URL belongs to no file, or the
            zip file cannot be written. Nothing is written then, and an earlier zip file stays.
    """
    options = options or Options()
    bundle = Path(bundle_root(name))
    manifest, files = contents(bundle, options)
    content = to_zip(manifest, files)
    path = Path(out) / f"{manifest.name}_v{manifest.version}.zip"
    make_folder(path.parent)
    write_atomically(path, content)
    weights = described(bundle) if "models/model.pt" in {**files, **options.urls} else "no weights"
    return Package(path, digest(content), len(files) + 1, len(content), weights)


def contents(bundle: Path, options: Options) -> tuple[Manifest, dict[str, bytes]]:
    """Return what a bundle's package holds: its manifest, and the content of the other files by path.

    Args:
        bundle: the bundle's folder in the repository.
        options: as for :func:`build`.

    Raises:
        InputError: as :func:`build` does.
    """
    name, extra = bundle.name, documents.extras(REPOSITORY / "pyproject.toml")
    files = {"LICENSE": _read(bundle / "LICENSE")}
    for path, content in _tree(bundle, "configs").items():
        files[path] = _config(bundle / path, content, name)
    for path, content in _tree(bundle, "docs").items():
        if path.endswith(".md"):
            content = documents.localise(content.decode(), name, extra, bool(options.urls)).encode()
        files[path] = content
    files |= _tree(REPOSITORY, "shared")
    files["requirements.txt"] = documents.requirements(_read(REPOSITORY / "requirements.txt").decode()).encode()
    if options.weights:
        files |= trained(bundle, options.recognition)
    metadata = read_json(bundle / METADATA, "the bundle's metadata")
    version = metadata.get("version")
    if not isinstance(version, str) or not version:
        raise InputError(f"{bundle / METADATA}: found version {version!r}, expected one such as 0.1.0")
    origin = json.loads(files.get(f"models/{provenance.FILE_NAME}", b"{}"))
    adapted = for_weights(metadata, read_json(bundle / "configs" / "inference.json", "a configuration"), origin)
    if adapted != metadata:
        files[METADATA] = configs.to_text(adapted).encode()
    files |= _leave_out(files, options.urls)
    sums = {path: digest(content) for path, content in sorted(files.items())}
    return Manifest(name, version, shared.__version__, sums), files


def _config(path: Path, content: bytes, name: str) -> bytes:
    """Return a configuration's content for the package."""
    if path.suffix != ".json":
        return content
    config = read_json(path, "a configuration")
    local = configs.localise(config, name, shared.__version__)
    return content if local == config else configs.to_text(local).encode()


def _leave_out(files: dict[str, bytes], urls: Mapping[str, str]) -> dict[str, bytes]:
    """Take the files that have a URL out of a package, and return the file that names them."""
    for path in urls:
        if path not in files:
            hint = did_you_mean(nearest(path, files, 2))
            raise InputError(f"--url {path}: found no such file in the package{hint}")
    if not urls:
        return {}
    sums = {path: digest(files.pop(path)) for path in urls}
    return {"large_files.yml": documents.large_files(urls, sums).encode()}


def _tree(root: Path, folder: str) -> dict[str, bytes]:
    """Return the files below a folder of ``root``, by path, without what Python, editors and systems leave there."""
    paths = [path.relative_to(root) for path in sorted((root / folder).rglob("*")) if path.is_file()]
    kept = [path for path in paths if not any(part == "__pycache__" or part.startswith(".") for part in path.parts)]
    return {path.as_posix(): _read(root / path) for path in kept if path.suffix != ".pyc" and path.name[-1] != "~"}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err.strerror or err}") from err
