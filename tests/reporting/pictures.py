"""What tests read out of figures and their files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from shared.reporting.canvas import png


def pixels(content: bytes) -> np.ndarray:
    """Return a PNG file's pixels [rows, columns, 3]."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def description(content: bytes) -> str:
    """Return the text that a PNG file carries, "" where it has none."""
    picture: Any = Image.open(io.BytesIO(content))
    picture.load()
    return picture.text.get("Description", "")


def texts(figure: Any) -> list[str]:
    """Return what is written on a figure, from top to bottom and from left to right, without empty texts."""
    found = [(-text.get_position()[1], text.get_position()[0], text.get_text()) for text in figure.texts]
    return [text for _, _, text in sorted(found) if text]


def places(figure: Any) -> list[tuple[int, int, int, int]]:
    """Return (top, left, height, width) of the axes in pixels of the file."""
    height = figure.bbox.height
    boxes = [axes.get_window_extent() for axes in figure.axes]
    return [(round(height - b.y1), round(b.x0), round(b.height), round(b.width)) for b in boxes]


def drawn(figure: Any) -> list[np.ndarray]:
    """Return the pixels within each of a figure's axes."""
    whole = pixels(png(figure))
    return [whole[top : top + height, left : left + width] for top, left, height, width in places(figure)]


def where(picture: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    """Return the positions [N, 2] of a colour in [0, 1]."""
    wanted = (np.asarray(colour) * 255).round().astype(int)
    return np.argwhere((abs(picture.astype(int) - wanted) <= 1).all(axis=-1))
