"""Deterministic splits into training, validation and test that keep groups (patients, lesions) whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from shared.errors import InputError, nearest

SECTIONS = ("training", "validation", "test")
SPLITS = ("official", "paper")
"""Splits of the data sets that come with one which is not the paper's."""


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise InputError when ``value`` is none of ``choices``, with the nearest one named."""
    choices = list(choices)
    if value in choices:
        return
    near = nearest(str(value), choices, always=True)[0]
    raise InputError(f"{name} '{value}' is unknown; the nearest is '{near}' (known: {', '.join(choices)})")


def split_groups(groups: Iterable[str], test: float = 0.2, validation: float = 0.1, seed: int = 0) -> dict[str, str]:
    """Assign every group to one section.

    Groups are ordered by a hash of (seed, group) and cut by count, so the result depends on no library version and
    on no file order, and a group added later moves at most one group across each cut. (scikit-learn's
    GroupShuffleSplit permutes positions instead: one added group reshuffles everything.)

    Args:
        groups: group names, repeated or not.
        test: fraction of all groups in the test section.
        validation: fraction of the groups left for training that validate instead.
        seed: another seed, another split.

    Returns:
        Group name to section, every section with at least one group (validation only when its fraction is not 0).

    Raises:
        InputError: a fraction outside [0, 1), or too few groups to fill the sections.
    """
    for name, fraction in (("test", test), ("validation", validation)):
        if not 0 <= fraction < 1:
            raise InputError(f"{name} fraction {fraction} is not in [0, 1)")
    ordered = in_hash_order(groups, seed)
    tests = _portion(len(ordered), test)
    validations = _portion(len(ordered) - tests, validation)
    if tests + validations >= len(ordered):
        raise InputError(f"{len(ordered)} group(s) are too few to split into training, validation and test")
    sections = ["test"] * tests + ["validation"] * validations
    sections += ["training"] * (len(ordered) - len(sections))
    return dict(zip(ordered, sections, strict=True))


def in_hash_order(groups: Iterable[str], seed: int = 0) -> list[str]:
    """Return each group once, in an order that depends on the seed and on no library version or file order."""
    return sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())


def taken_evenly(items: Sequence[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """Return at most ``limit`` items, spread evenly over all of them from the first on; None for all."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[place * len(items) // limit] for place in range(limit)]


def _portion(count: int, fraction: float) -> int:
    return max(1, round(count * fraction)) if fraction > 0 else 0


def select_section(
    items: Sequence[dict[str, Any]], section: str, test: float = 0.2, validation: float = 0.1, seed: int = 0
) -> list[dict[str, Any]]:
    """Return the items (dictionaries with ``group``) of one section, in the order given.

    Raises:
        InputError: unknown section, or what :func:`split_groups` raises.
    """
    check_choice("section", section, SECTIONS)
    sections = split_groups((item["group"] for item in items), test, validation, seed)
    return [item for item in items if sections[item["group"]] == section]
