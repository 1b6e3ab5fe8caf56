"""What a run has to do: one job per image, found once, before the first image is touched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.enhance.report import FAILED, OK, Row
from shared.errors import InputError, message_of
from shared.images.earlier_results import fingerprint
from shared.images.itk_volumes import data_files
from shared.images.left_out import LeftOut
from shared.inference import find_images
from shared.inference.listing import protected, source_files
from shared.inference.transforms import SCALE_WITH


@dataclass(frozen=True)
class Job:
    """One image.

    Attributes:
        item: what ``find_images`` says about it.
        row: its row in the report, as it is when all goes well, without size and seconds.
    """

    item: Mapping[str, Any]
    row: Row


@dataclass(frozen=True)
class Target:
    """Where results go, and what decides about them.

    Attributes:
        folder: output folder.
        report: file of the report.
        output_format: "same", "dicom", "nifti" or "png".
        large_image_pixels: a TIFF image of more pixels, or a volume whose result has more voxels, is a large one.
        plane: in which volumes are cut.
        model: fingerprint of the weights and settings.
        upscale_factor: by which the network enlarges an image.
    """

    folder: Path
    report: Path
    output_format: str
    large_image_pixels: int | None
    plane: str
    model: str
    upscale_factor: int = 1


@dataclass(frozen=True)
class Found:
    """What :func:`find_jobs` found.

    Attributes:
        jobs: one for each image.
        failed: a row for each file that looks like an image and is none.
        left_out: what is not taken of the folders.
    """

    jobs: list[Job]
    failed: list[Row]
    left_out: LeftOut


def find_jobs(inputs: Sequence[Path], target: Target) -> Found:
    """Find out what there is to do.

    Args:
        inputs: files and folders, as ``find_images`` takes them; an image that is given twice counts once.
        target: where results go.

    Raises:
        InputError: an input is missing or holds no image, two results would get the same name, or a result would
            replace a source or lie outside the output folder.
    """
    jobs: dict[tuple[Path, ...], list[Job]] = {}
    failed: dict[Path, Row] = {}
    left_out = LeftOut()
    for source in inputs:
        root = source if source.is_dir() else source.parent

        def refuse(path: str, error: InputError, root: Path = root) -> None:
            row = Row(_relative(Path(path), root), "", FAILED, message=message_of(error))
            failed[Path(os.path.abspath(path))] = row

        items = find_images(
            str(source),
            str(target.folder),
            target.output_format,
            target.large_image_pixels,
            refuse,
            target.plane,
            target.upscale_factor,
        )
        left_out.add(items.left_out)
        # Of one input, links to one file are images of their own, as in the bundle's own inference.
        new: dict[tuple[Path, ...], list[Job]] = {}
        for item in items:
            files = source_files(item)
            try:
                row = _row(item, files, root, target)
            except OSError as err:
                refuse(str(files[0]), InputError(f"{files[0]}: cannot be read: {err.strerror or err}"))
            else:
                new.setdefault(tuple(file.resolve() for file in files), []).append(Job(item, row))
        jobs |= {files: found for files, found in new.items() if files not in jobs}
    found = Found([job for same in jobs.values() for job in same], [*failed.values()], left_out)
    _refuse_collisions(found.jobs)
    return found


def _row(item: Mapping[str, Any], files: Sequence[Path], root: Path, target: Target) -> Row:
    return Row(
        file=_relative(files[0], root),
        output=_relative(Path(item["output"]), target.folder),
        status=OK,
        message="" if isinstance(item["image"], str) else f"series of {len(files)} files",
        folder=_seen_from(target.report.parent, target.folder),
        source=fingerprint({*files, *_decisive(item, files)}),
        model=target.model,
    )


def _decisive(item: Mapping[str, Any], files: Sequence[Path]) -> Iterator[Path]:
    """What decides about a result beside the image's own files: what it is scaled with, pixels beside their header."""
    yield from (Path(file) for file in item.get(SCALE_WITH, ()))
    for file in files:
        yield from data_files(str(file))


def _seen_from(place: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(folder, place)).as_posix()
    # On another drive.
    except ValueError:
        return str(folder.absolute())


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    """Across inputs; ``find_images`` looks at one."""
    sources = protected(file for job in jobs for file in source_files(job.item))
    for job in jobs:
        if Path(job.item["output"]).resolve() in sources:
            raise InputError(f"--output: the result of {job.row.file} would replace the source {job.item['output']}")
    outputs = Counter(job.row.output for job in jobs)
    output, count = outputs.most_common(1)[0] if outputs else ("", 0)
    if count > 1:
        rivals = " and ".join(str(source_files(job.item)[0]) for job in jobs if job.row.output == output)
        raise InputError(f"--input: {rivals} would both be written to {output}; enhance them into different folders")
