"""Patterns of sizes in metadata.json."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.conformance.bundle import Bundle
from shared.conformance.spatial import enlargement, evaluate, shapes, sizes, step
from shared.errors import InputError
from tests.conformance.conftest import Copy


@pytest.mark.parametrize(
    ("pattern", "expected", "multiple"),
    [
        ("n", [9, 16, 31, 37, 48], 1),
        ("*", [9, 16, 31, 37, 48], 1),
        ("4*n", [12, 20, 36, 64, 124], 4),
        ("16 * n", [16, 32, 48, 80], 16),
        ("32**p*n", [32, 64, 96], 32),
        ("2**p*n", [10, 12, 18, 20, 32, 36, 62, 64, 74, 96, 124], 2),
        (256, [256], 0),
        ("256", [256], 0),
        ("512*n", [512], 512),
    ],
)
def test_sizes(pattern: str | int, expected: list[int], multiple: int) -> None:
    found = sizes(pattern)
    assert [size.pixels for size in found] == expected
    assert all(evaluate(pattern, size.p, size.n) == size.pixels for size in found)
    assert step(pattern) == multiple


@pytest.mark.parametrize("pattern", ["m", "n +", "import os", None, [1]])
def test_no_pattern(pattern: object) -> None:
    with pytest.raises(InputError, match="spatial_shape: found .*, expected a number"):
        evaluate(pattern, 1, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "factor"),
    [("n", "n", 1), ("n", "4*n", 4), ("8*n", "16*n", 2), ("*", "n", 1), (64, 128, 2), ("32**p*n", "32**p*n*2", 2)],
)
def test_enlargement(mni152: Copy, before: str | int, after: str | int, factor: int, tmp_path) -> None:
    def change(content: dict) -> None:
        content["network_data_format"]["inputs"]["image"]["spatial_shape"] = [before, before]
        content["network_data_format"]["outputs"]["pred"]["spatial_shape"] = [after, after]

    mni152.change("metadata", change)
    assert enlargement(Bundle(mni152.folder, tmp_path)) == (factor, factor)


def test_heights_and_widths_are_not_the_same(copy: Callable[[str], Copy], tmp_path) -> None:
    bundle = Bundle(copy("gradprom_lizard").folder, tmp_path)
    found = [(height.pixels, width.pixels) for height, width in shapes(bundle)]
    assert found == [(9, 48), (16, 9), (31, 16), (37, 31), (48, 37)]
