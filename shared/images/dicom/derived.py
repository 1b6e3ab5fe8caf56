"""Enhanced DICOM images as derived images of the same class, one for each source."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from shared.errors import InputError
from shared.images.attribution import Producer
from shared.images.dicom.derivation import describe_derivation
from shared.images.dicom.finer_grid import refine
from shared.images.dicom.opening import read_whole
from shared.images.dicom.reading import decode_frames, to_frames
from shared.images.dicom.values import embedded_overlays, is_colour, rescales, restore_padding
from shared.images.dicom.versions import save_dicom
from shared.images.picture import SourceRecord

# True of the source's pixels, bytes or authorisation alone.
_OUTDATED = (
    "IconImageSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "HistogramSequence",
    "DataSetTrailingPadding",
    "PixelDataProviderURL",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "InstanceCreatorUID",
    "SOPInstanceStatus",
    "SOPAuthorizationDateTime",
    "SOPAuthorizationComment",
    "AuthorizationEquipmentCertificationNumber",
    "ReferencedPerformedProcedureStepSequence",
)
# What is about grey values or palettes; the enhanced image is RGB.
_NOT_OF_RGB = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTSequence",
    "ModalityLUTSequence",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PresentationLUTShape",
    "PaletteColorLookupTableUID",
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue", "Alpha")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue", "Alpha")),
)
_LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
}


def write_derived(path: str, pixels: NDArray, record: SourceRecord, producer: Producer) -> None:
    """Write the enhanced form of a DICOM file, or of all files of a series under their own names.

    Args:
        path: of the file; for a series, of a folder that exists.
        pixels: stored values as :func:`~shared.images.dicom.reading.read_dicom` gives them, or on a finer grid.
        record: of the source.
        producer: what made the image.

    Raises:
        InputError: the source is no complete DICOM object, the image's size is no multiple of its size, or the source
            cannot be enlarged.
    """
    for source_path, source, stored in stored_frames(pixels, record):
        target = Path(path) / file_name(record, source_path) if record.files else Path(path)
        save_dicom(derive(source, stored, producer, source_path), str(target))


def file_name(record: SourceRecord, source_path: str) -> str:
    """Name of the enhanced form of one file of a series: its own, with its number where files share a name."""
    names = [Path(file).name for file in record.files]
    name = Path(source_path).name
    return name if len(set(names)) == len(names) else f"{record.files.index(source_path):04d}_{name}"


def stored_frames(pixels: NDArray, record: SourceRecord) -> Iterator[tuple[str, Any, NDArray]]:
    """Part the image of a file or series into its files.

    Yields:
        Path of the source, its dataset without pixels, and the enhanced stored values [S, H, W, C] in its own type and
        scale, with its padding.

    Raises:
        InputError: as :func:`write_derived`.
    """
    frames, begin = to_frames(pixels, record.affine is not None), 0
    for path in record.files or (record.source,):
        dataset = read_whole(path)
        before = decode_frames(dataset, path)
        part = frames[begin : begin + len(before)]
        begin += len(before)
        if part.dtype.kind == "f" and before.dtype.kind != "f":
            part = _in_own_scale(part, dataset, before.dtype)
        yield path, dataset, restore_padding(part, dataset, before)


def derive(source: Any, stored: NDArray, producer: Producer, path: str) -> Any:
    """A dataset derived from another one, whole and ready to be written.

    It keeps all that is true of both: patient, study, frame of reference, acquisition, rescale slope and intercept,
    windows, display, history of compression. Private attributes go, as nobody can say which are about the pixels.

    Args:
        source: as pydicom reads it; used up.
        stored: enhanced values [S, H, W, C]; grey ones of the source's type, or RGB of 8 bits.
        producer: what made the image.
        path: of the source, for messages.

    Raises:
        InputError: the source lacks SOPClassUID or SOPInstanceUID; or the image grew, and the source is a whole-slide
            image or has what lies on its own grid, as :func:`~shared.images.dicom.finer_grid.refine` says.
    """
    for name in ("SOPClassUID", "SOPInstanceUID"):
        if not source.get(name):
            raise InputError(f"{path}: {name} missing, expected a complete DICOM object; write NIfTI or PNG from it")
    row_factor, column_factor = stored.shape[1] // source.Rows, stored.shape[2] // source.Columns
    if row_factor * column_factor > 1 and "TotalPixelMatrixColumns" in source:
        raise InputError(f"{path}: a whole-slide image of {stored.shape[0]} tiles, which cannot be enlarged as DICOM")
    dataset = _public_part(source)
    _describe_pixels(dataset, source, stored)
    refine(dataset, row_factor, column_factor, path)
    describe_derivation(dataset, source, producer, row_factor * column_factor > 1)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _public_part(source: Any) -> Any:
    """All elements but the pixels and what is outdated, in little endian."""
    syntax = source.file_meta.get("TransferSyntaxUID")
    source.remove_private_tags()
    if syntax is not None and not syntax.is_little_endian:
        source.walk(_swap_words)
    gone = set(_OUTDATED)
    for group in embedded_overlays(source):
        gone |= {element.tag for element in source.group_dataset(group)}
    dataset = Dataset()
    for element in source:
        is_outdated = element.tag in gone or element.keyword in gone
        if not is_outdated and element.tag.element != 0 and element.tag.group != 0x7FE0:
            # A copy: what is changed in the derived image must not change what is said about its source.
            dataset.add(deepcopy(element))
    return dataset


def _swap_words(dataset: Any, element: Any) -> None:
    """Pydicom leaves the bytes of OW elements (look-up tables, overlays) as they lie in the file."""
    if element.VR == "OW" and element.tag.group != 0x7FE0:
        element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()


def _describe_pixels(dataset: Any, source: Any, stored: NDArray) -> None:
    if is_colour(source):
        for name in _NOT_OF_RGB:
            if name in dataset:
                del dataset[name]
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "RGB", 3, 0
        dataset.BitsStored = 8
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for name, value in (("SmallestImagePixelValue", stored.min()), ("LargestImagePixelValue", stored.max())):
        if name in dataset:
            del dataset[name]
            if dataset.BitsAllocated <= 16:
                dataset.add_new(name, "SS" if dataset.PixelRepresentation else "US", int(value))
    syntax = str(source.file_meta.get("TransferSyntaxUID"))
    if syntax in _LOSSY and source.get("LossyImageCompression") != "01":
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = _LOSSY[syntax]
        native = stored.shape[0] * source.Rows * source.Columns * stored.shape[3] * stored.dtype.itemsize
        dataset.LossyImageCompressionRatio = f"{native / len(source.PixelData):.4g}"
    content = stored.astype(stored.dtype.newbyteorder("<"), copy=False).tobytes()
    dataset.add_new("PixelData", "OB" if dataset.BitsAllocated == 8 else "OW", content + b"\0" * (len(content) % 2))


def _in_own_scale(units: NDArray, dataset: Any, dtype: np.dtype) -> NDArray:
    """Values in the unit of the image as stored values of a file whose frames have slopes of their own."""
    scales = rescales(dataset)[:, :, None, None, None]
    stored = np.rint((units.astype(np.float64) - scales[:, 1]) / scales[:, 0])
    bits = min(int(dataset.BitsStored), 8 * dtype.itemsize)
    lowest, highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype.kind == "i" else (0, 2**bits - 1)
    return np.clip(stored, lowest, highest).astype(dtype)
