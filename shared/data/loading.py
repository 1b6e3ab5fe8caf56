"""Read images into [0, 1], as inference does, and masks into class indices, with errors that name the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.data.image_sizes import UNREADABLE, image_size, orientation_of, why_turned
from shared.data.label_maps import is_label_map, read_class_map
from shared.data.medical import is_medical, label_plane, read_plane
from shared.data.splits import check_choice
from shared.errors import InputError, first_line
from shared.images.orientation import swaps_axes
from shared.images.picture import Intensities, Picture
from shared.images.scaling import IntensityScaling, scaled

PathLike = str | os.PathLike[str]
#: Part of an image: top, left, height, width.
Box = tuple[int, int, int, int]
MASK_KINDS = ("binary", "index")
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
#: ITU-R 601 luma of R, G, B.
_LUMA = (0.299, 0.587, 0.114)

_Result = TypeVar("_Result")


def read_image(
    path: PathLike,
    channels: int = 3,
    size: tuple[int, int] | None = None,
    box: Box | None = None,
    scaling: IntensityScaling | None = None,
) -> torch.Tensor:
    """Read one 2-D image of any format that inference reads as float32 [channels, H, W] in [0, 1].

    Values and orientation are those of inference: what EXIF says about the orientation is applied, 16 bits stay 16
    bits, and the rule finds the range over the whole image. What it leaves outside [0, 1] is clipped, since this is a
    clean image to learn from. A NIfTI or MetaImage file is shown with its first axis from left to right.

    Transparency is dropped, palettes are applied; grey is repeated for 3 channels, colour becomes ITU-R 601 grey for 1.

    Args:
        path: image file.
        channels: 1 or 3.
        size: (H, W) to resize to, bilinear and anti-aliased; large JPEG files are then decoded at a fraction of
            their size, several times faster. None keeps the size.
        box: part of the image to take, before it is resized. None takes the whole image.
        scaling: rule that maps stored intensities to [0, 1]; None for the default rule.

    Raises:
        InputError: missing, truncated, no image, or more than one; a box outside the image; a value that needs more
            bits than the rule has.
    """
    _check_channels(channels)
    picture = (_reduced_jpeg(path, size) if size is not None and box is None else None) or read_plane(path)
    try:
        found = (scaling if scaling is not None else IntensityScaling()).measure(picture)
    except InputError as err:
        raise InputError(f"{path}: {err}") from err
    pixels = picture.pixels if box is None else _part(picture.pixels, path, box)
    return _with_channels(torch.from_numpy(_unit_values(pixels, found, size)), channels)


def read_mask(
    path: PathLike,
    kind: str = "binary",
    size: tuple[int, int] | None = None,
    only: int | None = None,
    box: Box | None = None,
) -> torch.Tensor:
    """Read a mask as float32 class indices [1, H, W], upright as its image is.

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
        mask = _class_indices(_crop(classes, path, box), path, "index", size)
    else:
        mask = _decode(path, lambda image: _class_indices(_crop(_upright(image), path, box), path, kind, size))
    return mask if only is None else (mask == only).float()


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
        scaling: rule that maps stored intensities to [0, 1], that of inference; None for the default rule.
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
        scaling: IntensityScaling | None = None,
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
        self.scaling = scaling

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
            item[key] = read_image(item[key], self.channels, self.size, box, self.scaling)
        return item


def _check_same_size(image: PathLike, mask: PathLike) -> None:
    found, expected = image_size(mask), image_size(image)
    if found != expected:
        message = f"mask '{mask}' is {found[1]}x{found[0]} pixels, but its image '{image}' is"
        raise InputError(f"{message} {expected[1]}x{expected[0]}{why_turned(image, found, expected)}")


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise InputError(f"channels must be 1 or 3, found {channels!r}")


def _reduced_jpeg(path: PathLike, size: tuple[int, int]) -> Picture | None:
    """A JPEG file of grey or RGB, decoded at the least fraction that gives twice ``size``; None for all other files."""
    try:
        with Image.open(path) as image:
            if image.format not in ("JPEG", "MPO") or image.mode not in ("L", "RGB"):
                return None
            height, width = size[::-1] if swaps_axes(orientation_of(image)) else size
            # Twice the wanted size is left to the anti-aliased resize.
            image.draft(None, (2 * width, 2 * height))
            pixels = np.asarray(ImageOps.exif_transpose(image))
    except UNREADABLE:
        # The reader of all formats says what is wrong.
        return None
    return Picture(np.atleast_3d(pixels).transpose(2, 0, 1), bits=8)


def _unit_values(pixels: NDArray[Any], found: Intensities, size: tuple[int, int] | None) -> NDArray[np.float32]:
    """Stored values [C, H, W], resized, in [0, 1]; 8 bits are resized as such, which is what networks have learned."""
    if pixels.dtype != np.uint8:
        return _resized(scaled(pixels, found).clip(0, 1), size).clip(0, 1)
    return scaled(_resized(pixels, size), found).clip(0, 1)


def _resized(pixels: NDArray[Any], size: tuple[int, int] | None) -> NDArray[Any]:
    if size is None or pixels.shape[1:] == size:
        return pixels
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in pixels]
    return np.stack([np.asarray(plane.resize((size[1], size[0]), Image.Resampling.BILINEAR)) for plane in planes])


def _upright(image: Image.Image) -> Image.Image:
    turned = ImageOps.exif_transpose(image)
    turned.format = image.format  # a turned copy forgets the format
    return turned


def _decode(path: PathLike, read: Callable[[Image.Image], _Result]) -> _Result:
    """Open a mask and apply ``read``; whatever Pillow raises on bad bytes becomes one InputError."""
    try:
        with label_plane(path) if is_medical(path) else Image.open(path) as image:
            return read(image)
    except InputError:
        raise
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except UNREADABLE as err:
        raise InputError(f"{path}: cannot be read as an image: {first_line(err)}") from err


def _part(pixels: NDArray[Any], path: PathLike, box: Box) -> NDArray[Any]:
    """The part of [C, H, W] in a box."""
    _check_box(path, box, (pixels.shape[1], pixels.shape[2]))
    top, left, height, width = box
    return pixels[:, top : top + height, left : left + width]


def _crop(image: Image.Image, path: PathLike, box: Box | None) -> Image.Image:
    if box is None:
        return image
    _check_box(path, box, (image.height, image.width))
    top, left, height, width = box
    part = image.crop((left, top, left + width, top + height))
    part.format = image.format  # crop() forgets the format
    return part


def _check_box(path: PathLike, box: Box, size: tuple[int, int]) -> None:
    top, left, height, width = box
    if min(top, left) < 0 or min(height, width) < 1 or top + height > size[0] or left + width > size[1]:
        raise InputError(f"'{path}' is {size[1]}x{size[0]} pixels, too small for the box {tuple(box)}")


def _with_channels(pixels: torch.Tensor, channels: int) -> torch.Tensor:
    """[1 or 3, H, W] to [channels, H, W]."""
    if len(pixels) == channels:
        return pixels.contiguous()
    if channels == 3:
        return pixels.expand(channels, *pixels.shape[1:]).contiguous()
    return (pixels.permute(1, 2, 0).contiguous() @ torch.tensor(_LUMA)).clamp_(0, 1)[None]


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
