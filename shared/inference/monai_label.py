"""Answering in MONAI Label, which knows label maps only.

MONAI Label runs a bundle's own transforms and network, but means every prediction to be a label map: it leaves out
``SaveImaged``, resizes the prediction to the size of the input by nearest neighbour, and writes it by ITK without
colour, stored type or scaling. A bundle cannot choose another writer, but the last of its transforms can write the
answer itself and give MONAI Label the path.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images.attribution import Producer
from shared.images.formats import output_name, write_picture
from shared.images.modality import ANY, other_modality
from shared.images.picture import SourceRecord
from shared.inference.label_requests import asked_by_monai_label, bad_request
from shared.inference.transforms import RECORD_SUFFIX

logger = logging.getLogger(__name__)

_EXTENSIONS = (".nii", ".nii.gz", ".nrrd")


class WrittenAnswer(str):
    """Path of an answer that is written already, in the place of an array.

    Attributes:
        shape: no axes, so that there is nothing to resize.
        dtype: what MONAI Label's log calls it.
    """

    shape: tuple[int, ...] = ()
    dtype = "file"


class AnswerMONAILabeld(MapTransform):
    """Give MONAI Label the file of the enhanced image; do nothing anywhere else.

    The file is what the bundle's own inference writes: size (also after super-resolution), orientation, channels, type
    and intensities are those of :func:`~shared.images.write_picture`. A directory, which is a DICOM series, is
    answered as one NIfTI file. The request's parameter ``result_extension`` (".nii", ".nii.gz", ".nrrd") asks for a
    volume whatever the source is; ``result_dtype`` and ``result_compress``, which are about label maps, count for
    nothing. With ``skip_writer`` no file is asked for, and the data stay as they are.

    It relies on this behaviour of monailabel 0.8.5:

    - ``BasicInferTask.__call__`` puts the request's fields and ``image_path`` into the data, which tells that MONAI
      Label is asking;
    - ``BundleInferTask.post_transforms`` leaves out what is a ``SaveImaged``, keeps the other transforms for all later
      requests, and appends ``Restored(keys="pred", ref_image="image")``, which compares the size
      of ``pred`` with the meta data of ``image`` and, without an image, with ``pred`` itself;
    - ``run_post_transforms`` calls one after the other; its ``shape_info`` logs ``shape`` and ``dtype`` of ``pred``;
    - ``Writer`` returns ``pred`` in the place of a file name when ``result_write_to_file`` is false;
    - ``MONAILabelApp.infer`` and the endpoint ``/infer`` take what exists under that name for the result, send it, and
      remove it after the response (``remove_file``); ``/batch/infer`` copies it to the data store and removes it.

    Args:
        keys: key of the restored image, an array [C, ...] as :class:`~shared.inference.RestoreSourced` makes it.
        orig_keys: key under which :class:`~shared.inference.LoadSourced` loaded the source.
        producer: what enhanced the image, for formats that can say so (DICOM).
    """

    def __init__(
        self, keys: KeysCollection, orig_keys: str = "image", producer: Producer | None = None
    ) -> None:
        super().__init__(keys)
        self.orig_key = orig_keys
        self.producer = producer

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the answer, and put its path in the place of the image.

        Raises:
            InputError: ``result_extension`` is none of the above, or the file cannot be written. MONAI Label's client
                gets its message.
        """
        answered = dict(data)
        if not asked_by_monai_label(data) or str(data.get("skip_writer", False)).lower() in ("true", "1"):
            return answered
        record = SourceRecord.from_json(answered[f"{self.orig_key}{RECORD_SUFFIX}"])
        trained_on = ANY if self.producer is None else self.producer.modality
        warning = other_modality(trained_on, record.modality)
        if warning is not None:
            logger.warning("%s: %s", record.source, warning)
        with bad_request(data):
            for key in self.key_iterator(answered):
                answered[key] = self._write(answered[key], record, answered)
        answered["result_write_to_file"] = False
        answered.pop(self.orig_key, None)
        return answered

    def _write(self, pixels: NDArray, record: SourceRecord, request: Mapping[Hashable, Any]) -> WrittenAnswer:
        extension = _extension(request, record)
        # One answer is one run: MONAI Label keeps this object, and two DICOM files must not have one UID.
        producer = None if self.producer is None else self.producer.another_run()
        handle, path = tempfile.mkstemp(suffix=extension or _own_suffix(record.source))
        os.close(handle)
        try:
            if extension == ".nrrd":
                _write_nrrd(path, pixels, record)
            else:
                write_picture(path, pixels, record, "nifti" if extension else "same", producer)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise
        return WrittenAnswer(path)


def _write_nrrd(path: str, pixels: NDArray, record: SourceRecord) -> None:
    """NRRD knows no rescale slope: it holds what the values of the NIfTI file mean."""
    with tempfile.TemporaryDirectory() as folder:
        volume = str(Path(folder) / "answer.nii")
        write_picture(volume, pixels, record, "nifti")
        try:
            SimpleITK.WriteImage(_with_gaps(SimpleITK.ReadImage(volume), volume), path)
        except RuntimeError as err:
            reason = str(err).strip().splitlines()[-1]
            raise InputError(f"{record.source}: cannot be answered as .nrrd: {reason}") from err


def _with_gaps(image: SimpleITK.Image, volume: str) -> SimpleITK.Image:
    """An image as ITK reads it from a NIfTI file, with the missing values (NaN) that ITK takes for 0."""
    stored = np.asanyarray(nibabel.Nifti1Image.from_filename(volume).dataobj)
    if stored.dtype.kind != "f" or not np.isnan(stored).any():
        return image
    values = SimpleITK.GetArrayFromImage(image)
    values[np.isnan(stored).transpose().reshape(values.shape)] = np.nan
    whole = SimpleITK.GetImageFromArray(values, isVector=image.GetNumberOfComponentsPerPixel() > 1)
    whole.CopyInformation(image)
    return whole


def _extension(request: Mapping[Hashable, Any], record: SourceRecord) -> str | None:
    """The extension to answer with; None for the source's own format."""
    extension = request.get("result_extension")
    if not extension:
        return ".nii.gz" if record.files else None
    if extension not in _EXTENSIONS:
        raise InputError(
            f"result_extension: found {extension!r}, expected one of {', '.join(_EXTENSIONS)}, or nothing for the "
            "format of the source"
        )
    return str(extension)


def _own_suffix(source: str) -> str:
    name = output_name(source)
    return ".nii.gz" if name.lower().endswith(".nii.gz") else Path(name).suffix
