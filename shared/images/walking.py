"""The one search for images in a folder, for inference and for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from shared.errors import InputError
from shared.images.earlier_results import is_report_file, without_results
from shared.images.itk_volumes import data_files
from shared.images.left_out import LeftOut, kind_of

Refuse = Callable[[str, InputError], None]


def images_below(
    root: Path,
    is_image: Callable[[str], bool],
    left_out: LeftOut,
    output: Path | None = None,
    skip: Collection[Path] = (),
    refuse: Refuse | None = None,
) -> list[Path]:
    """Return the images in a folder and its sub-folders, linked ones too; the files of a folder one after the other.

    Hidden files and folders, files of other kinds and results of earlier runs are left out and counted. What a linked
    folder holds bears the name of the link, and comes last.

    Args:
        root: the folder.
        is_image: whether a file is an image of a known format.
        left_out: is told what is left out.
        output: folder of the results, which is not searched.
        skip: folders and files that are used otherwise, and are neither returned nor counted.
        refuse: is told the path of each file that cannot be opened, and why; None stops at the first one.

    Raises:
        InputError: ``refuse`` is None and a file cannot be opened.
    """
    images, reports, others = [], [], []
    for path in files_below(root, left_out, output, skip):
        try:
            if is_image(str(path)):
                images.append(path)
            elif is_report_file(path):
                reports.append(path)
            else:
                others.append(path)
        except OSError as err:
            error = InputError(f"{path}: cannot be read: {err}")
            if refuse is None:
                raise error from err
            refuse(str(path), error)
    # The pixels of a header are a part of its image.
    pixels = {file.resolve() for image in images for file in data_files(str(image))}
    left_out.other_kinds.update(kind_of(path) for path in others if path.resolve() not in pixels)
    kept, results = without_results(images, reports, root)
    left_out.results.update(results)
    return kept


def files_below(
    root: Path, left_out: LeftOut, output: Path | None = None, skip: Collection[Path] = ()
) -> Iterator[Path]:
    """Yield the files in a folder and its sub-folders that are not hidden, sorted in each folder.

    Each folder is searched once, whatever links lead to it; a link that leads to a folder above itself is not followed.
    """
    top = root.resolve()
    # Results may also lie above what is searched: then they are not in the way.
    excluded = None if output is None or top.is_relative_to(output.resolve()) else output.resolve()
    walk = _Walk(left_out, excluded, {path.resolve() for path in skip})
    walk.links.append(root)
    while walk.links:
        link = walk.links.pop(0)
        real = link.resolve()
        # Above the link itself, or above the input, from where it would lead to what nobody asked for.
        if link != root and any(place.is_relative_to(real) for place in (link.parent.resolve(), top)):
            left_out.circles.append(link)
        elif real in walk.searched:
            left_out.repeated.append(link)
        else:
            yield from walk.tree(link)


class _Walk:
    """One search.

    Attributes:
        links: linked folders that are still to be searched: what is found in its true place is found there.
        searched: resolved paths of all folders so far.
    """

    def __init__(self, left_out: LeftOut, output: Path | None, skip: set[Path]) -> None:
        self.links: list[Path] = []
        self.searched: set[Path] = set()
        self._left_out = left_out
        self._output = output
        self._skip = skip
        self._skipped_names = {path.name for path in skip}

    def tree(self, top: Path) -> Iterator[Path]:
        """The files below a folder, without those below its linked folders."""
        for parent, folders, names in os.walk(top, onerror=self._count_closed):
            here = Path(parent)
            self.searched.add(here.resolve())
            self._left_out.hidden_folders += sum(name.startswith(".") for name in folders)
            folders[:] = [name for name in sorted(folders) if not name.startswith(".") and self._enters(here / name)]
            for path in (here / name for name in sorted(names)):
                if path.name.startswith("."):
                    self._left_out.hidden_files += 1
                elif not os.path.isfile(path):
                    self._count_no_file(path)
                elif path.name not in self._skipped_names or path.resolve() not in self._skip:
                    yield path

    def _enters(self, folder: Path) -> bool:
        """Whether a folder is searched now."""
        real = folder.resolve()
        if self._output is not None and real.is_relative_to(self._output):
            self._left_out.outputs.append(folder)
            return False
        if folder.is_symlink() and real not in self._skip:
            self.links.append(folder)
            return False
        return real not in self._skip and real not in self.searched

    def _count_closed(self, error: OSError) -> None:
        self._left_out.closed.append(Path(str(error.filename)))

    def _count_no_file(self, path: Path) -> None:
        if os.path.exists(path):
            self._left_out.devices.append(path)
        elif os.path.islink(path):
            self._left_out.broken_links.append(path)
        else:
            # The folder may be listed and not entered.
            self._left_out.closed.append(path)
