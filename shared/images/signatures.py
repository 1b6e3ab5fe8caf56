"""What a file is by its first bytes, whatever it is called."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

_HEAD = 512
_GZIP = b"\x1f\x8b"
_DICOM_MARK = slice(128, 132)
_BEGINNINGS = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "NRRD": (b"NRRD000",),
}
# Sizes of the second header of a BMP file: two letters alone begin many a text.
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
# Size and magic number of a NIfTI-1 or NIfTI-2 header, and where the latter lies.
_NIFTI = ((348, 344, b"n+1\0"), (540, 4, b"n+2\0\r\n\x1a\n"))
_META_IMAGE = re.compile(rb"\s*[A-Za-z]\w* *= *\S")
_OTHERS = {
    "WebP": rb"RIFF.{4}WEBP",
    "HEIF or AVIF": rb".{4}ftyp(hei|hev|mif|msf|avi)",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "PDF": rb"%PDF",
    "HDF5": rb"\x89HDF",
    "a ZIP archive": rb"PK\x03\x04",
    "a web page": rb"\s*<(!DOCTYPE html|html)",
}


def contents(path: str) -> frozenset[str]:
    """Formats whose mark a file bears, as :class:`~shared.images.format_table.ImageFormat` names them.

    Mostly one or none; a DICOM file may begin as a TIFF file, so that programs for either can read it. NIfTI in gzip is
    "NIfTI" and "gzip".

    Raises:
        OSError: the file cannot be opened.
    """
    return _formats(_head(path))


def other_content(path: str) -> str | None:
    """What a file of none of these formats is, in words, for a message about it; None where it cannot be told."""
    head = _head(path)
    if not head:
        return "empty"
    return next((name for name, begin in _OTHERS.items() if re.match(begin, head, re.DOTALL | re.IGNORECASE)), None)


def has_suffix(path: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a name ends in one of some suffixes, in whatever case."""
    return Path(path).name.lower().endswith(suffixes)


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_HEAD)


def _formats(head: bytes) -> frozenset[str]:
    found = {name for name, beginnings in _BEGINNINGS.items() if head.startswith(beginnings)}
    if head[_DICOM_MARK] == b"DICM":
        found.add("DICOM")
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        found.add("BMP")
    if _META_IMAGE.match(head) and re.search(rb"^\s*(NDims|ObjectType) *=", head, re.MULTILINE):
        found.add("MetaImage")
    for size, place, magic in _NIFTI:
        if size in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")):
            found |= {"NIfTI"} if head[place : place + len(magic)] == magic else set()
    if head.startswith(_GZIP) and "NIfTI" in _formats(_unzipped(head)):
        found |= {"NIfTI", "gzip"}
    return frozenset(found)


def _unzipped(head: bytes) -> bytes:
    try:
        # 16 and more: with gzip's header.
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, _HEAD)
    except zlib.error:
        return b""
