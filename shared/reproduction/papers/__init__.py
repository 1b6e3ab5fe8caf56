"""The papers: a package each, which provides its tables, figures and numbers as ``PAPER``.

A new paper is a new package here, with ``PAPER`` in its ``__init__.py``; nothing else has to know it. Its numbers lie
in a ``numbers.json`` (see :func:`shared.reproduction.printed.read_printed`).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace

from shared.data.splits import check_choice
from shared.reproduction.description import Figure, Paper, Table
from shared.reproduction.profiles import PROFILES, Profile

ALL = "all"


def names() -> list[str]:
    """Return the names of the papers, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def paper(name: str) -> Paper:
    """Return a paper by its name, which is that of its package.

    Raises:
        ValueError: when the package gives it another name.
    """
    found: Paper = importlib.import_module(f"{__name__}.{name}").PAPER
    if found.name != name:
        raise ValueError(f"PAPER of {__name__}.{name}: expected the name of its package, found {found.name!r}")
    return found


def called(of: Paper, name: str) -> str:
    """Return what the files of a table or figure are called, for example "rirgan-table2".

    Those of the paper with short names go without its name, as in "table2".
    """
    return name if of.short_names else f"{of.name}-{name}"


def profiles() -> dict[str, Profile]:
    """Return all profiles by name; those of two papers with one name have the sizes of both."""
    found = dict(PROFILES)
    for profile in (profile for name in names() for profile in paper(name).profiles.values()):
        if other := found.get(profile.name):
            meaning = f"{other.meaning}; {profile.meaning}"
            shortened = {**other.shortened, **profile.shortened}
            of_bundle = {**other.of_bundle, **profile.of_bundle}
            profile = replace(other, meaning=meaning, shortened=shortened, of_bundle=of_bundle)
        found[profile.name] = profile
    return found


def select(wanted: Sequence[str]) -> tuple[dict[str, Table], dict[str, Figure]]:
    """Return tables and figures by what their files are called.

    Args:
        wanted: names such as "gradprom-table1"; "gradprom-all" is every table of the paper, and every figure. Of the
            paper with short names, "table1" and "all" do as well.

    Raises:
        InputError: for a name that there is not.
    """
    tables: dict[str, Table] = {}
    figures: dict[str, Figure] = {}
    meant: dict[str, list[str]] = {}
    for of in map(paper, names()):
        own = {called(of, table.name): table for table in of.tables}
        drawn = {called(of, name): figure for name, figure in of.figures.items()}
        groups = {called(of, ALL): [*(name for name, table in own.items() if table.printed is not None), *drawn]}
        groups |= {name: [name] for name in (*own, *drawn)}
        groups |= {f"{of.name}-{name.removeprefix(f'{of.name}-')}": group for name, group in groups.items()}
        tables, figures, meant = tables | own, figures | drawn, meant | groups
    for name in wanted:
        check_choice("name", name, meant)
    chosen = list(dict.fromkeys(name for group in wanted for name in meant[group]))
    return (
        {name: tables[name] for name in chosen if name in tables},
        {name: figures[name] for name in chosen if name in figures},
    )
