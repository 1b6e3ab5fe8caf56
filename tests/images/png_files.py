"""PNG files written and read by hand: no library writes all that the format allows, or reads it as stored."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# First row and column, and steps, of the seven images of Adam7.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png(
    path: Path,
    samples: NDArray,
    colour_type: int,
    bits: int = 16,
    chunks: Sequence[tuple[bytes, bytes]] = (),
    interlaced: bool = False,
) -> Path:
    """Write stored samples [H, W, C] of 1 to 16 bits, with further chunks before the pixels."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, int(interlaced))
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in _PASSES] if interlaced else [samples]
    rows = b"".join(b"\0" + _packed(row, bits) for part in parts if part.size for row in part)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(_SIGNATURE + b"".join(chunk(*each) for each in body))
    return path


def read_png(path: Path | str) -> tuple[NDArray, dict[bytes, bytes]]:
    """Stored samples [H, W, C] of a file of 8 or 16 bits that is not interlaced, and its chunks."""
    chunks: dict[bytes, bytes] = {}
    for name, data in _chunks(Path(path).read_bytes()):
        chunks[name] = chunks.get(name, b"") + data
    width, height, bits, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert not interlaced
    size = CHANNELS[colour_type] * bits // 8
    stored = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * size)
    rows = np.zeros((height + 1, width + 1, size), np.int64)
    for y, line in enumerate(stored, start=1):
        for x, pixel in enumerate(line[1:].reshape(width, size), start=1):
            left, up, corner = rows[y, x - 1], rows[y - 1, x], rows[y - 1, x - 1]
            added = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[line[0]]
            rows[y, x] = (pixel.astype(np.int64) + added) % 256
    values = rows[1:, 1:].astype(np.uint8)
    return (values.view(">u2").astype(np.uint16) if bits == 16 else values), chunks


def _paeth(left: NDArray, up: NDArray, corner: NDArray) -> NDArray:
    guess = left + up - corner
    near = [abs(guess - each) for each in (left, up, corner)]
    return np.where((near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], up, corner))


def _packed(row: NDArray, bits: int) -> bytes:
    if bits >= 8:
        return row.astype(">u2" if bits == 16 else np.uint8).tobytes()
    ones = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]
    return np.packbits(ones).tobytes()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    assert data.startswith(_SIGNATURE)
    place = len(_SIGNATURE)
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        name, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert data[place + 8 + length : place + 12 + length] == struct.pack(">I", zlib.crc32(name + content))
        yield name, content
        place += 12 + length
