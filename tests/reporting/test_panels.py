"""Pictures side by side: each pixel where it belongs, texts, marks, the colour scale and the page."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.errors import InputError
from shared.metrics import psnr, ssim
from shared.reporting.canvas import png
from shared.reporting.display import Box
from shared.reporting.panels import (
    MARK,
    OUTLINE,
    WIDEST,
    Picture,
    Row,
    draw_pictures,
    image_picture,
    picture_figure,
    quality_caption,
)
from tests.reporting.pictures import description, drawn, pixels, places, texts, where


def flat(level: int, height: int = 40, width: int = 40, **changes: object) -> Picture:
    return Picture(np.full((height, width, 3), level, np.uint8), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(40, 60), (37, 31), (217, 181), (208, 208), (300, 7), (416, 300), (1, 1), (2, 900)])
def test_each_image_pixel_is_a_square_of_its_colour(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    shown = drawn(picture_figure(["a", "b"], [Row([flat(0), Picture(random)])]))[1]
    zoom = max(208, *size) // max(size)
    np.testing.assert_array_equal(shown, random.repeat(zoom, axis=0).repeat(zoom, axis=1))


def test_a_smaller_picture_shows_averages() -> None:
    board = (np.indices((960, 960)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    shown = drawn(picture_figure(["a", "b", "c", "d"], [Row([Picture(board), None, None, None])]))[0]
    assert shown.shape == (480, 480, 3)
    assert shown[2:-2, 2:-2].min() > 100
    assert shown[2:-2, 2:-2].max() < 155


def test_pictures_are_in_rows_and_columns_and_empty_places_stay_empty() -> None:
    rows = [Row([flat(10), flat(60), flat(110)], "heading"), Row([flat(160), None, flat(210, 20, caption="caption")])]
    figure = picture_figure(["a", "b", "c"], rows)
    tops, lefts = zip(*((top, left) for top, left, _, _ in places(figure)), strict=True)
    assert lefts == (8, 216, 424, 8, 424)
    assert len(set(tops[:3])) == 1
    assert tops[3] == tops[4] > tops[0] + 200
    assert [picture[0, 0, 0] for picture in drawn(figure)] == [10, 60, 110, 160, 210]
    assert [picture.shape[0] for picture in drawn(figure)] == [200, 200, 200, 200, 100]
    assert texts(figure) == ["a", "b", "c", "heading", "caption"]
    whole = pixels(png(figure))
    assert (whole[tops[3] : tops[3] + 200, 216:416] == 255).all()


def test_columns_shrink_to_the_widest_page() -> None:
    for count in (9, 12, 27):
        sheet = pixels(draw_pictures(["x"] * count, [Row([flat(10)] * count)], "text " * 200, 0.2))
        assert sheet.shape[1] <= WIDEST
    for columns, rows in ((28, [Row([flat(10)] * 28)]), (2, [])):
        with pytest.raises(InputError, match="1 to 27 columns and at least one row"):
            picture_figure(["x"] * columns, rows)


def test_the_legend_is_written_below_all_pictures_and_carried_as_text() -> None:
    text = "one two three four five six seven eight nine ten " * 5
    rows = [Row([flat(10)])]
    assert description(draw_pictures(["a"], rows, text)) == text
    figure = picture_figure(["a"], rows, text)
    assert " ".join(texts(figure)) == f"a {text}".strip()
    top, _, height, _ = places(figure)[0]
    dark = np.argwhere(pixels(png(figure))[top + height :].min(axis=-1) < 128)
    assert dark[:, 0].max() > 3 * 18
    assert dark[:, 1].max() < figure.bbox.width - 8


def test_a_map_ends_in_white_at_its_scale_which_stands_below_its_column() -> None:
    ramp = np.linspace(0, 0.2, 64)[None].repeat(64, axis=0)
    figure = picture_figure(["a", "b"], [Row([flat(0), Picture(ramp, scale=0.1)])], scale=0.1, scale_title="difference")
    shown = drawn(figure)[1]
    assert shown[0, 0].max() < 16
    assert (shown[:, 100:] == 255).all()
    red, _, blue = shown[0, 48].tolist()  # half of the scale
    assert red == 255
    assert blue == 0
    (_, left, _, _), (bar_top, bar_left, _, bar_width) = places(figure)[1:]
    assert (bar_left, bar_width) == (left, 200)  # as wide as the widest picture
    assert bar_top > 200
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["0", "0.10 or more"]
    assert texts(figure)[-1] == "difference"


def test_outlines_are_one_pixel_wide_around_each_class() -> None:
    classes = np.zeros((104, 104), int)
    classes[20:60, 20:80] = 1
    classes[30:40, 30:50] = 2
    grey = np.full((104, 104, 3), 128, np.uint8)
    for repeat in (1, 2):  # at two pixels for one, and at one
        known = classes.repeat(repeat, axis=0).repeat(repeat, axis=1)
        picture = Picture(grey.repeat(repeat, axis=0).repeat(repeat, axis=1), classes=known)
        outline = where(drawn(picture_figure(["a"], [Row([picture])]))[0], OUTLINE)
        around = 2 * (80 + 120) + 2 * (20 + 40)
        assert abs(len(outline) - around) <= 12  # at the eight corners
        shown = classes.repeat(2, axis=0).repeat(2, axis=1)
        for y, x in outline:
            assert len(np.unique(shown[y - 2 : y + 3, x - 2 : x + 3])) > 1
    assert len(where(drawn(picture_figure(["a"], [Row([Picture(grey)])]))[0], OUTLINE)) == 0


@pytest.mark.parametrize("orientation", ["yx", "xy", "ras"])
def test_the_box_is_drawn_around_what_is_marked(orientation: str) -> None:
    image = torch.zeros(3, 40, 40)
    image[:, 10:15, 20:25] = 1
    shown = drawn(picture_figure(["a"], [Row([image_picture(image, orientation, box=Box(10, 20, 5, 5))])]))[0]
    red, white = where(shown, MARK), where(shown, (1, 1, 1))
    assert len(red) >= 4 * 25
    np.testing.assert_allclose(red.min(axis=0), white.min(axis=0), atol=2)
    np.testing.assert_allclose(red.max(axis=0), white.max(axis=0), atol=2)


def test_an_overlay_is_blue_where_it_is_low_and_red_where_it_is_high() -> None:
    overlay = np.zeros((10, 10))
    overlay[:, 5:] = 0.9
    shown = drawn(picture_figure(["a"], [Row([flat(100, 10, 10, overlay=overlay)])]))[0].astype(int)
    low, high = shown[0, 0], shown[0, -1]
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert min(low.min(), high.min()) == 50  # half of the grey


def test_the_caption_holds_psnr_and_ssim() -> None:
    clean = torch.rand(1, 16, 16)
    image = clean + 0.1 * torch.randn(1, 16, 16)
    assert quality_caption(image, clean) == f"{psnr(image, clean):.2f} dB, SSIM {ssim(image, clean):.3f}"
