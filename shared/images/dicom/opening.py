"""Which files are DICOM, and their reading, with or without the preamble that begins a complete file."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_partial
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from shared.errors import InputError, first_line
from shared.images.dicom.versions import encoding_of

_MARK = b"DICM"
_PREAMBLE = 128
_LOOKED_AT = 1024
_FLOAT_PIXELS, _DOUBLE_PIXELS, _PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
_REPRESENTATIONS = {str(representation.value).encode() for representation in VR}
_WIDE = {str(representation.value).encode() for representation in EXPLICIT_VR_LENGTH_32}
_UNDEFINED_LENGTH = 0xFFFFFFFF
# What a file begins with is short: a length, a version, a character set, dates, a class.
_LONGEST_FIRST = 512


def is_dicom(path: str) -> bool:
    """Whether a file has the name, the mark or the first elements of a DICOM file (a DICOMDIR index is none)."""
    if Path(path).name.upper() == "DICOMDIR":
        return False
    return Path(path).suffix.lower() in (".dcm", ".dicom") or _begin(path) is not None


def read_until_pixels(path: str) -> tuple[Any, bool]:
    """Everything that lies before the pixels, and whether there are any.

    Pixels of real numbers, which only parametric maps have, are named by an empty element of theirs.

    Raises:
        InputError: it cannot be read as DICOM.
    """
    met: list[tuple[int, int]] = []

    def at_pixels(tag: int, representation: str | None, length: int) -> bool:
        if tag in (_FLOAT_PIXELS, _DOUBLE_PIXELS, _PIXELS):
            met.append((int(tag), length))
        return bool(met)

    header = _read(path, lambda file: read_partial(file, stop_when=at_pixels, force=True))
    tag, length = met[0] if met else (None, 0)
    if tag in (_FLOAT_PIXELS, _DOUBLE_PIXELS):
        header.add_new(tag, "OF" if tag == _FLOAT_PIXELS else "OD", b"")
    return header, length != 0


def read_whole(path: str) -> Any:
    """The whole dataset; its ``file_meta`` names the transfer syntax, which a file without preamble may not do.

    Raises:
        InputError: it cannot be read as DICOM.
    """
    return _read(path, lambda file: pydicom.dcmread(file, force=True))


def _read(path: str, read: Callable[[BinaryIO], Any]) -> Any:
    # Pydicom would take any bytes for elements, if it is to read files without preamble at all.
    begin = _begin(path)
    if begin is None:
        found = "has no mark DICM and does not begin with DICOM elements" if os.path.getsize(path) else "is empty"
        raise InputError(f"{path}: cannot be read as DICOM: the file {found}")
    try:
        with open(path, "rb") as file:
            dataset = read(BytesIO(file.read()[begin:]) if begin == len(_MARK) else file)
    # Besides what pydicom means to raise, values of impossible lengths come through as errors of struct and zlib.
    except (
        pydicom.errors.InvalidDicomError,
        pydicom.errors.BytesLengthException,
        OSError,
        ValueError,
        EOFError,
        AttributeError,
        NotImplementedError,
        struct.error,
        zlib.error,
    ) as err:
        raise InputError(f"{path}: cannot be read as DICOM: {first_line(err)}") from err
    _state_syntax(dataset)
    return dataset


def _begin(path: str) -> int | None:
    """Where the elements of a DICOM file begin; None for another file.

    A complete file begins with a preamble and the mark DICM; older programs left out both, or the preamble.
    """
    with open(path, "rb") as file:
        head = file.read(_LOOKED_AT)
    for begin in (_PREAMBLE + len(_MARK), len(_MARK)):
        if head[begin - len(_MARK) : begin] == _MARK:
            return begin
    return 0 if _begins_with_elements(head) else None


def _begins_with_elements(head: bytes) -> bool:
    """Whether bytes can be two elements in their order, of the groups that a DICOM file begins with."""
    for order in ("<", ">"):
        if len(head) < 12:
            return False
        first = struct.unpack(f"{order}HH", head[:4])
        if first[0] not in (0x0002, 0x0008):
            continue
        representation = head[4:6]
        if representation in _WIDE:
            begin, length = 12, struct.unpack(f"{order}I", head[8:12])[0]
        elif representation in _REPRESENTATIONS:
            begin, length = 8, struct.unpack(f"{order}H", head[6:8])[0]
        else:
            begin, length = 8, struct.unpack(f"{order}I", head[4:8])[0]
        if length > _LONGEST_FIRST or len(head) < begin + length + 4:
            continue
        second = struct.unpack(f"{order}HH", head[begin + length : begin + length + 4])
        if first < second and second[0] <= 0x0028:
            return True
    return False


def _state_syntax(dataset: Any) -> None:
    """Name the transfer syntax where the file does not, but for compressed pixels: nothing tells them apart."""
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    pixels = dataset.get_item(_PIXELS) if _PIXELS in dataset else None
    if dataset.file_meta.get("TransferSyntaxUID") or getattr(pixels, "length", None) == _UNDEFINED_LENGTH:
        return
    is_implicit, is_little_endian = encoding_of(dataset)
    explicit = ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
