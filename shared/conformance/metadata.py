"""What configs/metadata.json says, but for the format of the network's data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shared
from shared.conformance.bundle import Bundle
from shared.conformance.requirements import require
from shared.conformance.result import Result
from shared.errors import InputError
from shared.files import read_json
from shared.packaging.metadata import METADATA

SCHEMA = Path(__file__).with_name("meta_schema.json")
SCHEMA_ADDRESS = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/"
REQUIRED = (
    "name", "changelog", "task", "description", "authors", "copyright", "data_source", "data_type", "image_classes",
    "pred_classes", "intended_use", "references",
)
"""Keys that must not be missing or empty, besides those that MONAI's schema requires."""
PINNED = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
NO_DIAGNOSIS = "not for diagnostic use"


def check_metadata(bundle: Bundle) -> Result:
    """MONAI's schema, the Model Zoo's keys, a version with an entry in the changelog, versions as they are pinned."""
    metadata = bundle.metadata
    lines = [*_schema_failures(metadata), *_key_failures(metadata), *_version_failures(metadata)]
    lines += _pin_failures(metadata, pins(bundle))
    return Result.of([f"{METADATA}: {line}" for line in lines])


def pins(bundle: Bundle) -> dict[str, str]:
    """Versions that requirements.txt pins: the one in a package's folder, else the repository's.

    Raises:
        InputError: there is none.
    """
    places = (bundle.folder, Path(shared.__file__).resolve().parents[1])
    path = next((folder / "requirements.txt" for folder in places if (folder / "requirements.txt").is_file()), None)
    if path is None:
        raise InputError(f"requirements.txt: found none in {bundle.folder} and {places[1]}, expected pinned versions")
    lines = path.read_text(encoding="utf-8").splitlines()
    return {match[1]: match[2] for match in (re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines) if match}


def _schema_failures(metadata: dict[str, Any]) -> Iterator[str]:
    require("jsonschema")
    from jsonschema import Draft4Validator

    schema = read_json(SCHEMA, "MONAI's schema")
    for error in sorted(Draft4Validator(schema).iter_errors(metadata), key=lambda error: list(map(str, error.path))):
        key = "#".join(map(str, error.absolute_path))
        if error.validator == "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            yield f"{key}#{missing}: found nothing, expected what MONAI's schema requires".lstrip("#")
        else:
            yield f"{key}: found {json.dumps(error.instance)[:60]}, expected {error.validator} {error.validator_value}"


def _key_failures(metadata: dict[str, Any]) -> Iterator[str]:
    for key in REQUIRED:
        if not metadata.get(key):
            yield f"{key}: found {metadata.get(key, 'nothing')!r}, expected what the Model Zoo shows"
    if NO_DIAGNOSIS not in str(metadata.get("intended_use", "")).lower():
        yield f"intended_use: found {metadata.get('intended_use')!r}, expected the words {NO_DIAGNOSIS!r}"
    if not str(metadata.get("schema", "")).startswith(SCHEMA_ADDRESS):
        yield f"schema: found {metadata.get('schema')!r}, expected an address below {SCHEMA_ADDRESS}"
    if "optional_packages_version" in metadata:
        yield "optional_packages_version: found MONAI's old name of this key, expected required_packages_version"


def _version_failures(metadata: dict[str, Any]) -> Iterator[str]:
    version, changelog = metadata.get("version"), metadata.get("changelog")
    if not isinstance(version, str) or not isinstance(changelog, dict):
        return
    for each in dict.fromkeys([version, *changelog]):
        if not re.fullmatch(r"\d+\.\d+\.\d+", each):
            yield f"version: found {each!r}, expected three numbers, for example 0.1.0"
            return
    if version not in changelog:
        yield f"version: found {version}, expected one with an entry in changelog, which has {', '.join(changelog)}"
    elif _numbers(version) != max(map(_numbers, changelog)):
        yield f"version: found {version}, expected the newest of changelog, which has {', '.join(changelog)}"
    for each, text in changelog.items():
        if not str(text).strip():
            yield f"changelog#{each}: found no text, expected what changed"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _pin_failures(metadata: dict[str, Any], pinned: dict[str, str]) -> Iterator[str]:
    required = metadata.get("required_packages_version")
    stated = [(key, package, metadata.get(key)) for key, package in PINNED.items()]
    stated += [
        (f"required_packages_version#{package}", package, version)
        for package, version in (required.items() if isinstance(required, dict) else ())
    ]
    for key, package, version in stated:
        if package not in pinned:
            yield f"{key}: found {version!r}, expected only packages that requirements.txt pins"
        elif version != pinned[package]:
            yield f"{key}: found {version!r}, expected {pinned[package]}, which requirements.txt pins"
