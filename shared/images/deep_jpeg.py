"""JPEG files of another depth than 8 bits, which Pillow does not read."""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError, first_line
from shared.images.decoder_output import decoder_lines

# Begins of frames: FFC0 to FFCF without tables of Huffman (C4) and arithmetic codes (CC) and a reserved one (C8).
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_SCAN, _END = 0xDA, 0xD9
_FRAME = struct.Struct(">BHHB")


class FrameHeader(NamedTuple):
    """What a JPEG file says about its image: bits of a sample, size, and number of channels."""

    bits: int
    height: int
    width: int
    channels: int


def is_deep(path: str) -> bool:
    """Whether a file is JPEG of more bits than 8, or of fewer.

    Raises:
        OSError: the file cannot be opened.
    """
    header = frame_header(path)
    return header is not None and header.bits != 8


def frame_header(path: str) -> FrameHeader | None:
    """The header of a JPEG file's image; None for any other file, or where there is none.

    Raises:
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        return _find_frame(file) if file.read(2) == b"\xff\xd8" else None


def check(path: str) -> None:
    """Find out whether such a file can be decoded here.

    Raises:
        InputError: the package for it is missing.
    """
    _package(path)


def decode(path: str) -> NDArray[np.uint16]:
    """Samples [H, W, C], C in {1, 3}.

    Raises:
        InputError: the package for it is missing, or the file is damaged; names the file.
    """
    package = _package(path)
    with decoder_lines(path):
        try:
            pixels = package.jpeg_decode(Path(path).read_bytes())
        except (RuntimeError, ValueError) as err:
            raise InputError(f"{path}: cannot be read as an image: {first_line(err)}") from err
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _package(path: str) -> Any:
    try:
        return import_module("imagecodecs")
    except ImportError as err:
        header = frame_header(path)
        depth = "" if header is None else f"{header.bits}-bit "
        raise InputError(
            f"{path}: a {depth}JPEG, expected 8 bits; others need the package imagecodecs: pip install imagecodecs"
        ) from err


def _find_frame(file: BinaryIO) -> FrameHeader | None:
    while True:
        begin = file.read(2)
        while begin == b"\xff\xff":
            begin = b"\xff" + file.read(1)
        if len(begin) < 2 or begin[0] != 0xFF or begin[1] in (_SCAN, _END):
            return None
        if begin[1] in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(file.read(2), "big")
        if begin[1] in _FRAMES:
            header = file.read(_FRAME.size)
            return FrameHeader(*_FRAME.unpack(header)) if len(header) == _FRAME.size else None
        file.seek(length - 2, 1)
