"""The configurations of a bundle as MONAI reads them, for whoever has the bundle's folder.

The entry ``bundle_root`` is set to the folder, as the Model Zoo and MONAI Label do: a configuration outside a running
workflow has no other way to know it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow


def config_files(folder: Path, *names: str) -> list[str]:
    """Return the paths of configurations of a bundle, in the order in which MONAI merges them.

    Args:
        folder: of the bundle.
        names: of the files without their suffix, for example ``"train", "evaluate"``.
    """
    return [str(folder / "configs" / f"{name}.json") for name in names]


def read_configs(folder: Path, *names: str, **values: Any) -> ConfigParser:
    """Return MONAI's parser over configurations of a bundle, with its metadata where there are any.

    Args:
        folder: of the bundle.
        names: as for :func:`config_files`.
        values: of keys of the configuration; one that it does not have is left out.
    """
    parser = ConfigParser()
    parser.read_config(config_files(folder, *names))
    metadata = folder / "configs" / "metadata.json"
    if metadata.is_file():
        parser.read_meta(str(metadata))
    # Absolute: MONAI takes a value that begins with $, @ or % for an expression.
    for key, value in {"bundle_root": str(folder.absolute()), **values}.items():
        if key in parser:
            parser[key] = value
    return parser


def start_workflow(
    folder: Path, *names: str, kind: str = "infer", metadata: Path | None = None, **values: Any
) -> ConfigWorkflow:
    """Return an initialised workflow over configurations of a bundle; no logging file is read.

    Args:
        folder: of the bundle.
        names: as for :func:`config_files`.
        kind: of MONAI's workflow, "train" or "infer".
        metadata: file of metadata; None for that beside the first configuration.
        values: of keys of the configuration, each of which it must have.
    """
    workflow = ConfigWorkflow(
        config_files(folder, *names),
        None if metadata is None else str(metadata),
        logging_file=False,
        workflow_type=kind,
        **{"bundle_root": str(folder.absolute()), **values},
    )
    workflow.initialize()
    return workflow
