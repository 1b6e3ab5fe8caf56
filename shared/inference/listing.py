"""Which images a run enhances, and where each result goes."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from shared.errors import InputError, NoIntensities
from shared.images.dicom.series import group_slices, time_series
from shared.images.format_table import SUPPORTED, format_of
from shared.images.formats import check_output, check_picture, dicom_header, output_name, series_output_name
from shared.images.itk_volumes import data_files
from shared.images.left_out import LeftOut
from shared.images.walking import Refuse, images_below
from shared.inference.large.images import is_large_tiff, is_large_volume
from shared.inference.transforms import SCALE_WITH


class Images(list[dict[str, Any]]):
    """The items of an inference data set, and what lies beside them.

    Attributes:
        left_out: what the search left out.
    """

    def __init__(self, items: Iterable[dict[str, Any]] = (), left_out: LeftOut | None = None) -> None:
        super().__init__(items)
        self.left_out = LeftOut() if left_out is None else left_out


def find_images(
    input: str | None,
    output_dir: str | None,
    output_format: str = "same",
    large_image_pixels: int | None = None,
    refuse: Refuse | None = None,
    plane: str | None = None,
    upscale_factor: int = 1,
) -> Images:
    """Items of the inference data set: ``image`` is the source, ``output`` the path of its result, ``large`` whether it
    is one to enhance in parts (:class:`~shared.inference.LargeImages`).

    A folder is searched with all its sub-folders, linked ones too, in sorted order. Left out, and counted in
    ``left_out`` of what is returned, are hidden files, files of other kinds or without an image of intensities (label
    maps), what lies below ``output_dir``, and results of earlier runs
    (:func:`~shared.images.earlier_results.without_results`). The tree of outputs mirrors the tree of inputs. The
    header of every image is read here, so that most bad files are found before the first result is written.

    A source is a path, or the list of the DICOM files in one folder that are the slices of one volume
    (:func:`~shared.images.dicom.series.group_slices`). The result of such a series is a folder, or one NIfTI file,
    named by the number and description of the series. All other images have results of their own
    (:func:`~shared.images.formats.output_name`). An item of a DICOM time series has the key ``scale_with``: the
    files of all its volumes, which share one scale.

    Args:
        input: an image file or a folder. None gives an empty list, so that the workflow can be built and checked;
            :func:`require_input` stops a run then.
        output_dir: folder of the results; need not exist.
        output_format: "same", "dicom", "nifti" or "png"; what the results are written as.
        large_image_pixels: a TIFF image of more pixels than this is a large one, and a NIfTI volume that is to be
            written as NIfTI and whose result has more voxels; None for no limit.
        refuse: is told the path of each image that cannot be enhanced, and why; it is left out then. None stops at the
            first one.
        plane: in which volumes but DICOM are cut, as far as it is known already.
        upscale_factor: by which the network enlarges a slice.

    Raises:
        InputError: ``output_dir`` is missing, nothing is found, an image cannot be read or not be written in the
            format, two results would get the same name, or a result would replace a source or lie outside
            ``output_dir``.
    """
    images = Images()
    if not input:
        return images
    require_input(input, output_dir)
    source, target = Path(str(input)).expanduser(), Path(str(output_dir)).expanduser()
    if target.exists() and not target.is_dir():
        raise InputError(f"output_dir: {target} is a file, expected a folder")
    search = _Search(target, output_format, large_image_pixels, refuse, plane, upscale_factor)
    if source.is_dir():
        images += search.below(source)
        images.left_out = search.left_out
        if not images and not search.refused:
            found = f"; {search.left_out}" if search.left_out else ""
            raise InputError(f"input: no image found in the folder {source}, expected {SUPPORTED}{found}")
    elif source.exists():
        images += search.items([source], target)
    else:
        raise InputError(f"input: {source} does not exist, expected an image file or a folder")
    _refuse_collisions(images)
    return images


def require_input(input: str | None, output_dir: str | None) -> None:
    """Say what to give when the input or the output folder is not set; the first item of a run.

    Raises:
        InputError: one of them is missing.
    """
    if not input:
        raise InputError("input: not set, expected an image file or a folder: give --input FILE_OR_FOLDER")
    if not output_dir:
        raise InputError("output_dir: not set, expected a folder: give --output_dir FOLDER")


class _Search:
    """One call of :func:`find_images`.

    Attributes:
        left_out: what was left out of folders.
        refused: number of images that ``refuse`` was told of.
    """

    def __init__(
        self,
        target: Path,
        output_format: str,
        limit: int | None,
        refuse: Refuse | None,
        plane: str | None,
        upscale_factor: int,
    ) -> None:
        self.left_out = LeftOut()
        self.refused = 0
        self._target = target
        self._format = output_format
        self._limit = limit
        self._refuse = refuse
        self._plane = plane
        self._upscale_factor = upscale_factor

    def below(self, folder: Path) -> list[dict[str, Any]]:
        """The items of the images in a folder and its sub-folders."""
        if folder.resolve() == self._target.resolve():
            raise InputError(
                f"output_dir: {self._target} is the input folder, expected another one: sources are not replaced"
            )
        refuse = None if self._refuse is None else self._count_refused
        paths = images_below(folder, _is_image, self.left_out, output=self._target, refuse=refuse)
        items: list[dict[str, Any]] = []
        for parent, members in groupby(paths, key=lambda path: path.parent):
            items += self.items(list(members), self._target / parent.relative_to(folder), searched=True)
        return items

    def items(self, paths: list[Path], folder: Path, searched: bool = False) -> list[dict[str, Any]]:
        """The items of the images in one folder, in their order.

        Args:
            paths: the images.
            folder: of their results.
            searched: whether they were found, and not given one by one.
        """
        headers: dict[str, Any] = {}
        sources: dict[str, str | list[str]] = {}
        for path in map(str, paths):
            with self._refusing(path, searched):
                header = dicom_header(path)
                if header is not None:
                    headers[path] = header
                else:
                    check_picture(path)
                    sources[path] = path
        groups = group_slices(headers)
        series = {}
        for group, files in zip(groups, time_series(groups, headers), strict=True):
            # In the place of its first file.
            sources[min(group)] = group if len(group) > 1 else group[0]
            if len(files) > len(group):
                series[min(group)] = files
        items: list[dict[str, Any]] = []
        names: Counter[str] = Counter()
        for path, image in sorted(sources.items()):
            with self._refusing(path, searched):
                check_output(image, self._format, self._plane)
                if isinstance(image, str):
                    name = output_name(image, self._format)
                else:
                    name = series_output_name(headers[path], self._format)
                    names[name] += 1
                    name = _numbered(name, names[name])
                output = self._output(path, folder, name)
                item = {"image": image, "output": str(output), "large": self._is_large(image)}
                items.append({**item, SCALE_WITH: series[path]} if path in series else item)
        return items

    def _output(self, source: str, folder: Path, name: str) -> Path:
        """Path of a result; the one check that it lies in the output folder, whatever its source says or is called."""
        output = folder / name
        # A file replaces a link that bears its name, a folder of slices follows it.
        place = output if os.path.isdir(output) else folder
        is_name = name not in ("", "..") and "\0" not in name and Path(name).name == name
        if not is_name or not place.resolve().is_relative_to(self._target.resolve()):
            raise InputError(f"{source}: its result {output} would lie outside the output folder {self._target}")
        return output

    def _is_large(self, image: str | list[str]) -> bool:
        if not isinstance(image, str):
            return False
        if is_large_volume(image, self._limit, self._upscale_factor):
            return self._format in ("same", "nifti")
        if not is_large_tiff(image, self._limit):
            return False
        if self._format != "same":
            raise InputError(
                f"{image}: has more than {self._limit} pixels (large_image_pixels), so that it is enhanced in bands "
                f"and written as TIFF; expected output_format same, found {self._format}"
            )
        return True

    @contextlib.contextmanager
    def _refusing(self, path: str, searched: bool) -> Iterator[None]:
        try:
            yield
        except InputError as err:
            if searched and isinstance(err, NoIntensities):
                self.left_out.no_intensities[err.kind] += 1
            elif self._refuse is None:
                raise
            else:
                self._count_refused(path, err)

    def _count_refused(self, path: str, error: InputError) -> None:
        self.refused += 1
        if self._refuse is not None:
            self._refuse(path, error)


def _is_image(path: str) -> bool:
    return format_of(path) is not None


def _numbered(name: str, number: int) -> str:
    """Several volumes of one series (echoes, phases) share a name."""
    if number == 1:
        return name
    stem = name.removesuffix(".nii.gz")
    return f"{stem}_{number}{name[len(stem) :]}"


def _refuse_collisions(items: list[dict[str, Any]]) -> None:
    sources = protected(file for item in items for file in source_files(item))
    for item in items:
        output = Path(item["output"])
        if output.resolve() in sources:
            raise InputError(f"output_dir: the result of {source_files(item)[0]} would replace the source {output}")
    twice = [output for output, count in Counter(item["output"] for item in items).items() if count > 1]
    if twice:
        rivals = " and ".join(str(source_files(item)[0]) for item in items if item["output"] == twice[0])
        raise InputError(f"input: {rivals} would both be written to {twice[0]}; rename one of them")


def protected(sources: Iterable[Path]) -> set[Path]:
    """Resolved paths that no result may take: sources, and their folders, as a series may bear its folder's name."""
    files = {path.resolve() for path in sources}
    return files | {path.parent for path in files}


def source_files(item: Mapping[str, Any]) -> list[Path]:
    """Return the files of an item: one, or those of a series; a header is followed by the files of its pixels."""
    image = item["image"]
    return [Path(image), *data_files(image)] if isinstance(image, str) else [Path(file) for file in image]
