"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) in and out, by ITK."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from shared.errors import InputError, NoIntensities
from shared.files import whole_file
from shared.images.contents import LABELS
from shared.images.decoder_output import decoder_lines
from shared.images.dicom.geometry import LPS_TO_RAS
from shared.images.picture import Picture, SourceRecord
from shared.images.signatures import contents, has_suffix

T = TypeVar("T")
META_IMAGE, NRRD = "MetaImage", "NRRD"
# Of each format: ITK's reader, and the ending of a file that holds header and pixels.
_READERS = {META_IMAGE: "MetaImageIO", NRRD: "NrrdImageIO"}
_WHOLE = {META_IMAGE: ".mha", NRRD: ".nrrd"}
_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
_DATA_FILE = {META_IMAGE: "ElementDataFile", NRRD: "data file"}
_LINE = 1 << 16
_GREY = {
    SimpleITK.sitkInt8: np.int8,
    SimpleITK.sitkUInt8: np.uint8,
    SimpleITK.sitkInt16: np.int16,
    SimpleITK.sitkUInt16: np.uint16,
    SimpleITK.sitkInt32: np.int32,
    SimpleITK.sitkUInt32: np.uint32,
    SimpleITK.sitkInt64: np.int64,
    SimpleITK.sitkUInt64: np.uint64,
    SimpleITK.sitkFloat32: np.float32,
    SimpleITK.sitkFloat64: np.float64,
}
# What ITK gives by itself, of each image anew, in the place of what a file says.
_ITK_KEYS = ("ITK_", "NRRD_pixel")
_UNPRINTABLE = "[UNKNOWN"
# A program's segmentation, 3D Slicer's, names its segments.
_SEGMENT = re.compile(r"Segment\d+_ID")
_FLAT = 1e-3
_MODALITY_KEYS = ("0008|0060", "Modality")


@dataclass(frozen=True)
class VolumeHeader:
    """What the header of a file says.

    Attributes:
        dtype: of a value.
        channels: 1 for grey, 3 for colour.
        size, spacing, origin: of each of two or three axes.
        direction: matrix of the axes' directions in LPS, [2, 2] or [3, 3].
        keys: texts that the file holds besides.
    """

    dtype: np.dtype
    channels: int
    size: tuple[int, ...]
    spacing: NDArray[np.float64]
    origin: NDArray[np.float64]
    direction: NDArray[np.float64]
    keys: dict[str, str]

    @property
    def affine(self) -> NDArray[np.float64]:
        """From voxel indices to millimetres in RAS+; a 2-D image lies in the plane z = 0."""
        count, affine = len(self.size), np.eye(4)
        affine[:count, :count] = self.direction * self.spacing
        affine[:count, 3] = self.origin
        return LPS_TO_RAS @ affine


def check_volume(path: str, kind: str) -> None:
    """Read the header only.

    Args:
        path: of the file.
        kind: ``META_IMAGE`` or ``NRRD``.

    Raises:
        NoIntensities: a segmentation.
        InputError: neither 2-D nor 3-D, values that are neither grey nor RGB of 8 bits, axes that span no space, or a
            data file that is missing; names the file.
    """
    _open(path, kind)


def read_volume(path: str, kind: str, labels: bool = False) -> Picture:
    """Read stored values as [C, X, Y] or [C, X, Y, Z], C in {1, 3}, with their place.

    Args:
        path: of the file.
        kind: ``META_IMAGE`` or ``NRRD``.
        labels: whether the file may say that it is a segmentation, as a mask may.

    Raises:
        NoIntensities, InputError: as :func:`check_volume`, or the pixels are not complete.
    """
    reader, header = _open(path, kind, labels)
    image, lines = _asked(path, "the pixels cannot be read", reader.Execute)
    # ITK goes on then, with whatever lay in memory.
    failed = next((line for line in lines if "fail" in line.lower()), None)
    if failed is not None:
        raise InputError(f"{path}: the pixels cannot be read: {failed}")
    values = SimpleITK.GetArrayFromImage(image)
    is_colour = image.GetNumberOfComponentsPerPixel() > 1
    stored = values if is_colour else values[..., None]
    pixels = stored.transpose(*range(stored.ndim)[::-1])
    return Picture(pixels, affine=header.affine, bits=8 if is_colour else None, modality=_modality(header.keys))


def header_of(path: str, kind: str) -> VolumeHeader:
    """Read the header only.

    Raises:
        NoIntensities, InputError: as :func:`check_volume`.
    """
    return _open(path, kind)[1]


def write_volume(path: str, pixels: NDArray, record: SourceRecord, kind: str) -> None:
    """Write with the geometry of the source, its texts, and compressed if it was.

    Header and pixels are one file, also where the source's header (.mhd, .nhdr) named another one for the pixels. A
    shape that has grown by super-resolution covers the same space. NRRD in RAS space is written in that of LPS.
    """
    _, header = _open(record.source, kind)
    channels, *size = pixels.shape
    is_colour = channels > 1
    values = pixels.transpose(*range(pixels.ndim)[::-1])
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values if is_colour else values[..., 0]), is_colour)
    spacing = header.spacing * np.array(header.size) / np.array(size)
    # Voxel centres move: the corner of the first voxel stays where it was.
    origin = header.origin + header.direction @ ((spacing - header.spacing) / 2)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(header.direction.ravel().tolist())
    for key, text in header.keys.items():
        if not key.startswith(_ITK_KEYS) and not text.startswith(_UNPRINTABLE):
            image.SetMetaData(key, text)
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO(_READERS[kind])
    writer.SetUseCompression(_is_compressed(record.source, kind))
    # ITK decides by the suffix, in lower case, whether the pixels get a file of their own.
    with whole_file(path, _WHOLE[kind]) as whole:
        writer.SetFileName(str(whole))
        _asked(path, "cannot be written", lambda: writer.Execute(image))


def data_files(path: str) -> list[Path]:
    """The files that hold the pixels of a header; none for any other file, or one that cannot be read."""
    if not has_suffix(path, _SUFFIXES):
        return []
    try:
        kind = next((kind for kind in _READERS if kind in contents(path)), None)
        fields, rest = ({}, []) if kind is None else _fields(path, kind)
    except OSError:
        return []
    value = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile") or "LOCAL"
    return [Path(path).parent / name for name in _file_names(value, rest)]


def _open(path: str, kind: str, labels: bool = False) -> tuple[Any, VolumeHeader]:
    """A reader that has read the header, and what this says."""
    reader = SimpleITK.ImageFileReader()
    # Without a named one, ITK asks each of its formats about a file, and some go by the suffix.
    reader.SetImageIO(_READERS[kind])
    reader.SetFileName(path)
    _asked(path, f"cannot be read as an image: no {kind} header", reader.ReadImageInformation)
    size = reader.GetSize()
    if len(size) not in (2, 3) or 0 in size:
        raise InputError(f"{path}: shape {tuple(size)}, expected a 2-D or 3-D image")
    values, channels = reader.GetPixelID(), reader.GetNumberOfComponents()
    is_colour = (values, channels) == (SimpleITK.sitkVectorUInt8, 3)
    if values not in _GREY and not is_colour:
        name = SimpleITK.GetPixelIDValueAsString(values)
        raise InputError(f"{path}: {channels} components, {name}, expected one grey value or RGB of 8 bits")
    keys = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    if not labels and any(map(_SEGMENT.fullmatch, keys)):
        raise NoIntensities(f"{path}: a segmentation, expected an image of intensities", LABELS)
    missing = next((file for file in data_files(path) if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"{path}: its data file {missing} does not exist")
    dtype = np.dtype(np.uint8 if is_colour else _GREY[values])
    return reader, VolumeHeader(dtype, 3 if is_colour else 1, tuple(size), *_space(path, reader), keys)


def _space(path: str, reader: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Spacing, origin and direction."""
    spacing, origin = np.array(reader.GetSpacing()), np.array(reader.GetOrigin())
    direction = np.array(reader.GetDirection()).reshape(len(spacing), len(spacing))
    for name, values, fails in (
        ("spacing", spacing, not spacing.all()),
        ("origin", origin, False),
        ("direction", direction, abs(np.linalg.det(direction)) < _FLAT if np.isfinite(direction).all() else True),
    ):
        if fails or not np.isfinite(values).all():
            found = " ".join(f"{value:g}" for value in values.ravel())
            raise InputError(f"{path}: {name} {found} in the header, which is no space; expected axes that span one")
    # A step backwards along an axis is a step forwards along the opposite one, and ITK writes no other.
    return np.abs(spacing), origin, direction * np.sign(spacing)


def _is_compressed(path: str, kind: str) -> bool:
    fields, _ = _fields(path, kind)
    if kind == META_IMAGE:
        return fields.get("compresseddata", "").lower() == "true"
    return fields.get("encoding", "raw").lower() in ("gzip", "gz")


def _fields(path: str, kind: str) -> tuple[dict[str, str], list[str]]:
    """The fields of a header by their names in lower case, and the lines behind a list of data files."""
    fields: dict[str, str] = {}
    lines = _lines(path)
    last = _DATA_FILE[kind].lower()
    for line in lines:
        if kind == NRRD and not line:
            break
        name, separator, value = line.partition("=" if kind == META_IMAGE else ":")
        if separator and not value.startswith("="):
            fields[name.strip().lower()] = value.strip()
        if name.strip().lower() in (last, last.replace(" ", "")):
            is_list = value.strip().upper().startswith("LIST")
            if is_list or kind == META_IMAGE:
                return fields, [*lines] if is_list else []
    return fields, []


def _lines(path: str) -> Iterator[str]:
    with open(path, "rb") as file:
        while line := file.readline(_LINE):
            yield line.decode("utf-8", errors="surrogateescape").rstrip("\r\n")


def _file_names(value: str, rest: list[str]) -> list[str]:
    """The data files that a header names: one, a list, or a pattern with the first number, the last and the step."""
    if value.upper() == "LOCAL":
        return []
    if value.upper().startswith("LIST"):
        return [line.strip() for line in rest if line.strip()]
    pattern, *numbers = value.rsplit(maxsplit=3) if "%" in value else [value]
    try:
        first, last, step = map(int, numbers)
        return [pattern % number for number in range(first, last + 1, step)]
    except (ValueError, TypeError):
        return [value]


def _modality(keys: dict[str, str]) -> str | None:
    """As programs that convert DICOM note it."""
    found = next((keys[key] for key in _MODALITY_KEYS if key in keys), "").strip().removeprefix("MET_MOD_").upper()
    return found if re.fullmatch("[A-Z]{2}", found) else None


def _asked(path: str, refusal: str, action: Callable[[], T]) -> tuple[T, list[str]]:
    """What ITK gives, and the lines that it printed meanwhile; its error becomes one that names the file."""
    lines: list[str] = []
    try:
        with decoder_lines(path) as lines:
            return action(), lines
    except RuntimeError as err:
        said = [line.strip() for line in str(err).splitlines() if line.strip()]
        # NRRD's reader tells the cause last, that of MetaImage prints it and tells "Reason: Success" at the end.
        known = [line for line in said if line.startswith("[nrrd]")][-1:] or lines or said[1:] or said
        reason = re.sub(r"^(\[nrrd\] \w+: |(sitk::|itk::|ITK )ERROR: (\w+\(\w+\): )?)", "", known[0])
        raise InputError(f"{path}: {refusal}: {reason}") from err
