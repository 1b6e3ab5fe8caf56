"""Figures in pixels and their files: the same bytes everywhere, text within its place."""

from __future__ import annotations

import ast
import io
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.font_manager import findfont
from PIL import Image

import shared
from shared.reporting import panels
from shared.reporting.canvas import add_axes, house_style, new_figure, png, png_of, rendered, wrapped, write
from tests.reporting.pictures import description, pixels, places


def small_figure() -> bytes:
    row = panels.Row([panels.Picture(np.full((20, 30, 3), 90, np.uint8), "caption")], "heading")
    return panels.draw_pictures(["title"], [row], "legend", 0.2)


def test_the_same_figure_is_the_same_file_under_any_settings_of_the_user() -> None:
    expected = small_figure()
    assert small_figure() == expected
    settings = {"font.size": 30, "font.family": "monospace", "figure.facecolor": "red", "image.origin": "lower"}
    for key, value in settings.items():
        with mpl.rc_context({key: value}):
            assert small_figure() == expected
            assert mpl.rcParams[key] in (value, [value])


def test_the_file_says_nothing_of_date_and_versions() -> None:
    picture = Image.open(io.BytesIO(small_figure()))
    assert set(picture.info) == {"Description"}
    assert description(small_figure()) == "legend"
    assert set(Image.open(io.BytesIO(png(new_figure(20, 20)))).info) == set()


def test_letters_are_of_the_font_that_matplotlib_ships() -> None:
    figure = new_figure(200, 40)
    with house_style():
        write(figure, 0, 0, "letters", 200)
        assert Path(findfont(figure.texts[0].get_fontproperties())).is_relative_to(mpl.get_data_path())


def test_axes_and_text_are_where_their_pixels_say() -> None:
    figure = new_figure(203, 97)
    add_axes(figure, 11, 23, 101, 17).patch.set_facecolor("black")
    figure.axes[0].set_axis_off()
    assert figure.bbox.size.tolist() == [203, 97]
    assert places(figure) == [(23, 11, 17, 101)]
    written = new_figure(203, 97)
    write(written, 50, 60, "Wide letters that need more than the width they have", 80)
    dark = np.argwhere(pixels(png(written)).min(axis=-1) < 128)
    assert dark.min(axis=0).tolist() >= [60, 50]
    assert 120 < dark[:, 1].max() < 130
    assert dark[:, 0].max() < 78


def test_names_are_no_formulas_and_letters_without_a_shape_raise_no_warning() -> None:
    with house_style():
        figure = new_figure(200, 40)
        write(figure, 0, 0, r"a_$\frac$ 眼底", 200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(png(figure)).min() < 128


def test_a_palette_gives_each_pixel_the_nearest_of_its_colours() -> None:
    figure = new_figure(256, 20)
    axes = add_axes(figure, 0, 0, 256, 20)
    axes.set_axis_off()
    axes.imshow(np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2).repeat(20, axis=0), aspect="auto")
    levels = np.linspace(0, 1, 128).tolist()
    exact, rounded = pixels(png(figure)), pixels(png_of(rendered(figure), palette=[(v, v, v) for v in levels]))
    assert exact[0, :, 0].tolist() == list(range(256))
    assert np.abs(exact.astype(int) - rounded).max() == 1
    assert len(np.unique(rounded)) == 128


@pytest.mark.parametrize("width", [300, 864, 1900])
def test_wrapped_lines_fit_and_fill_the_width(width: int) -> None:
    text = "Guided back-propagation: pixels of the degraded image on which the enhancement loss depends (IP), and 99 % "
    lines = wrapped(text * 10, width)
    assert " ".join(lines).split() == (text * 10).split()
    with house_style():
        figure = new_figure(width, 40)
        for line in lines:
            write(figure, 0, 0, line, width)
        widths = [written.get_window_extent().width for written in figure.texts]
    assert 0.8 * width < max(widths) <= width


def test_nothing_imports_matplotlib_before_a_picture_is_drawn() -> None:
    for path in Path(shared.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "matplotlib"], path
