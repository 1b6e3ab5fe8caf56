"""What MONAI is evaluating, found on the call stack: a component is told neither its configuration nor its file.

There is no hook for it. This is the only code of its kind here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from shared.errors import InputError

if TYPE_CHECKING:
    from monai.bundle import ConfigParser, ConfigWorkflow

_FOLDERS: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()
"""Folders by parser: once found, a parser is known wherever it evaluates, from another thread for example."""


@dataclass(frozen=True)
class Running:
    """A configuration that MONAI is evaluating.

    Attributes:
        parser: of the configuration.
        workflow: that the parser belongs to; None where MONAI reads a bundle without one, as ``ckpt_export`` does.
        files: of the configuration in their order, as far as they are known: not from Python.
    """

    parser: ConfigParser
    workflow: ConfigWorkflow | None
    files: tuple[str, ...]

    @property
    def config_root(self) -> Path | None:
        """Folder of the first file, where MONAI looks for metadata.json and logging.conf, too; None if not known."""
        if self.workflow is not None:
            return Path(self.workflow.config_root_path)
        return Path(self.files[0]).parent if self.files else None


def find_running() -> Running | None:
    """Return the innermost configuration that is being evaluated, None where there is none."""
    bundle = sys.modules.get("monai.bundle")
    if bundle is None:  # without MONAI, whose import takes seconds, nothing is evaluated
        return None
    parser: ConfigParser | None = None
    workflow: ConfigWorkflow | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        values = dict(frame.f_locals)
        if parser is None and isinstance(values.get("self"), bundle.ConfigParser):
            parser = values["self"]
        if parser is not None:
            # Whoever asks the parser of a workflow that is not running has the workflow in some variable.
            workflow = workflow or _owner(parser, values, bundle.ConfigWorkflow)
            holds = any(value is parser or (value is workflow and value is not None) for value in values.values())
            if holds and frame.f_globals.get("__name__") == "monai.bundle.scripts":
                return Running(parser, workflow, _files({**values.get("kwargs", {}), **values}))
        frame = frame.f_back
    return None if parser is None else Running(parser, workflow, ())


def running_folder(name: str) -> Path | None:
    """Return the folder of the bundle whose configuration is being evaluated.

    That is the folder around ``configs``, or the file's own where that has another name, as MONAI has it. Links stay
    as they are: a folder whose ``configs`` are linked is a bundle of its own.

    Args:
        name: in the entry ``bundle_root`` of the configuration; for another name the answer is None.

    Returns:
        The folder, or None where nothing is being evaluated or its file is not known: by a parser without a workflow.

    Raises:
        InputError: an overlay is listed first, or the file was named relative to another working directory.
    """
    running = find_running()
    if running is None or not _asks_for_itself(running.parser, name):
        return None
    if running.parser not in _FOLDERS:
        root = running.config_root
        if root is None:
            return None
        _FOLDERS[running.parser] = _around(root)
    return _FOLDERS[running.parser]


def _owner(parser: ConfigParser, values: Mapping[str, Any], kind: type[ConfigWorkflow]) -> ConfigWorkflow | None:
    found = (value for value in values.values() if kind in type(value).__mro__ and vars(value).get("parser") is parser)
    return next(found, None)


def _files(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the configuration files among the arguments of a function such as ``monai.bundle.run``."""
    from monai.bundle import update_kwargs
    from monai.utils import ensure_tuple

    files = update_kwargs(arguments.get("args_file"), config_file=arguments.get("config_file")).get("config_file")
    if isinstance(files, str) and not Path(files).is_file():
        files = [name.strip() for name in files.split(",")]
    return tuple(str(file) for file in ensure_tuple(files)) if files else ()


def _asks_for_itself(parser: ConfigParser, name: str) -> bool:
    """Whether a configuration's own entry has this name, not a call for some other bundle while it is evaluated."""
    content = parser.get()
    if not isinstance(content, Mapping):
        return False
    package = content.get("package")
    entries = [content.get("bundle_root"), package.get("root") if isinstance(package, Mapping) else None]
    return any(isinstance(entry, Mapping) and entry.get("name") == name for entry in entries)


def _around(root: Path) -> Path:
    folder = Path(os.path.abspath(root))
    if not root.is_dir():
        raise InputError(f"bundle_root: the configuration was read from {root}, and there is no such folder seen from "
                         f"{Path.cwd()}; give the configuration by its absolute path")
    if not folder.is_dir() or not folder.samefile(root):  # ".." behind a link
        folder = root.resolve()
    if folder.name != "configs":
        return folder
    if (folder.parent / "bundle" / Path(__file__).name).is_file():
        raise InputError(f"config_file: found an overlay of {root} listed first, expected a bundle's own file first, "
                         "for example train.json, and overlays behind it")
    return folder.parent
