"""What a TIFF file says beside its pixels is said of the result, as far as it still holds, in every layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from torch import nn

from shared.images import read_picture
from shared.images.resolution import raster_spacing
from shared.inference import EnhancementInferer
from tests.images.nifti_files import nifti
from tests.images.tiff_files import SIZE, noise
from tests.inference.large.case import in_bands

Enhance = Callable[..., list[str]]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION = 274
LAYOUTS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "grey": (SIZE, {"photometric": "minisblack"}),
    "white is zero": (SIZE, {"photometric": "miniswhite"}),
    "colour": ((*SIZE, 3), {"photometric": "rgb"}),
    "planes": ((3, *SIZE), {"photometric": "rgb", "planarconfig": "separate"}),
    "transparent": ((*SIZE, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "tiles": ((*SIZE, 3), {"photometric": "rgb", "tile": (16, 32), "compression": "zlib"}),
    "BigTIFF": (SIZE, {"photometric": "minisblack", "bigtiff": True, "byteorder": ">"}),
    "pages": ((3, *SIZE), {"photometric": "minisblack"}),
    "pages of colour": ((2, *SIZE, 3), {"photometric": "rgb", "rowsperstrip": 7}),
}


def write(path: Path, layout: str, dtype: str = "uint8", **options: Any) -> Path:
    shape, form = LAYOUTS[layout]
    tifffile.imwrite(path, noise(shape, dtype), **{"metadata": None, **form, **options})
    return path


def first(path: str | Path) -> Any:
    """The first page, its tags read."""
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages.first
        for tag in page.tags:
            assert tag.value is not None
        return page


def shown(path: str | Path) -> list[np.ndarray]:
    """Each page, turned by Pillow as its tag says; its own reader of TIFF leaves some unturned."""
    pages = []
    with tifffile.TiffFile(path) as file:
        form: Any = file.pages.first
        for page in file.pages:
            stored = page.asarray()
            image = Image.fromarray(np.moveaxis(stored, 0, -1) if form.planarconfig == 2 else stored)
            image.getexif()[ORIENTATION] = int(form.tags.valueof(ORIENTATION, 1))
            pages.append(np.array(ImageOps.exif_transpose(image)))
    return pages


def large(source: Path, output: Path, factor: int = 1) -> Path:
    """Enhance in bands by a network that repeats pixels."""
    output.parent.mkdir(parents=True, exist_ok=True)
    form = first(source)
    channels = 3 if form.photometric == tifffile.PHOTOMETRIC.RGB else 1
    in_bands(source, output, nn.Upsample(scale_factor=factor), EnhancementInferer(channels, 32))
    return output


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_orientation_is_applied(tmp_path: Path, enhance: Enhance, layout: str, orientation: int) -> None:
    """In bands, where rows come as they are stored, the tag stays instead; a viewer shows the same image."""
    tag = [(ORIENTATION, "H", 1, orientation, False)]
    source = write(tmp_path / "a.tif", layout, extratags=tag, resolution=(50, 25), resolutionunit="CENTIMETER")
    expected = shown(source)
    picture = read_picture(source)
    assert picture.pixels.shape[1:3] == expected[0].shape[:2]
    (output,) = enhance(source, tmp_path / "out", channels=3)
    turned = orientation >= 5
    page = first(output)
    assert page.tags.valueof(ORIENTATION, 1) == 1
    assert [page.tags.valueof(name)[0] for name in ("XResolution", "YResolution")] == ([25, 50] if turned else [50, 25])
    assert raster_spacing(str(source)) == raster_spacing(output) == pytest.approx((0.2, 0.4) if turned else (0.4, 0.2))
    for found, one in zip(shown(output), expected, strict=True):
        np.testing.assert_array_equal(found, one)
    (output,) = enhance(source, tmp_path / "twice", channels=3, network=nn.Upsample(scale_factor=2))
    for found, one in zip(shown(output), expected, strict=True):
        np.testing.assert_array_equal(found, one.repeat(2, 0).repeat(2, 1))
    if "pages" not in layout:
        result = large(source, tmp_path / "bands" / "a.tif")
        assert first(result).tags.valueof(ORIENTATION, 1) == orientation
        np.testing.assert_array_equal(shown(result)[0], expected[0])


def test_orientation_in_other_formats(tmp_path: Path, enhance: Enhance) -> None:
    tag = [(ORIENTATION, "H", 1, 6, False)]
    source = write(tmp_path / "a.tif", "grey", extratags=tag, resolution=(100, 50), resolutionunit="CENTIMETER")
    (output,) = enhance(source, tmp_path / "out", output_format="png")
    np.testing.assert_array_equal(np.array(Image.open(output)), shown(source)[0])
    (output,) = enhance(source, tmp_path / "out", output_format="nifti")
    result = nifti(output)
    np.testing.assert_array_equal(np.asanyarray(result.dataobj)[..., 0].T, shown(source)[0])
    np.testing.assert_allclose(result.header.get_zooms()[:2], (0.2, 0.1))


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_spacing_of_a_turned_photograph(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(noise(SIZE)).save(tmp_path / "a.jpg", dpi=(254, 508), exif=exif)
    assert raster_spacing(str(tmp_path / "a.jpg")) == pytest.approx((0.1, 0.05) if orientation == 6 else (0.05, 0.1))


OME_LAYOUTS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "image": ("YX", SIZE, {"photometric": "minisblack"}),
    "colour": ("YXS", (*SIZE, 3), {"photometric": "rgb"}),
    "planes": ("SYX", (3, *SIZE), {"photometric": "rgb", "planarconfig": "separate"}),
    "transparent": ("YXS", (*SIZE, 4), {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    "slices": ("ZYX", (4, *SIZE), {"photometric": "minisblack"}),
    "times": ("TYX", (4, *SIZE), {"photometric": "minisblack", "compression": "zlib"}),
    "channels": ("CYX", (2, *SIZE), {"photometric": "minisblack", "tile": (16, 16)}),
    "slices of colour": ("ZYXS", (2, *SIZE, 3), {"photometric": "rgb", "bigtiff": True}),
    "lifetimes": ("HYX", (4, *SIZE), {"photometric": "minisblack"}),
}


def write_ome(path: Path, layout: str, dtype: str = "uint16", levels: int = 0) -> Path:
    axes, shape, options = OME_LAYOUTS[layout]
    channels = 2 if "C" in axes else 1
    metadata: dict[str, Any] = {
        "axes": axes,
        "Name": "Retina & <nerve>",
        "PhysicalSizeX": 0.325,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 650,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 2.5,
        "PhysicalSizeZUnit": "µm",
        "TimeIncrement": 0.5,
        "Channel": {"Name": ["DAPI", "Alexa 488"][:channels], "Color": [255, -16776961][:channels]},
        "MapAnnotation": {"stain": "0.5 µg"},
    }
    pixels = noise(shape, dtype)
    with tifffile.TiffWriter(path, ome=True, bigtiff=options.get("bigtiff", False)) as file:
        form = {key: value for key, value in options.items() if key != "bigtiff"}
        file.write(pixels, metadata=metadata, subifds=levels, **form)
        for _ in range(levels):
            file.write(pixels[..., ::2, ::2], subfiletype=1, **form)
    return path


def ome_image(path: str | Path) -> dict[str, Any]:
    with tifffile.TiffFile(path) as file:
        assert file.series[0].kind == "ome"
        return tifffile.xml2dict(str(file.ome_metadata))["OME"]


def assert_ome_holds(source: Path, output: str | Path, factor: int) -> None:
    before, after = ome_image(source), ome_image(output)
    with tifffile.TiffFile(source) as one, tifffile.TiffFile(output) as other:
        axes = one.series[0].axes
        planar = axes.startswith("SYX")
        assert other.series[0].axes == ("YXS" if planar else axes)
        sizes = one.series[0].sizes
        grown = {name: size * (factor if name in ("height", "width") else 1) for name, size in sizes.items()}
        assert other.series[0].sizes == grown
        assert other.series[0].name == one.series[0].name
    pixels, result = before["Image"]["Pixels"], after["Image"]["Pixels"]
    for axis in "XY":
        assert result[f"PhysicalSize{axis}"] == pytest.approx(pixels[f"PhysicalSize{axis}"] / factor, rel=1e-12)
    same = ("PhysicalSizeXUnit", "PhysicalSizeYUnit", "PhysicalSizeZ", "PhysicalSizeZUnit", "TimeIncrement")
    for key in (*same, "Channel", "Type", "SizeC", "SizeZ", "SizeT", "DimensionOrder"):
        assert result.get(key) == pixels.get(key), key
    assert after["StructuredAnnotations"] == before["StructuredAnnotations"]
    height, width = raster_spacing(str(output)) or (0, 0)
    assert (height, width) == pytest.approx((0.65e-3 / factor, 0.325e-3 / factor))


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("layout", list(OME_LAYOUTS))
def test_ome_tiff(tmp_path: Path, enhance: Enhance, layout: str, factor: int) -> None:
    """Physical size, names of channels and all else that OME-XML says; the result is an OME-TIFF file too."""
    source = write_ome(tmp_path / "a.ome.tif", layout)
    pixels = read_picture(source).pixels
    (output,) = enhance(source, tmp_path / "out", channels=3, network=nn.Upsample(scale_factor=factor))
    np.testing.assert_array_equal(read_picture(output).pixels, pixels.repeat(factor, 1).repeat(factor, 2))
    assert_ome_holds(source, output, factor)
    if pixels.ndim == 3:
        assert_ome_holds(source, large(source, tmp_path / "bands" / "a.ome.tif", factor), factor)


def test_pyramid_of_ome_tiff_gives_its_full_resolution(tmp_path: Path, enhance: Enhance) -> None:
    source = write_ome(tmp_path / "a.ome.tif", "image", levels=1)
    (output,) = enhance(source, tmp_path / "out")
    assert_ome_holds(source, output, 1)
    assert_ome_holds(source, large(source, tmp_path / "bands" / "a.ome.tif"), 1)
    with tifffile.TiffFile(output) as file:
        assert len(file.series[0].levels) == 1


def test_ome_tiff_that_is_turned(tmp_path: Path, enhance: Enhance) -> None:
    source = write_ome(tmp_path / "a.tif", "image", dtype="float32")
    with tifffile.TiffFile(source, mode="r+") as file:
        text = str(file.ome_metadata).replace("</Image>", '<ROIRef ID="ROI:0"/></Image>')
        text = text.replace("</OME>", '<ROI ID="ROI:0"><Union/></ROI></OME>')
    stored = tifffile.imread(source)
    for orientation in (1, 8):
        tag = [(ORIENTATION, "H", 1, orientation, False)]
        tifffile.imwrite(source, stored, description=text.encode(), metadata=None, extratags=tag)
        assert ("ROI" in ome_image(source)) is True
        (output,) = enhance(source, tmp_path / "out")
        result = ome_image(output)
        pixels = result["Image"]["Pixels"]
        assert ("ROI" in result) is ("ROIRef" in result["Image"]) is (orientation == 1)
        assert pixels["SizeX"] == (31 if orientation == 1 else 37)
        assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (
            (0.325, "µm") if orientation == 1 else (650, "nm")
        )
        assert tifffile.imread(output).shape == (pixels["SizeY"], pixels["SizeX"])


def test_ome_tiff_with_a_palette_becomes_colour(tmp_path: Path, enhance: Enhance) -> None:
    source = write_ome(tmp_path / "a.tif", "slices", dtype="uint8")
    with tifffile.TiffFile(source) as file:
        text = str(file.ome_metadata).encode()
    colours = noise((3, 256), "uint16")
    stored = noise((4, *SIZE))
    tifffile.imwrite(source, stored, photometric="palette", colormap=colours, description=text, metadata=None)
    (output,) = enhance(source, tmp_path / "out", channels=3)
    with tifffile.TiffFile(output) as result:
        assert result.series[0].axes == "ZYXS"
        np.testing.assert_array_equal(result.asarray(), (colours >> 8).T[stored])
    assert ome_image(output)["Image"]["Pixels"]["Channel"]["SamplesPerPixel"] == 3


IMAGEJ_LAYOUTS = {
    "image": ("YX", SIZE, "uint16"),
    "colour": ("YXS", (*SIZE, 3), "uint8"),
    "slices": ("ZYX", (4, *SIZE), "uint16"),
    "times": ("TYX", (4, *SIZE), "float32"),
    "channels": ("CYX", (2, *SIZE), "uint8"),
    "slices of colour": ("ZYXS", (2, *SIZE, 3), "uint8"),
}


def write_imagej(path: Path, layout: str, **options: Any) -> Path:
    axes, shape, dtype = IMAGEJ_LAYOUTS[layout]
    pages = shape[0] if axes[0] in "ZTC" else 1
    metadata: dict[str, Any] = {
        "axes": axes,
        "unit": "um",
        "spacing": 2.5,
        "finterval": 0.5,
        "xorigin": 4.0,
        "min": 0.0,
        "max": 300.0,
        "Labels": [f"plane {number}" for number in range(pages)],
        "Info": "Objective: 20x µm",
        "ROI": b"Iout" + bytes(60),
        "Properties": {"dose": "3"},
    }
    if axes[0] == "C":
        metadata["Ranges"] = (0.0, 100.0, 5.0, 200.0)
        metadata["LUTs"] = [noise((3, 256)) for _ in range(pages)]
        metadata["mode"] = "composite"
    elif dtype != "uint8":
        options["colormap"] = noise((3, 256), "uint16")
    tifffile.imwrite(path, noise(shape, dtype), imagej=True, resolution=(4, 2), metadata=metadata, **options)
    return path


def assert_imagej_holds(source: Path, output: str | Path, factor: int) -> None:
    with tifffile.TiffFile(source) as one, tifffile.TiffFile(output) as other:
        assert other.series[0].kind == "imagej"
        assert other.series[0].axes == one.series[0].axes
        before: Any = one.imagej_metadata
        after: Any = other.imagej_metadata
        page: Any = other.pages.first
        former: Any = one.pages.first
        if factor > 1:
            # Regions lie on the source's pixels.
            del before["ROI"]
            assert before.pop("xorigin") * factor == after.pop("xorigin")
        assert str(before) == str(after)
        resolution = [page.tags.valueof(name) for name in ("XResolution", "YResolution")]
        assert [dots / length for dots, length in resolution] == [4 * factor, 2 * factor]
        assert page.tags.valueof("ResolutionUnit") == 1
        np.testing.assert_array_equal(page.colormap, former.colormap)
    assert raster_spacing(str(output)) == pytest.approx((0.5e-3 / factor, 0.25e-3 / factor))


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("layout", list(IMAGEJ_LAYOUTS))
def test_imagej(tmp_path: Path, enhance: Enhance, layout: str, factor: int) -> None:
    """Spacing, unit, labels, ranges, colours of display stay, in a file that ImageJ knows as its own."""
    source = write_imagej(tmp_path / "a.tif", layout)
    pixels = read_picture(source).pixels
    (output,) = enhance(source, tmp_path / "out", channels=3, network=nn.Upsample(scale_factor=factor))
    found = read_picture(output).pixels
    np.testing.assert_allclose(found, pixels.repeat(factor, 1).repeat(factor, 2), atol=1e-3, rtol=0)
    assert_imagej_holds(source, output, factor)
    with tifffile.TiffFile(output) as file:
        # ImageJ reads all planes from the first one's place on.
        places = [page.dataoffsets[0] for page in file.pages]
        assert set(np.diff(places)) <= {file.pages.first.nbytes}
    if pixels.ndim == 3:
        assert_imagej_holds(source, large(source, tmp_path / "bands" / "a.tif", factor), factor)


def test_imagej_with_a_palette_becomes_colour(tmp_path: Path, enhance: Enhance) -> None:
    stored, colours = noise((3, *SIZE)), noise((3, 256), "uint16")
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 2.5}
    options: dict[str, Any] = {"imagej": True, "resolution": (4, 4), "metadata": metadata, "colormap": colours}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="palette", **options)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3)
    with tifffile.TiffFile(output) as result:
        found: Any = result.imagej_metadata
        assert (result.series[0].axes, found["unit"], found["spacing"]) == ("ZYXS", "um", 2.5)
        np.testing.assert_array_equal(result.asarray(), (colours >> 8).T[stored])


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_colour_profile(tmp_path: Path, enhance: Enhance, layout: str) -> None:
    source = write(tmp_path / "a.tif", layout, dtype="uint16", iccprofile=PROFILE)
    (output,) = enhance(source, tmp_path / "out", channels=3)
    assert first(output).iccprofile == PROFILE
    if "pages" not in layout:
        assert first(large(source, tmp_path / "bands" / "a.tif")).iccprofile == PROFILE


def test_profile_of_inks_is_none_of_their_rgb(tmp_path: Path, enhance: Enhance) -> None:
    pixels = noise((*SIZE, 4))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="separated", iccprofile=PROFILE, metadata=None)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3)
    assert first(output).iccprofile is None


@pytest.mark.parametrize("kinds", [(0,), (1,), (2,), (1, 0), (2, 2), (0, 0, 0)])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("pages", [(), (2,)])
def test_kind_of_alpha(
    tmp_path: Path, enhance: Enhance, kinds: tuple[int, ...], colours: int, pages: tuple[int, ...]
) -> None:
    pixels = noise((*pages, *SIZE, colours + len(kinds)), "uint16")
    photometric = "rgb" if colours == 3 else "minisblack"
    options: dict[str, Any] = {"photometric": photometric, "extrasamples": kinds, "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None, **options)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3)
    assert first(output).extrasamples == kinds
    np.testing.assert_array_equal(tifffile.imread(output), pixels)
    if not pages:
        result = large(tmp_path / "a.tif", tmp_path / "bands" / "a.tif")
        assert first(result).extrasamples == kinds
        np.testing.assert_array_equal(tifffile.imread(result), pixels)


@pytest.mark.parametrize("unit", ["NONE", "INCH", "CENTIMETER"])
@pytest.mark.parametrize("resolution", [(50, 25), (1 / 0.3251, 1e9 / 7), ((2**32 - 1, 999983), (2**32 - 5, 7))])
@pytest.mark.parametrize("factor", [1, 4])
def test_resolution(tmp_path: Path, enhance: Enhance, unit: str, resolution: tuple[Any, Any], factor: int) -> None:
    """Of any unit, and where the tag's 32 bits do not hold the finer one as a multiple."""
    source = write(tmp_path / "a.tif", "grey", resolution=resolution, resolutionunit=unit)
    former = [first(source).tags.valueof(name) for name in ("XResolution", "YResolution")]
    network = nn.Upsample(scale_factor=factor)
    for output in (enhance(source, tmp_path / "out", network=network)[0], large(source, tmp_path / "b.tif", factor)):
        page = first(output)
        assert page.tags.valueof("ResolutionUnit").name == unit
        for name, (dots, length) in zip(("XResolution", "YResolution"), former, strict=True):
            found = page.tags.valueof(name)
            assert found[0] / found[1] == pytest.approx(factor * dots / length, rel=1e-9)


@pytest.mark.parametrize("unit", [0, 9, None])
def test_resolution_without_a_unit_that_is_known(tmp_path: Path, enhance: Enhance, unit: int | None) -> None:
    """Where there is none it is the inch."""
    source = write(tmp_path / "a.tif", "grey", resolution=(50, 50), resolutionunit="CENTIMETER")
    with tifffile.TiffFile(source, mode="r+") as file:
        tag = file.pages.first.tags["ResolutionUnit"]
        # A private tag takes the place of the entry.
        tag.overwrite(unit) if unit is not None else _rename(source, tag.offset)
    (output,) = enhance(source, tmp_path / "out")
    tags = first(output).tags
    assert tags["XResolution"].value == (50, 1)
    assert tags["ResolutionUnit"].value == (2 if unit is None else 1)


def _rename(path: Path, entry: int) -> None:
    data = bytearray(path.read_bytes())
    data[entry : entry + 2] = (65000).to_bytes(2, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("values", [(0, 0), (0, 1), (1, 0), (2**32 - 1, 1)])
def test_resolution_of_nothing(tmp_path: Path, enhance: Enhance, values: tuple[int, int]) -> None:
    source = write(tmp_path / "a.tif", "grey", resolution=(50, 50), resolutionunit="INCH")
    with tifffile.TiffFile(source, mode="r+") as file:
        tags: Any = file.pages.first.tags
        for name in ("XResolution", "YResolution"):
            tags[name].overwrite(values)
    (output,) = enhance(source, tmp_path / "out", network=nn.Upsample(scale_factor=2))
    np.testing.assert_array_equal(tifffile.imread(output), tifffile.imread(source).repeat(2, 0).repeat(2, 1))
    if 0 in values:
        assert raster_spacing(str(source)) is None


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "CYX", "ZYXS", "YX"])
@pytest.mark.parametrize("factor", [1, 2])
def test_axes_of_tifffile(tmp_path: Path, enhance: Enhance, axes: str, factor: int) -> None:
    shape = tuple({"Y": 37, "X": 31, "S": 3}.get(axis, 2) for axis in axes)
    options: dict[str, Any] = {"photometric": "rgb" if "S" in axes else "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", noise(shape), metadata={"axes": axes, "spacing": 0.3, "unit": "um"}, **options)
    (output,) = enhance(tmp_path / "a.tif", tmp_path / "out", channels=3, network=nn.Upsample(scale_factor=factor))
    results = [Path(output)]
    if axes == "YX":
        results.append(large(tmp_path / "a.tif", tmp_path / "bands" / "a.tif", factor))
    for result in results:
        with tifffile.TiffFile(result) as file:
            assert file.series[0].axes == axes
            metadata: Any = file.shaped_metadata
            assert (metadata[0]["spacing"], metadata[0]["unit"]) == (0.3, "um")
            lengths = zip(axes, shape, strict=True)
            assert file.asarray().shape == tuple(size * (factor if axis in "YX" else 1) for axis, size in lengths)


def test_plain_description(tmp_path: Path, enhance: Enhance) -> None:
    source = write(tmp_path / "a.tif", "grey", description="Eye 3, 60 °".encode())
    (output,) = enhance(source, tmp_path / "out")
    assert first(output).description == "Eye 3, 60 °"
    result = first(large(source, tmp_path / "bands" / "a.tif")).description
    assert result.startswith("Enhanced image, not for diagnostic use.")
    assert result.endswith("\nEye 3, 60 °")


@pytest.mark.parametrize("write_source", [write_ome, write_imagej])
def test_a_large_image_that_is_complete_is_left(tmp_path: Path, write_source: Callable[..., Path]) -> None:
    """It is known by its description, whatever else that holds."""
    source = write_source(tmp_path / "a.tif", "image")
    result = large(source, tmp_path / "bands" / "a.tif")
    written = result.stat().st_mtime_ns
    large(source, result)
    assert result.stat().st_mtime_ns == written


def test_size_of_a_pixel_of_a_scanner(tmp_path: Path, enhance: Enhance) -> None:
    about = "Aperio Image Library v11.2.1 \r\n31x37 [0,0 31x37]|AppMag = 20|MPP = 0.4990|Left = 25"
    tifffile.imwrite(tmp_path / "a.svs", noise((*SIZE, 3)), description=about, metadata=None, photometric="rgb")
    with tifffile.TiffFile(tmp_path / "a.svs", mode="r+") as file:
        tags: Any = file.pages.first.tags
        # Aperio's files have no such tags.
        for code in (282, 283):
            tags[code].overwrite((0, 0))
    assert raster_spacing(str(tmp_path / "a.svs")) == pytest.approx((0.499e-3, 0.499e-3))
    (output,) = enhance(tmp_path / "a.svs", tmp_path / "out", channels=3, network=nn.Upsample(scale_factor=2))
    assert raster_spacing(output) == pytest.approx((0.2495e-3, 0.2495e-3))


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("micron", 0.25e-3),
        ("\\u00B5m", 0.25e-3),
        ("nm", 0.25e-6),
        ("mm", 0.25),
        ("cm", 2.5),
        ("inch", 6.35),
        ("pixel", None),
        ("", None),
    ],
)
def test_units_of_imagej(tmp_path: Path, unit: str, expected: float | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(SIZE), imagej=True, resolution=(4, 4), metadata={"unit": unit})
    assert raster_spacing(str(path)) == (None if expected is None else pytest.approx((expected, expected)))


@pytest.mark.parametrize("write_source", [write_ome, write_imagej])
@pytest.mark.parametrize(("layout", "between"), [("slices", 2.5e-3), ("times", 1.0)])
def test_size_of_a_voxel_as_nifti(
    tmp_path: Path, enhance: Enhance, write_source: Callable[..., Path], layout: str, between: float
) -> None:
    source = write_source(tmp_path / "a.tif", layout)
    network = nn.Upsample(scale_factor=2)
    (output,) = enhance(source, tmp_path / "out", network=network, output_format="nifti")
    row, column = raster_spacing(str(source)) or (0.0, 0.0)
    np.testing.assert_allclose(nifti(output).header.get_zooms(), (column / 2, row / 2, between))
