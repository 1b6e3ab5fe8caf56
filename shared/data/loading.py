"""Read images into [0, 1] and masks into class indices, with errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray
from PIL import Image

from shared.data.label_maps import is_label_map, map_size, read_class_map
from shared.data.medical import is_medical, label_plane, plane_size, unit_plane
from shared.data.splits import check_choice
from shared.errors import InputError

PathLike = str | os.PathLike[str]
#: Part of an image: top, left, height, width.
Box = tuple[int, int, int, int]
MASK_KINDS = ("binary", "index")
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
#: ITU-R 601 luma of R, G, B.
_LUMA = (0.299, 0.587, 0.114)

_Result = TypeVar("_Result")


def read_image(
    path: PathLike, channels: int = 3, size: tuple[int, int] | None = None, box: Box | None = None
) -> torch.Tensor:
    """Read a PNG, JPEG, TIFF or BMP file (told by its content) as float32 [channels, H, W] in [0, 1].

    NIfTI and MetaImage files (told by their names) of one 2-D image are read too: see :mod:`shared.data.medical`.

    8-bit values are divided by 255, 16-bit values by 65535 (16-bit colour is read with its upper 8 bits, which is
    what Pillow does). Transparency is dropped, palettes are applied; grey is repeated for 3 channels, colour becomes
    ITU-R 601 grey for 1. EXIF orientation is ignored, as masks do not have it.

    Args:
        path: image file.
        channels: 1 or 3.
        size: (H, W) to resize to, bilinear and anti-aliased; large JPEG files are then decoded at a fraction of
            their size, several times faster. None keeps the size.
        box: part of the image to take, before it is resized. None takes the whole image.

    Raises:
        InputError: missing, truncated or no image; floating-point values outside [0, 1]; a box outside the image.
    """
    _check_channels(channels)
    return _decode(path, lambda image: _unit_image(_part(image, path, box), path, channels, size), unit_plane)


def read_mask(
    path: PathLike,
    kind: str = "binary",
    size: tuple[int, int] | None = None,
    only: int | None = None,
    box: Box | None = None,
) -> torch.Tensor:
    """Read a mask as float32 class indices [1, H, W].

    MATLAB files of nuclei are read too, as index masks whatever ``kind`` says: see :mod:`shared.data.label_maps`.

    Args:
        path: mask file.
        kind: "binary" makes values above half of the range (127 of 255) class 1; "index" takes the stored values,
            or palette indices, as they are.
        size: (H, W) to resize to, nearest neighbour. None keeps the size.
        only: of an index mask, the value that becomes class 1; every other becomes 0. None keeps all.
        box: part of the mask to take, before it is resized. None takes the whole mask.

    Raises:
        InputError: missing, truncated or no image; colours in an index mask; a mask of 0 and 1 read as binary, but
            for NIfTI and MetaImage files, where 0 and any one other value are binary and more values an error.
    """
    check_choice("mask kind", kind, MASK_KINDS)
    if is_label_map(path):
        classes = Image.fromarray(read_class_map(path).astype(np.int32))
        mask = _class_indices(_part(classes, path, box), path, "index", size)
    else:
        mask = _decode(path, lambda image: _class_indices(_part(image, path, box), path, kind, size), label_plane)
    return mask if only is None else (mask == only).float()


def image_size(path: PathLike) -> tuple[int, int]:
    """Return (H, W) from the header of an image file; the pixels are not read.

    Raises:
        InputError: missing or no image.
    """
    if is_label_map(path):
        return map_size(path)
    if is_medical(path):
        return plane_size(path)
    return _decode(path, lambda image: (image.height, image.width))


class LoadUnitImaged(MapTransform):
    """Load clean images and, where the item has one, the mask: paths in, plain tensors out.

    Images become float32 [C, H, W] in [0, 1] (:func:`read_image`), the mask float32 class indices [1, H, W]
    (:func:`read_mask`). Of an item with a ``box`` (top, left, height, width) that part is loaded, and the key removed.

    Args:
        keys: image paths.
        mask_key: mask path; items without this key pass. None reads no mask.
        channels: 1 or 3.
        size: (H, W) or one number for both; None keeps the size.
        mask_kind: "binary" or "index".
        mask_class: of an index mask, the value that becomes class 1; every other becomes 0. None keeps all.
        allow_missing_keys: items without an image key pass.

    Raises:
        InputError: unreadable file, or a mask whose size differs from its image.
    """

    def __init__(
        self,
        keys: KeysCollection = "label",
        mask_key: str | None = "mask",
        channels: int = 3,
        size: int | tuple[int, int] | None = None,
        mask_kind: str = "binary",
        mask_class: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        _check_channels(channels)
        check_choice("mask kind", mask_kind, MASK_KINDS)
        self.mask_key = mask_key
        self.channels = channels
        self.size = (size, size) if isinstance(size, int) else None if size is None else (size[0], size[1])
        if self.size is not None and min(self.size) < 1:
            raise InputError(f"size must be positive, found {self.size}")
        if mask_class is not None and mask_kind != "index":
            raise InputError(f"mask_class {mask_class} needs mask kind 'index', found '{mask_kind}'")
        self.mask_kind = mask_kind
        self.mask_class = mask_class

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of the item with its files loaded."""
        item = dict(data)
        box = item.pop("box", None)
        if self.mask_key is not None and self.mask_key in item:
            mask = item[self.mask_key]
            for key in self.key_iterator(item):
                _check_same_size(item[key], mask)
            item[self.mask_key] = read_mask(mask, self.mask_kind, self.size, self.mask_class, box)
        for key in self.key_iterator(item):
            item[key] = read_image(item[key], self.channels, self.size, box)
        return item


def _check_same_size(image: PathLike, mask: PathLike) -> None:
    found, expected = image_size(mask), image_size(image)
    if found != expected:
        raise InputError(
            f"mask '{mask}' is {found[1]}x{found[0]} pixels, but its image '{image}' is {expected[1]}x{expected[0]}"
        )


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise InputError(f"channels must be 1 or 3, found {channels!r}")


def _decode(
    path: PathLike,
    read: Callable[[Image.Image], _Result],
    open_medical: Callable[[PathLike], Image.Image] | None = None,
) -> _Result:
    """Open a file and apply ``read``; whatever Pillow raises on bad bytes becomes one InputError."""
    try:
        with open_medical(path) if open_medical and is_medical(path) else Image.open(path) as image:
            return read(image)
    except InputError:
        raise
    except FileNotFoundError as err:
        raise InputError(f"image file '{path}' does not exist") from err
    # Pillow's decoders raise SyntaxError, EOFError, ValueError or their own bomb error on broken headers.
    except (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError) as err:
        raise InputError(f"'{path}' cannot be read as an image (truncated, or another format): {err}") from err


def _part(image: Image.Image, path: PathLike, box: Box | None) -> Image.Image:
    if box is None:
        return image
    top, left, height, width = box
    if min(top, left) < 0 or min(height, width) < 1 or top + height > image.height or left + width > image.width:
        raise InputError(f"'{path}' is {image.width}x{image.height} pixels, too small for the box {tuple(box)}")
    part = image.crop((left, top, left + width, top + height))
    part.format = image.format  # crop() forgets the format
    return part


def _unit_image(image: Image.Image, path: PathLike, channels: int, size: tuple[int, int] | None) -> torch.Tensor:
    if size is not None:
        # Twice the wanted size is left to the anti-aliased resize; draft does nothing for other formats.
        image.draft(None, (2 * size[1], 2 * size[0]))
    if image.mode in _SIXTEEN_BIT:
        plane, scale = Image.fromarray(np.asarray(image).astype(np.float32)), 65535.0
    elif image.mode == "F":
        plane, scale = image, 1.0
    else:
        plane, scale = image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB"), 255.0
    if size is not None and plane.size != (size[1], size[0]):
        plane = plane.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(plane, dtype=np.float32)).div_(scale)
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise InputError(f"'{path}' (mode {image.mode}) has values outside [0, {scale:g}]")
    return _with_channels(pixels, channels)


def _with_channels(pixels: torch.Tensor, channels: int) -> torch.Tensor:
    """[H, W] or [H, W, 3] to [channels, H, W]."""
    if pixels.ndim == 2:
        return pixels.expand(channels, *pixels.shape).contiguous()
    if channels == 3:
        return pixels.permute(2, 0, 1).contiguous()
    return (pixels @ torch.tensor(_LUMA)).clamp_(0, 1)[None]


def _class_indices(image: Image.Image, path: PathLike, kind: str, size: tuple[int, int] | None) -> torch.Tensor:
    binary, source_format = kind == "binary", image.format  # convert() forgets the format
    if binary and is_medical(path):
        image = _two_labels(image, path)
    wide = image.mode in _SIXTEEN_BIT
    bilevel = image.mode == "1" and not binary
    if not wide and (binary or bilevel):
        image = image.convert("L")
    values: NDArray[Any] = np.asarray(image)
    if bilevel:
        values = values // 255
    if values.ndim != 2:
        raise InputError(f"index mask '{path}' must have one channel, found mode {image.mode}")
    if binary and source_format != "JPEG" and values.max() == 1:
        raise InputError(f"mask '{path}' holds 0 and 1, where 0 and 255 are expected: read it with mask kind 'index'")
    if binary:
        values = values > (32767 if wide else 127)
    plane = Image.fromarray(values.astype(np.uint8) if binary else values.astype(np.int32))
    if size is not None and plane.size != (size[1], size[0]):
        plane = plane.resize((size[1], size[0]), Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(plane, dtype=np.float32))[None]


def _two_labels(image: Image.Image, path: PathLike) -> Image.Image:
    """A label map of 0 and one other value as a mask of 0 and 255."""
    labels = np.unique(np.asarray(image))
    if np.count_nonzero(labels) > 1:
        raise InputError(f"mask '{path}' holds labels {labels.tolist()}: read it with mask kind 'index'")
    return Image.fromarray(np.asarray(image) > 0).convert("L")
