"""The image files of a person's own folder, or of its folder of masks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from shared.data.slices import stem
from shared.errors import InputError, NoIntensities
from shared.images.formats import SUPPORTED, check_picture, format_of
from shared.images.left_out import LeftOut
from shared.images.walking import images_below


def image_files(root: Path, skip: set[Path], name: str, left_out: LeftOut) -> dict[str, str]:
    """Map id to path, sorted by id, for all images below a folder but those of ``skip``.

    Label maps and the like are left out of the images, and are what a folder of masks is for.
    """
    found: dict[str, str] = {}
    for path in images_below(root, lambda file: format_of(file) is not None, left_out, skip=skip):
        if name != "masks" and (kind := _other_content(str(path), path.stat().st_mtime_ns)) is not None:
            left_out.no_intensities[kind] += 1
            continue
        key = (path.relative_to(root).parent / stem(path)).as_posix()
        if key in found:
            raise InputError(f"{name}: '{path}' and '{found[key]}' have the same name but for the suffix")
        found[key] = str(path)
    if not found:
        rest = f"; {left_out}" if left_out else ""
        raise InputError(f"{name}: no image found in the folder '{root}', expected {SUPPORTED}{rest}")
    return dict(sorted(found.items()))


@cache
def _other_content(path: str, changed: int) -> str | None:
    """What a file of this time holds in the place of intensities; a damaged one is refused when its content is read."""
    try:
        check_picture(path)
    except NoIntensities as err:
        return err.kind
    except InputError:
        pass
    return None
