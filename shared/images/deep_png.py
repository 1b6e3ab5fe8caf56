"""PNG files of 16 bits, which Pillow reads and writes for plain grey alone: of others it takes the upper 8 bits."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Signature and the first chunk, IHDR.
_BEGIN = 33
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
# Each row is stored as the difference to the row above.
_UP = 2
_OPAQUE = 2**16 - 1


def is_deep(path: str) -> bool:
    """Whether a file is PNG of 16 bits."""
    with open(path, "rb") as file:
        head = file.read(25)
    return head.startswith(_SIGNATURE) and head[24:] == bytes([16])


def mode_of(image: Any) -> str:
    """Pillow's name for the channels of such an image that it has opened and not yet decoded: L, LA, RGB or RGBA."""
    stored = str(image.tile[0].args)
    return "L" if stored.startswith("I") else stored.partition(";")[0]


def decode(image: Any) -> NDArray[np.uint16]:
    """Stored samples [H, W, C], C in {1, 2, 3, 4}, of an image of 16 bits that Pillow has opened and not yet decoded.

    What the chunk sBIT says about significant bits is left to the eye, and not shifted away. A transparent colour
    (tRNS) becomes an alpha channel.
    """
    stored = image.tile[0].args
    mode = mode_of(image)
    if mode == "LA":
        # Grey and alpha take the four bytes of an RGBA pixel of 8 bits.
        samples = _bytes_as(image, "RGBA").view(">u2").astype(np.uint16)
    elif mode in ("RGB", "RGBA"):
        with Image.open(image.filename) as again:
            # In the other byte order, what Pillow takes for the upper byte of a sample is the lower one.
            low = _bytes_as(again, stored.replace("16B", "16L"))
        samples = np.asarray(image).astype(np.uint16) * np.uint16(256) + low
    else:
        samples = np.asarray(image).astype(np.uint16)[..., None]
    key = image.info.get("transparency")
    if key is None:
        return samples
    opaque = (samples != np.array(key, np.uint16)).any(axis=-1, keepdims=True)
    return np.concatenate([samples, np.where(opaque, _OPAQUE, 0).astype(np.uint16)], axis=-1)


def write(path: str, image: NDArray[np.uint16], profile: dict[str, Any]) -> None:
    """Write [H, W, C], C in {1, 2, 3, 4}, of 16 bits.

    Args:
        path: of the file.
        image: the samples.
        profile: what Pillow takes for a PNG file besides the pixels.
    """
    height, width, channels = image.shape
    rows = np.ascontiguousarray(image, ">u2").view(np.uint8).reshape(height, -1)
    stored = np.full((height, 1 + rows.shape[1]), _UP, np.uint8)
    stored[0, 1:], stored[1:, 1:] = rows[0], rows[1:] - rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    with open(path, "wb") as file:
        file.write(_SIGNATURE + _chunk(b"IHDR", header) + _ancillary(profile))
        file.write(_chunk(b"IDAT", zlib.compress(stored.tobytes())) + _chunk(b"IEND", b""))


def _bytes_as(image: Any, layout: str) -> NDArray[np.uint8]:
    """The decoded bytes of an image, told to Pillow to be of another layout of as many bytes a pixel."""
    image.tile = [image.tile[0]._replace(args=layout)]
    return np.ascontiguousarray(image)


def _ancillary(profile: dict[str, Any]) -> bytes:
    """The chunks between the header and the pixels, as Pillow writes them for any image."""
    buffer = BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG", **profile)
    written = buffer.getvalue()
    end = _BEGIN
    while written[end + 4 : end + 8] != b"IDAT":
        # Length, name and checksum take 12 bytes.
        end += 12 + int.from_bytes(written[end : end + 4], "big")
    return written[_BEGIN:end]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
