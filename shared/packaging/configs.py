"""The configurations of a package: as in the repository, but for how they find their own folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WIDTH = 120
"""Of a line in a written configuration."""


def localise(config: Mapping[str, Any], name: str, shared_version: str) -> dict[str, Any]:
    """Return a configuration that finds the package it lies in; one without a bundle_root is an overlay and stays.

    ``shared.bundle_root`` finds the folder, as in the repository; but it lies in the package, which must be on
    ``sys.path`` before it is looked up: first of all in ``initialize``, because ``monai.bundle.load`` and
    ``create_workflow`` only initialise, and MONAI extends the path when a run begins. So one expression looks for the
    ``ConfigWorkflow`` on the call stack, as :mod:`shared.bundle.running` does, which cannot be imported yet. A bare
    parser leaves no such trace: then ``shared.bundle_root`` searches ``sys.path`` and the working directory.

    ``network_def`` asks for the same, so that the version of ``shared`` is checked also where bundle_root is set from
    outside, as MONAI Label does.

    Args:
        config: content of a file in ``configs/``.
        name: of the bundle.
        shared_version: of the ``shared`` that lies in the package.
    """
    if not isinstance(config.get("bundle_root"), Mapping):
        return dict(config)
    found = {
        "_desc_": "The folder of this package, wherever it lies: its own shared/ is used, in the version named here.",
        "imports": ["$import inspect", "$import sys", "$from monai.bundle import ConfigWorkflow"],
        "configs": "$[w.config_root_path for f in inspect.stack(0) "
                   "if isinstance(w := f.frame.f_locals.get('self'), ConfigWorkflow)]",
        "folder": "$str(@package#configs[0].resolve().parent) if @package#configs else None",
        "path": "$@package#folder and sys.path.insert(0, @package#folder)",
        "root": {
            "_target_": "shared.bundle_root",
            "_requires_": "@package#path",
            "name": name,
            "shared_version": shared_version,
            "folder": "@package#folder",
        },
    }
    local: dict[str, Any] = {}
    for key, value in config.items():
        if "package" not in local and key != "imports":
            local["package"] = found
        local[key] = value
    local["bundle_root"] = "@package#root"
    local["network_def"] = {"_requires_": "@package#root", **config["network_def"]}
    local["initialize"] = ["@package#root", *config.get("initialize", [])]
    return local


def to_text(config: Mapping[str, Any]) -> str:
    """Return a configuration as JSON; what fits on a line is on one."""
    return _text(config, indent=0, used=WIDTH) + "\n"


def _text(value: Any, indent: int, used: int) -> str:
    """Return JSON of which the first line begins after ``used`` characters."""
    line = json.dumps(value)
    if used + len(line) < WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + 4
    keys = [f"{json.dumps(key)}: " for key in value] if isinstance(value, dict) else [""] * len(value)
    items = value.values() if isinstance(value, dict) else value
    rows = [f"{' ' * inner}{key}{_text(item, inner, inner + len(key))}" for key, item in zip(keys, items, strict=True)]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([first, ",\n".join(rows), f"{' ' * indent}{last}"])
