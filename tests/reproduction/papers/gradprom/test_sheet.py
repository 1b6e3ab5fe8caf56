"""Layout of the figures, and the detail they enlarge."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from shared.errors import InputError
from shared.reporting.drawing import font
from shared.reproduction.papers.gradprom.sheet import (
    MARK,
    WIDEST,
    Box,
    Row,
    Tile,
    detail,
    draw_sheet,
    image_tile,
    wrapped,
)


def flat(level: int, height: int = 40, width: int = 40) -> Tile:
    return Tile(np.full((height, width, 3), level, np.uint8))


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_every_tile_is_drawn_once_and_empty_places_stay_empty() -> None:
    rows = [Row([flat(10), flat(60), flat(110)], "heading"), Row([flat(160), None, flat(210, 20)])]
    sheet = pixels(draw_sheet(["a", "b", "c"], rows, ""))
    whole, half = 208 * 208, 208 * 104
    for level, expected in ((10, whole), (60, whole), (110, whole), (160, whole), (210, half)):
        # Text has greys too, a few pixels of each.
        assert abs(int((sheet == level).all(axis=-1).sum()) - expected) < 60
    assert sheet.shape[1] == 8 + 3 * 216


def test_columns_shrink_to_the_widest_page() -> None:
    for count in (9, 12, 27):
        sheet = pixels(draw_sheet(["x"] * count, [Row([flat(10)] * count)], "text " * 200, 0.2))
        assert sheet.shape[1] <= WIDEST
    for columns, rows in ((28, [Row([flat(10)] * 28)]), (2, [])):
        with pytest.raises(InputError, match="1 to 27 columns and at least one row"):
            draw_sheet(["x"] * columns, rows, "")


def test_the_legend_is_wrapped_and_carried_as_text() -> None:
    text = "one two three four five six seven eight nine ten " * 5
    content = draw_sheet(["a"], [Row([flat(10)])], text)
    assert Image.open(io.BytesIO(content)).text["Description"] == text
    lines = wrapped(text, 300)
    assert " ".join(lines) == text.strip()
    assert max(font(12).getlength(line) for line in lines) <= 300
    assert len(lines) > 3


def test_the_detail_is_where_the_clean_image_varies() -> None:
    clean = torch.full((3, 40, 60), 0.5)
    clean[:, 20:30, 30:45] += 0.2 * torch.randn(10, 15).sign()
    assert detail(clean) == Box(20, 30, 10, 15)
    # The edge of a black surrounding varies more, and is left out.
    clean[:, :, :10] = 0
    assert detail(clean) == Box(20, 30, 10, 15)
    assert detail(torch.zeros(1, 8, 8)).height == 2


@pytest.mark.parametrize(("orientation", "corner"), [("yx", (52, 104)), ("xy", (104, 52)), ("ras", (78, 52))])
def test_the_box_is_marked_where_the_crop_comes_from(orientation: str, corner: tuple[int, int]) -> None:
    image = torch.zeros(3, 40, 40)
    box = Box(10, 20, 5, 5)
    image[:, 10:15, 20:25] = 1
    assert torch.equal(box.crop(image), torch.ones(3, 5, 5))
    tile = image_tile(image, orientation, box=box)
    white = (tile.pixels == 255).all(axis=-1)
    assert tile.mark is not None
    np.testing.assert_array_equal(tile.mark, white)
    sheet = pixels(draw_sheet(["a"], [Row([tile])], ""))
    red = np.argwhere((sheet == MARK).all(axis=-1))
    assert len(red) > 4 * 26
    rows, columns = np.ptp(red, axis=0)
    assert abs(rows - 26) <= 3
    assert abs(columns - 26) <= 3
    top, left = red.min(axis=0) - (26, 8)
    assert abs(top - corner[0]) <= 3
    assert abs(left - corner[1]) <= 3
