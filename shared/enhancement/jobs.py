"""What a run has to do: one job per image, found once, before the first image is touched."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.enhancement.report import FAILED, OK, Row
from shared.errors import InputError, message_of
from shared.inference import find_images
from shared.inference.listing import protected, source_files


@dataclass(frozen=True)
class Job:
    """One image.

    Attributes:
        item: what ``find_images`` says about it.
        row: its row in the report, as it is when all goes well, without size and seconds.
    """

    item: Mapping[str, Any]
    row: Row


def find_jobs(
    inputs: Sequence[Path], output_dir: Path, output_format: str, large_image_pixels: int | None, model: str
) -> tuple[list[Job], list[Row]]:
    """Return a job for each image, and a failed row for each file that looks like an image and is none.

    Args:
        inputs: files and folders, as ``find_images`` takes them; an image that is given twice counts once.
        output_dir: folder of the results.
        output_format: "same", "dicom", "nifti" or "png".
        large_image_pixels: a TIFF image of more pixels than this is a large one.
        model: fingerprint of the weights and settings.

    Raises:
        InputError: an input is missing or holds no image, two results would get the same name, or a result would
            replace a source.
    """
    jobs: dict[tuple[Path, ...], Job] = {}
    failed: dict[Path, Row] = {}
    for source in inputs:
        root = source if source.is_dir() else source.parent

        def refuse(path: str, error: InputError, root: Path = root) -> None:
            failed[Path(path).resolve()] = Row(_relative(Path(path), root), "", FAILED, message=message_of(error))

        items = find_images(str(source), str(output_dir), output_format, large_image_pixels, refuse)
        for item in items:
            files = source_files(item)
            try:
                row = _row(item, files, root, output_dir, model)
            except OSError as err:
                refuse(str(files[0]), InputError(f"{files[0]}: cannot be read: {err.strerror or err}"))
            else:
                jobs.setdefault(tuple(file.resolve() for file in files), Job(item, row))
    _refuse_collisions(list(jobs.values()))
    return list(jobs.values()), list(failed.values())


def _row(item: Mapping[str, Any], files: Sequence[Path], root: Path, output_dir: Path, model: str) -> Row:
    return Row(
        file=_relative(files[0], root),
        output=_relative(Path(item["output"]), output_dir),
        status=OK,
        message=f"series of {len(files)} files" if len(files) > 1 else "",
        source=_fingerprint(files),
        model=model,
    )


def _fingerprint(files: Sequence[Path]) -> str:
    """Twelve digits that change when a file is changed, renamed or replaced, in whatever order they come."""
    states = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return hashlib.sha256(repr(states).encode(errors="surrogateescape")).hexdigest()[:12]


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
