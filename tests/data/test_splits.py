from __future__ import annotations

from collections import Counter

import pytest

from shared.data.splits import select_section, split_groups
from shared.errors import InputError


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_proportions_are_of_groups(seed: int) -> None:
    counts = Counter(split_groups([f"g{n % 100}" for n in range(1000)], seed=seed).values())
    assert counts == {"test": 20, "validation": 8, "training": 72}


def test_split_depends_on_seed_and_names_alone() -> None:
    names = [f"g{n}" for n in range(50)]
    assert split_groups(names) == split_groups(reversed(names))
    assert split_groups(names) != split_groups(names, seed=1)
    # Frozen, so that a change that would move test images into training cannot pass unseen.
    assert sorted(g for g, s in split_groups([f"g{n}" for n in range(10)]).items() if s == "test") == FROZEN


FROZEN = ["g3", "g7"]


def test_an_added_group_moves_at_most_one_group_over_each_cut() -> None:
    names = [f"g{n}" for n in range(200)]
    before, after = split_groups(names), split_groups([*names, "new"])
    assert sum(before[name] != after[name] for name in names) <= 2


def test_sections_are_disjoint_by_group_and_cover_all_in_order() -> None:
    items = [{"id": n, "group": f"g{n % 17}"} for n in range(100)]
    parts = {section: select_section(items, section) for section in ("training", "validation", "test")}
    groups = [{item["group"] for item in part} for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 17
    assert sorted(item["id"] for part in parts.values() for item in part) == list(range(100))
    assert all([item["id"] for item in part] == sorted(item["id"] for item in part) for part in parts.values())


def test_no_validation_when_its_fraction_is_zero() -> None:
    assert set(split_groups("abcde", validation=0).values()) == {"training", "test"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": "ab"}, "2 group"),
        ({"groups": "abcd", "test": 1.0}, "test fraction 1.0"),
        ({"groups": "abcd", "validation": -0.1}, "validation fraction -0.1"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_groups(**arguments)


def test_unknown_section_names_the_nearest() -> None:
    with pytest.raises(InputError, match="'trainig' is unknown; the nearest is 'training'"):
        select_section([{"group": g} for g in "abcd"], "trainig")
