"""The panel: layout, orientation, outline, error scale and file size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shared.errors import InputError
from shared.reporting.panel import OUTLINE, PanelRow, SpreadSample, draw_panel

LEFT, TOP = 8, 62  # of the first picture


def panel_row(channels: int = 1, height: int = 40, width: int = 60, **changes: Any) -> PanelRow:
    clean = torch.full((channels, height, width), 0.5)
    settings: dict[str, Any] = {"id": "a", "degraded": clean, "enhanced": clean, "clean": clean}
    return PanelRow(**(settings | changes))


def pixels(rows: list[PanelRow], **settings: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(draw_panel(rows, **settings))).convert("RGB"))


def where(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    # Grey panels have a palette of 128 greys.
    return np.argwhere((abs(picture.astype(int) - colour) <= 1).all(axis=-1))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_four_pictures_in_a_row_and_rows_below_each_other(channels: int) -> None:
    one, three = (pixels([panel_row(channels)] * count) for count in (1, 3))
    assert one.shape[1] == three.shape[1] > 4 * 208
    grey = where(one, (128, 128, 128))
    # round(60 -> 208) wide, 139 high; three of them, the fourth is the black error map
    assert len(grey) >= 3 * 208 * 139
    assert len(where(three, (128, 128, 128))) >= 3 * len(grey) * 0.99


def test_colours_of_three_channels_are_kept() -> None:
    clean = torch.tensor([1.0, 0.0, 0.5])[:, None, None].expand(3, 40, 60)
    assert len(where(pixels([panel_row(3, clean=clean)]), (255, 0, 128))) == 208 * 139


@pytest.mark.parametrize(
    ("orientation", "corner"), [("yx", (156, 0)), ("xy", (0, 156)), ("ras", (0, 0)), ("ras", None)]
)
def test_orientation(orientation: str, corner: tuple[int, int] | None) -> None:
    image = torch.zeros(3, 40, 40)
    # The end of the first axis and the start of the second; the last case: the end of both, which is up and right.
    second = slice(None, 10) if corner != (0, 0) and corner is not None else slice(30, None)
    first = slice(None, 10) if corner == (0, 0) else slice(30, None)
    image[0, first, second] = 1
    picture = pixels([panel_row(3, degraded=image, enhanced=image, clean=image)], orientation=orientation)
    marked = where(picture[TOP:, LEFT : LEFT + 208], (255, 0, 0))
    assert len(marked) == 52 * 52
    assert tuple(marked.min(axis=0)) == (corner or (0, 156))


def test_the_outline_of_every_class_is_drawn_on_enhanced_and_clean_only() -> None:
    mask = torch.zeros(1, 40, 60)
    mask[:, 10:30, 10:50] = 1
    mask[:, 15:20, 20:30] = 2
    outline = where(pixels([panel_row(mask=mask)]), OUTLINE)
    columns = np.unique(outline[:, 1] // (208 + 8))
    np.testing.assert_array_equal(columns, [1, 2])
    without_inner = mask.clamp(max=1)
    assert len(where(pixels([panel_row(mask=without_inner)]), OUTLINE)) < len(outline)
    assert len(where(pixels([panel_row()]), OUTLINE)) == 0


def test_the_error_map_has_one_scale_for_all_rows() -> None:
    strong, weak = torch.full((2, 1, 40, 60), 0.5)
    strong[:, :, 30:] += 0.0999  # the scale ends at 0.1
    weak[:, :, 30:] -= 0.05
    picture = pixels([panel_row(enhanced=strong), panel_row(enhanced=weak)])
    maps = [picture[top : top + 139, LEFT + 3 * 216 : LEFT + 3 * 216 + 208] for top in (TOP, TOP + 139 + 44)]
    for error in maps:
        assert (error[:, :102] == 0).all()
    assert (maps[0][:, 106:] > 250).all()
    red, green, blue = maps[1][0, 150]  # half of the scale: red full, green half, no blue
    assert (red, blue) == (255, 0)
    assert abs(int(green) - 128) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_noisy_images_stay_below_the_limit(channels: int) -> None:
    rows = []
    for _ in range(4):
        noisy = torch.rand(3, channels, 208, 208)
        rows.append(panel_row(channels, degraded=noisy[0], enhanced=noisy[1], clean=noisy[2]))
    assert len(draw_panel(rows)) <= 300_000
    assert len(draw_panel(rows, max_bytes=10**7)) > 300_000


@pytest.mark.parametrize("size", [(37, 31), (1, 300), (12, 12), (900, 11)])
def test_any_size_and_long_texts(size: tuple[int, int]) -> None:
    row = panel_row(1, *size, id="x" * 500, degraded_caption="y" * 200, mask=torch.ones(1, *size))
    assert pixels([row, panel_row()], orientation="ras").ndim == 3


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="at least one image"):
        draw_panel([])
    with pytest.raises(InputError, match="orientation of the panel must be one of yx, xy, ras, found 'up'"):
        draw_panel([panel_row()], orientation="up")


@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 50, 1000])
def test_a_sample_is_spread_over_a_stream_of_any_length(length: int) -> None:
    sample = SpreadSample(3)
    for index in range(length):
        if sample.wants_next():
            sample.add(panel_row(id=str(index)))
        assert len(sample.kept) <= 12
    chosen = [int(row.id) for row in sample.chosen()]
    assert len(chosen) == min(3, length)
    if length > 3:
        assert chosen[0] == 0
        assert chosen[-1] >= length / 2
        assert abs((chosen[2] - chosen[1]) - (chosen[1] - chosen[0])) <= sample.stride


def test_no_sample_is_taken_for_an_empty_panel() -> None:
    assert not any(SpreadSample(0).wants_next() for _ in range(3))
