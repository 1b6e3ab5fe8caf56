"""Writes a bundle's configurations from what it says of itself, ``facts.json``, and the recipes of its method.

Recipes and facts are merged as MONAI merges configuration files. The id of an entry begins with the file that it is
for: ``"train.json#network_def#in_channels": 3`` sets a key, ``"+train.json#origin": {…}`` adds keys. What has no
``.json`` in its name is a fact for others to take. Five things are added to MONAI's rules:

- Keys that a ``+`` adds come behind the key before them in the addition (the first ones: before the one behind them).
  The value ``"..."`` leaves a key as it is: it says where its neighbours go.
- A value ``"%id"`` is replaced by what lies at that id, a block without its ``_desc_``: ``"%data"`` by a fact,
  ``"%train.json#network_def"`` by a part of another file, ``"%requirements#monai"`` by a version in requirements.txt.
- A block with ``"_like_": "%id"`` begins as the block at that id; its own keys replace or join those.
- Entries of the lists in ``LISTS`` have names, under which later files find them. One that a later file sets to null is
  left out.
- A key that is not there is an error, but in what a ``+`` adds: a misspelt one would be a key that nobody reads.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from shared.errors import InputError, did_you_mean, nearest
from shared.files import make_folder, short_path, write_atomically

FACTS = "facts.json"
"""Of a bundle, beside its ``configs``."""
RECIPES = Path(__file__).resolve().parents[1] / "recipes"
"""Folder of what bundles have in common."""
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
METADATA = "metadata.json"
"""Where null is for facts to fill in; elsewhere it is a value."""
LISTS = ("handlers", "transforms", "references")
"""Keys of lists whose entries have names in recipes."""
AS_IT_IS = "..."
BLOCK = 8
"""Lines from which a block at the top of a file stands between blank lines."""


def compose(bundle: Path) -> dict[str, dict[str, Any]]:
    """Return the content of a bundle's configurations by file name.

    Args:
        bundle: folder with ``facts.json``.

    Raises:
        InputError: naming the file and the key that is wrong.
    """
    facts = _read(bundle / FACTS)
    recipes = facts.pop("recipes", None)
    known = sorted(each.stem for each in RECIPES.glob("*.json"))
    if not isinstance(recipes, list):
        found = "none" if recipes is None else repr(recipes)
        raise InputError(f"{short_path(bundle / FACTS)}: recipes: expected a list of {', '.join(known)}, found {found}")
    parser = ConfigParser({"bundle": bundle.name, "requirements": requirements()})
    for recipe in recipes:
        if recipe not in known:
            raise InputError(f"{short_path(bundle / FACTS)}: recipes: expected some of {', '.join(known)}, "
                             f"found {recipe!r}{did_you_mean(nearest(str(recipe), known))}")
        path = RECIPES / f"{recipe}.json"
        _merge(parser, _read(path), path)
    _merge(parser, facts, bundle / FACTS)
    content = parser.get()
    try:
        composed = {name: _composed(content[name], content, name) for name in content if name.endswith(".json")}
    except InputError as err:  # the key may be that of a recipe: what it lacks is a matter of these facts
        raise InputError(f"{short_path(bundle / FACTS)}: {err}") from err
    for id in _unfilled(composed.get(METADATA), METADATA):
        raise InputError(f"{short_path(bundle / FACTS)}: {id}: found nothing, which a recipe leaves to the facts")
    return composed


def write(bundle: Path) -> None:
    """Write the configurations of a bundle.

    Raises:
        InputError: as :func:`compose`, or a file cannot be written.
    """
    texts = {name: to_text(content) for name, content in compose(bundle).items()}
    make_folder(bundle / "configs")
    for name, text in texts.items():
        write_atomically(bundle / "configs" / name, text.encode())


def out_of_step(bundle: Path) -> Iterator[str]:
    """Yield, for each configuration that is not as its facts and recipes say, the first line that differs."""
    for name, content in compose(bundle).items():
        path = bundle / "configs" / name
        found = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        lines = zip_longest(to_text(content).splitlines(), found)
        for number, (expected, line) in enumerate(lines, 1):
            if expected != line:
                yield (f"{short_path(path)}: line {number}: expected {_shown(expected)}, found {_shown(line)}; change "
                       f"{FACTS} or shared/recipes and run: python scripts/compose.py {bundle.name}")
                break


def requirements() -> dict[str, str]:
    """Return the versions in requirements.txt by package."""
    pinned = re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(pinned)


def to_text(content: Mapping[str, Any]) -> str:
    """Return a configuration laid out for reading: small parts on a line, large blocks between blank lines.

    Raises:
        InputError: the package that does it is not installed.
    """
    try:
        from compact_json import Formatter  # of the extra "test": bundles run without it
    except ImportError as err:
        raise InputError("found no package compact-json, which lays out configurations; expected what "
                         "pip install -e '.[test]' installs") from err

    layout = Formatter(
        indent_spaces=4, max_inline_length=118, max_inline_complexity=2, max_compact_list_complexity=0,
        table_dict_minimum_similarity=101, table_list_minimum_similarity=101, nested_bracket_padding=False,
        ensure_ascii=False, dont_justify_numbers=True, omit_trailing_whitespace=True,
    )
    entries = re.split(r'\n(?= {4}")', layout.serialize(content).rstrip().removesuffix("\n}"))
    text = entries[0]
    for before, entry in zip(entries, entries[1:], strict=False):
        apart = max(before.count("\n"), entry.count("\n")) >= BLOCK
        text += ("\n\n" if apart else "\n") + entry
    return text + "\n}\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        content: Any = ConfigParser.load_config_file(path)
    except OSError as err:
        raise InputError(f"{short_path(path)} cannot be read: {err.strerror or err}") from err
    except ValueError as err:
        raise InputError(f"{short_path(path)}: found no JSON: {err}") from err
    if not isinstance(content, dict):
        raise InputError(f"{short_path(path)}: found {type(content).__name__}, expected a JSON object")
    return content


def _merge(parser: ConfigParser, additions: Mapping[str, Any], path: Path) -> None:
    for key, value in additions.items():
        if key.startswith("_"):
            continue
        id = key.removeprefix("+")
        if (id != key or "#" in id) and id not in parser:
            raise InputError(f"{short_path(path)}: {key}: found nothing of that id in the recipes before it"
                             f"{did_you_mean(_near(parser, id))}")
        if id == key:
            merge_kv(parser, key, value)
            continue
        block = parser[id]
        if not isinstance(value, Mapping | list) or not isinstance(block, dict if isinstance(value, Mapping) else list):
            raise InputError(f"{short_path(path)}: {key}: expected {{…}} to add to {{…}}, or […] to add to […], "
                             f"found {value!r} and {type(block).__name__}")
        if isinstance(value, list):
            merge_kv(parser, key, value)
            continue
        there = list(block)
        missing = [name for name, each in value.items() if each == AS_IT_IS and name not in there]
        if missing:
            raise InputError(f"{short_path(path)}: {key}: {missing[0]}: found none in the recipes before it"
                             f"{did_you_mean(nearest(missing[0], there))}")
        merge_kv(parser, key, {name: each for name, each in value.items() if each != AS_IT_IS})
        block = parser[id]
        parser[id] = {name: block[name] for name in _order(there, list(value))}


def _near(parser: ConfigParser, id: str) -> list[str]:
    """Return the id that was probably meant, if there is one: the first wrong part replaced by the nearest key."""
    block, names = parser.get(), id.split("#")
    for depth, name in enumerate(names):
        if not isinstance(block, Mapping):
            break
        if name not in block:
            meant = ("#".join([*names[:depth], close, *names[depth + 1 :]]) for close in nearest(name, block))
            return [each for each in meant if each in parser]
        block = block[name]
    return []


def _order(there: list[str], added: list[str]) -> list[str]:
    """Return all keys, new ones behind the one before them in ``added``, the first ones before the one behind them."""
    order = list(there)
    known = [name for name in added if name in there]
    for index, name in enumerate(added):
        if name in order:
            continue
        if index == 0 and known:
            order.insert(order.index(known[0]), name)
        else:
            order.insert(order.index(added[index - 1]) + 1 if index else len(order), name)
    return order


def _composed(value: Any, content: Mapping[str, Any], name: str, trail: tuple[str, ...] = ()) -> Any:
    """Return a part of a file with its macros replaced and its named lists as lists."""
    if isinstance(value, Mapping):
        if "_like_" in value:
            own = dict(value)
            like = own.pop("_like_")
            block = _composed(like, content, name, trail)
            if not isinstance(block, Mapping):
                raise InputError(f"{name}: _like_: expected '%' and the id of a block, found {like!r}")
            value = {**block, **own}
        parts = {key: _composed(each, content, name, trail) for key, each in value.items()}
        return {key: [e for e in each.values() if e is not None] if key in LISTS and isinstance(each, dict) else each
                for key, each in parts.items()}
    if isinstance(value, list):
        return [_composed(each, content, name, trail) for each in value]
    if value == AS_IT_IS:
        raise InputError(f"{name}: found {value!r}, which leaves a key as it is, outside what a '+' adds")
    if not (isinstance(value, str) and value.startswith("%")):
        return value
    id = value[1:]
    parser = ConfigParser({**content})
    if id not in parser:
        if id in ConfigParser(content[name]):
            return value  # a macro of the configuration itself, for MONAI
        raise InputError(f"{name}: found {value!r}, and nothing of that id in facts and recipes"
                         f"{did_you_mean([f'%{close}' for close in _near(parser, id)])}")
    if id in trail:
        raise InputError(f"{name}: {value!r} refers to itself: {' -> '.join([*trail, id])}")
    found = copy.deepcopy(parser[id])
    if isinstance(found, dict):
        found.pop("_desc_", None)
    return _composed(found, content, name, (*trail, id))


def _unfilled(value: Any, id: str) -> Iterator[str]:
    """Yield the ids of keys that are null, but for the whole."""
    for key, part in value.items() if isinstance(value, Mapping) else ():
        if part is None:
            yield f"{id}#{key}"
        yield from _unfilled(part, f"{id}#{key}")


def _shown(line: str | None) -> str:
    return "the end" if line is None else repr(line.strip())
