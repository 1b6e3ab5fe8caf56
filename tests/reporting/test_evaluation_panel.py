"""The panel of an evaluation: columns by name, the error where there is a clean image, and the file's size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import InputError
from shared.reporting import evaluation_panel
from shared.reporting.evaluation_panel import PanelRow, SpreadSample, draw_panel, panel_figure
from shared.reporting.panels import OUTLINE
from tests.reporting.pictures import drawn, pixels, places, texts, where


def panel_row(channels: int = 1, height: int = 40, width: int = 60, id: str = "a", **changes: Any) -> PanelRow:
    grey = torch.full((channels, height, width), 0.5)
    mask, captions = changes.pop("mask", None), changes.pop("captions", {})
    return PanelRow(id, {"degraded": grey, "enhanced": grey, "clean": grey, **changes}, captions, mask)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_images_and_their_error_side_by_side_and_rows_below_each_other(channels: int) -> None:
    images = {name: torch.rand(channels, 40, 60) for name in ("degraded", "enhanced", "clean")}
    captions = {"degraded": "20 dB", "enhanced": "30 dB"}
    figure = panel_figure([panel_row(channels, captions=captions, **images), panel_row(channels, id="b")])
    titles = ["degraded", "enhanced", "clean", "error |enhanced - clean|"]
    assert texts(figure) == [*titles, "a", "20 dB", "30 dB", "b", "absolute error"]
    for shown, image in zip(drawn(figure), images.values(), strict=False):
        colours = image if channels == 3 else image[:1].expand(3, -1, -1)
        expected = (colours.permute(1, 2, 0).numpy() * 255).round().repeat(3, axis=0).repeat(3, axis=1)
        np.testing.assert_array_equal(shown, expected)
    tops = [top for top, _, _, _ in places(figure)]
    assert len(tops) == 9
    assert len(set(tops)) == 3


def test_columns_are_named_by_the_images_and_no_clean_image_is_needed() -> None:
    grey = torch.full((1, 40, 60), 0.5)
    figure = panel_figure([PanelRow("a", {"low quality": grey, "flat field": grey, "enhanced": grey})])
    assert texts(figure) == ["low quality", "flat field", "enhanced", "a"]
    assert len(figure.axes) == 3
    mixed = panel_figure([PanelRow("a", {"enhanced": grey, "clean": grey}), PanelRow("b", {"enhanced": grey})])
    assert texts(mixed)[:3] == ["enhanced", "clean", "error |enhanced - clean|"]
    assert len(mixed.axes) == 3 + 1 + 1  # and the colour scale
    renamed = panel_figure(
        [PanelRow("a", {"RIRGAN": grey, "HR": grey + 0.1})], enhanced="RIRGAN", reference="HR"
    )
    assert texts(renamed)[2] == "error |RIRGAN - HR|"


@pytest.mark.parametrize(("orientation", "corner"), [("yx", (150, 0)), ("xy", (0, 150)), ("ras", (150, 150))])
def test_orientation(orientation: str, corner: tuple[int, int]) -> None:
    image = torch.zeros(3, 40, 40)
    image[0, 30:, :10] = 1  # the end of the first axis and the start of the second
    for shown in drawn(panel_figure([panel_row(3, degraded=image)], orientation))[:1]:
        marked = where(shown, (1, 0, 0))
        assert len(marked) == 50 * 50
        assert tuple(marked.min(axis=0)) == corner


def test_outlines_are_drawn_on_enhanced_and_clean_only() -> None:
    mask = torch.zeros(1, 40, 60)
    mask[:, 10:30, 10:50] = 1
    counts = [len(where(shown, OUTLINE)) for shown in drawn(panel_figure([panel_row(mask=mask)]))]
    assert [count > 300 for count in counts] == [False, True, True, False, False]


def test_the_error_map_has_one_scale_for_all_rows() -> None:
    strong, weak = torch.full((2, 1, 40, 60), 0.5)
    strong[:, :, 30:] += 0.0999  # the scale ends at 0.1
    weak[:, :, 30:] -= 0.05
    shown = drawn(panel_figure([panel_row(enhanced=strong), panel_row(enhanced=weak)]))
    maps = shown[3], shown[7]
    for error in maps:
        assert error[:, :90].max() < 16
    assert (maps[0][:, 90:] > 250).all()
    red, green, blue = maps[1][0, 150].tolist()
    assert (red, blue) == (255, 0)
    assert 60 < green < 130


@pytest.mark.parametrize("channels", [1, 3])
def test_noisy_images_stay_below_the_limit(channels: int) -> None:
    rows = []
    for _ in range(4):
        noisy = torch.rand(3, channels, 208, 208)
        rows.append(panel_row(channels, degraded=noisy[0], enhanced=noisy[1], clean=noisy[2]))
    assert len(draw_panel(rows)) <= 300_000
    assert len(draw_panel(rows, max_bytes=10**7)) > 300_000


def test_grey_images_lose_half_of_their_greys_before_they_lose_their_size() -> None:
    noisy = torch.rand(3, 1, 208, 208)
    row = panel_row(1, degraded=noisy[0], enhanced=noisy[1], clean=noisy[2])
    exact = draw_panel([row], max_bytes=10**7)
    smaller = draw_panel([row], max_bytes=len(exact) - 1)
    assert len(smaller) < 0.7 * len(exact)
    top, left, height, width = places(panel_figure([row]))[0]
    first, second = (pixels(c)[top : top + height, left : left + width].astype(int) for c in (exact, smaller))
    assert np.abs(first - second).max() == 1


@pytest.mark.parametrize("size", [(37, 31), (1, 300), (12, 12), (900, 11)])
def test_any_size_and_long_texts(size: tuple[int, int]) -> None:
    row = panel_row(1, *size, id="x" * 500, captions={"degraded": "y" * 200}, mask=torch.ones(1, *size))
    figure = panel_figure([row, panel_row()], orientation="ras")
    degraded, enhanced, *_ = places(figure)
    written = next(text for text in figure.texts if text.get_text().startswith("y"))
    assert written.get_clip_box().x1 < enhanced[1]
    assert degraded[1] == 8
    assert pixels(draw_panel([row, panel_row()], orientation="ras")).shape[1] < 2000


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="at least one image"):
        draw_panel([])
    with pytest.raises(InputError, match="orientation of the panel must be one of yx, xy, ras, found 'up'"):
        draw_panel([panel_row()], orientation="up")


@pytest.mark.parametrize(
    ("count", "names", "size"),
    [(1, ("degraded", "enhanced", "clean"), 700), (1, ("degraded", "enhanced"), 75), (101, ("enhanced", "clean"), 64)],
)
def test_each_drawing_is_smaller_than_the_last_one_and_none_is_in_vain(
    monkeypatch: pytest.MonkeyPatch, count: int, names: tuple[str, ...], size: int
) -> None:
    drawings = []

    def laid_out(*arguments: Any) -> Any:
        drawings.append(panel_figure(*arguments))
        return drawings[-1]

    monkeypatch.setattr(evaluation_panel, "panel_figure", laid_out)
    row = PanelRow("a", {name: torch.rand(1, size, size) for name in names})
    content = draw_panel([row] * count, max_bytes=20_000)
    heights = [figure.bbox.height for figure in drawings]
    assert heights == sorted(set(heights), reverse=True)
    assert pixels(content).shape[0] == heights[-1]
    # Of a picture, 16 times as many pixels as the file may have bytes, or 64 x 64, and what stands around it.
    largest = max(64, (16 * 20_000 / count / (len(names) + 1)) ** 0.5)
    assert heights[0] < 120 + count * (largest + 60)


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
