"""Overlays: configurations that are listed behind a bundle's own and change parts of it.

MONAI merges the files before any code of this package is imported, and ends at a key such as ``train#dataset#data``
with a bare KeyError where there is no ``train``. So our overlays say ``+train`` and ``+train#dataset``, which makes
what is missing, and whoever evaluates the configuration finds it here. A component that an overlay replaces as a whole,
such as ``noise``, would be made where there is none, and nobody would use it: that is found here, too.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from shared.bundle.running import Running, find_running
from shared.errors import InputError, show_errors_last
from shared.files import short_path

OVERLAYS = Path(__file__).resolve().parents[1] / "configs"
"""Folder of the overlays for every bundle."""


def check_overlays() -> None:
    """Check that the configuration that is being evaluated has what its overlays change.

    Does nothing when none is being evaluated. ``check_configuration`` does it first; an overlay whose own
    ``initialize`` needs keys of the bundle names it there, because that runs earlier.

    Raises:
        InputError: naming the overlay, its key, and the file that lacks what it changes.
    """
    show_errors_last()
    running = find_running()
    if running is None:
        return
    content = running.parser.get()
    overlays = [Path(file) for file in running.files[1:]] if running.files else sorted(OVERLAYS.glob("*.json"))
    additions = [addition for overlay in overlays for addition in _additions(overlay)]
    added: dict[str, set[str]] = defaultdict(set)
    for each in additions:
        for outer, inner in pairwise(each.blocks):
            added[outer].add(inner.rpartition("#")[2])
        added[each.block].add(each.key)
    # From Python any of ours may have been listed: the values tell which one it was.
    there = [each for each in additions if each.key in _block(content, each.block)]
    for each in sorted(there, key=lambda each: (not each.is_in(content), not _is_in(content, each.overlay))):
        for block in each.blocks:
            if _block(content, block).keys() <= added[block]:
                raise InputError(_message(running, each, block))
    for overlay in overlays:
        for key in _unused(overlay, content):
            raise InputError(f"overlay {short_path(overlay)}: {key}: found nothing in {_base(running)} that refers to "
                             f"it, expected '@{key}' somewhere; leave the overlay out")


@dataclass(frozen=True)
class _Addition:
    """What an overlay adds to a block by ``+``.

    Attributes:
        overlay: file of the overlay.
        block: id of the block.
        key: of the addition, in the block.
        value: of the addition.
    """

    overlay: Path
    block: str
    key: str
    value: Any

    @property
    def blocks(self) -> list[str]:
        """Ids of the block and of all that it lies in, the outermost first."""
        parts = self.block.split("#")
        return ["#".join(parts[: depth + 1]) for depth in range(len(parts))]

    def is_in(self, content: Any) -> bool:
        """Whether a configuration has it as it is."""
        return _same(_block(content, self.block).get(self.key), self.value)


def _additions(overlay: Path) -> Iterator[_Addition]:
    for key, value in ConfigParser.load_config_file(overlay).items():
        if key.startswith("+") and isinstance(value, Mapping):
            yield from (_Addition(overlay, key[1:].replace("::", "#"), *item) for item in value.items())


def _unused(overlay: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of components that an overlay puts into a configuration where nothing refers to them."""
    text = json.dumps(content, default=str)
    for key, value in ConfigParser.load_config_file(overlay).items():
        is_component = isinstance(value, Mapping) and "_target_" in value
        if is_component and _same(content.get(key), value) and not re.search(rf"@{re.escape(key)}\b", text):
            yield key


def _is_in(content: Mapping[str, Any], overlay: Path) -> bool:
    """Whether a configuration has what an overlay sets at its top, apart from what is merged into blocks."""
    set_at_top = ((key, value) for key, value in ConfigParser.load_config_file(overlay).items() if key[0] not in "_+")
    return all(_same(content.get(key), value) for key, value in set_at_top)


def _same(first: Any, second: Any) -> bool:
    """Whether two parts of configurations are equal but for how MONAI writes an id."""
    one, other = (json.dumps(each, default=str).replace("#", "::") for each in (first, second))
    return one == other


def _block(content: Any, id: str) -> Mapping[str, Any]:
    """Return a block of a configuration; an empty one where there is none."""
    for name in id.split("#"):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _message(running: Running, addition: _Addition, block: str) -> str:
    root = running.config_root or Path()
    fitting = [path.name for path in sorted(root.glob("*.json")) if _has(path, block)]
    remedy = f"list the overlay behind {fitting[0]}, or leave it out" if fitting else "leave the overlay out"
    return (f"overlay {short_path(addition.overlay)}: {addition.block}#{addition.key}: found no {block!r} in "
            f"{_base(running)}, expected one to change; {remedy}")


def _base(running: Running) -> str:
    """Return what names the configuration that overlays are listed behind."""
    if running.files:
        return short_path(running.files[0])
    return f"the configuration in {short_path(running.config_root or Path())}"


def _has(path: Path, id: str) -> bool:
    return id in ConfigParser(ConfigParser.load_config_file(path))
