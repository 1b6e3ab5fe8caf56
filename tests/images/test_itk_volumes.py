"""MetaImage and NRRD: the place in a patient, what else the header says, data files of their own, and refusals."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from torch import nn

from shared import InputError
from shared.enhance.jobs import Target, find_jobs
from shared.errors import NoIntensities, root_cause
from shared.images import read_picture
from shared.images.itk_volumes import data_files
from shared.inference import LoadSourced, find_images
from shared.inference.listing import source_files
from tests.images.nifti_files import noise

Enhance = Callable[..., list[str]]
SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
GEOMETRY = ("GetSize", "GetSpacing", "GetOrigin", "GetDirection")
# Neither axis of a patient, none alike, and one that is turned round.
OBLIQUE = np.array([[0.8, 0.0, -0.6], [0.36, 0.8, 0.48], [-0.48, 0.6, -0.64]]).T
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64")


def volume(values: NDArray, is_colour: bool = False) -> Any:
    """An image of values [Z, Y, X] or [Y, X], with a place of its own."""
    found = SimpleITK.GetImageFromArray(values, is_colour)
    count = found.GetDimension()
    found.SetSpacing((0.5, 0.75, 2.5)[:count])
    found.SetOrigin((12.5, -7.25, 103.0)[:count])
    turned = OBLIQUE if count == 3 else np.array([[0.6, -0.8], [0.8, 0.6]])
    found.SetDirection(turned.ravel().tolist())
    found.SetMetaData("ProbeName", "L12-5 38")
    return found


def written(path: Path, found: Any, compressed: bool = False) -> Path:
    SimpleITK.WriteImage(found, str(path), compressed)
    return path


def read(path: Path | str) -> tuple[Any, NDArray]:
    found = SimpleITK.ReadImage(str(path))
    return found, SimpleITK.GetArrayFromImage(found)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", TYPES)
def test_volume(tmp_path: Path, enhance: Enhance, dtype: str, suffix: str, compressed: bool) -> None:
    values = noise(5, 11, 14, dtype="int16").astype(dtype)
    source = written(tmp_path / f"a{suffix}", volume(values), compressed)
    (output,) = enhance(source, tmp_path / "out", plane="coronal", roi_size=8)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [source.name]
    expected, _ = read(source)
    found, stored = read(output)
    assert stored.dtype == values.dtype
    np.testing.assert_allclose(stored, values, rtol=0, atol=1e-3 if values.dtype.kind == "f" else 0)
    for question in GEOMETRY:
        np.testing.assert_allclose(getattr(found, question)(), getattr(expected, question)(), rtol=0, atol=1e-12)
    assert found.GetMetaData("ProbeName") == "L12-5 38"
    header = Path(output).read_bytes()[:1000]
    assert (b"CompressedData = True" in header or b"encoding: gzip" in header) is compressed
    assert b"ITK_InputFilterName" not in header


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(11, 14), (1, 11, 14), (5, 11, 14, 3), (11, 14, 3)])
def test_plane_and_colour(tmp_path: Path, enhance: Enhance, suffix: str, shape: tuple[int, ...]) -> None:
    is_colour = shape[-1] == 3
    values = noise(*shape)
    source = written(tmp_path / f"a{suffix}", volume(values, is_colour))
    (output,) = enhance(source, tmp_path / "out", channels=3 if is_colour else 1)
    expected, _ = read(source)
    found, stored = read(output)
    np.testing.assert_array_equal(stored, values)
    for question in GEOMETRY:
        np.testing.assert_allclose(getattr(found, question)(), getattr(expected, question)(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(11, 14), (5, 11, 14)])
def test_finer_grid_covers_the_same_space(
    tmp_path: Path, enhance: Enhance, suffix: str, shape: tuple[int, ...]
) -> None:
    source = written(tmp_path / f"a{suffix}", volume(noise(*shape)))
    (output,) = enhance(source, tmp_path / "out", nn.Upsample(scale_factor=2), plane="coronal")
    (before, _), (after, _) = read(source), read(output)
    assert sorted(np.array(after.GetSize()) // before.GetSize()) == [1, 2, 2][-len(shape) :]
    for corner in (np.zeros(len(shape)), np.array(before.GetSize())):
        grown = corner * np.array(after.GetSize()) / before.GetSize()
        places = [
            one.TransformContinuousIndexToPhysicalPoint((index - 0.5).tolist())
            for one, index in ((before, corner), (after, grown))
        ]
        np.testing.assert_allclose(*places, atol=1e-9)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_network_and_viewer_see_what_they_see_of_nifti(
    tmp_path: Path, enhance: Enhance, suffix: str, plane: str
) -> None:
    """The same volume, written as NIfTI by ITK, is the reference: slices, then results in other formats."""
    source = written(tmp_path / f"a{suffix}", volume(noise(5, 11, 14, dtype="int16")))
    twin = written(tmp_path / "twin.nii.gz", read(source)[0])
    load = LoadSourced("image", plane=plane)
    seen = [load({"image": str(path)})["image"] for path in (source, twin)]
    assert seen[0].shape == seen[1].shape
    np.testing.assert_array_equal(seen[0].numpy(), seen[1].numpy())
    np.testing.assert_allclose(seen[0].affine, seen[1].affine, atol=1e-4)
    for output_format in ("png", "dicom", "nifti"):
        one, other = (
            Path(enhance(path, tmp_path / f"out_{output_format}", plane=plane, output_format=output_format)[0])
            for path in (source, twin)
        )
        assert one.name == f"a{suffix}{'.nii.gz' if output_format == 'nifti' else '_slices'}"
        if output_format == "nifti":
            found: Any = nibabel.load(one)
            expected: Any = nibabel.load(twin)
            np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
            np.testing.assert_allclose(found.get_qform(), expected.affine, atol=1e-4)
            np.testing.assert_array_equal(found.dataobj, expected.dataobj)
            continue
        names = sorted(path.name for path in one.iterdir())
        assert names == sorted(path.name for path in other.iterdir())
        pictures = [read_picture(path) for path in (one, other)] if output_format == "dicom" else []
        for name in names:
            slices = [read_picture(path / name) for path in (one, other)]
            np.testing.assert_array_equal(slices[0].pixels, slices[1].pixels)
        for picture in pictures:
            np.testing.assert_allclose(picture.affine, pictures[1].affine, atol=1e-4)


def test_nrrd_in_another_space(tmp_path: Path, enhance: Enhance) -> None:
    """RAS in, LPS out, one place; a space that is no patient's stays what it is."""
    values = noise(4, 5, 6, dtype="int16")
    for space, expected in (
        ("right-anterior-superior", [[0.5, 0, 0, 1], [0, 0.75, 0, 2], [0, 0, 2, 3]]),
        ("left-anterior-superior", [[-0.5, 0, 0, -1], [0, 0.75, 0, 2], [0, 0, 2, 3]]),
        ("scanner-xyz", [[-0.5, 0, 0, -1], [0, -0.75, 0, -2], [0, 0, 2, 3]]),
    ):
        source = tmp_path / f"{space}.nrrd"
        header = (
            f"NRRD0005\ntype: short\ndimension: 3\nspace: {space}\nsizes: 6 5 4\n"
            "space directions: (0.5,0,0) (0,0.75,0) (0,0,2)\nkinds: domain domain domain\nendian: big\nencoding: raw\n"
            "space origin: (1,2,3)\ncontent: a phantom\nnote:=two := words\n\n"
        )
        source.write_bytes(header.encode() + values.astype(">i2").tobytes())
        (output,) = enhance(source, tmp_path / "out")
        for path in (source, output):
            picture: Any = read_picture(path)
            np.testing.assert_allclose(picture.affine[:3], expected, atol=1e-12)
            np.testing.assert_array_equal(picture.pixels[0].T, values)
        text = Path(output).read_bytes()
        assert b"content: a phantom\n" in text
        assert b"note:=two := words\n" in text
        assert (b"space: scanner-xyz\n" in text) is (space == "scanner-xyz")


def meta_image(path: Path, pixels: bytes = b"", **changes: str) -> Path:
    fields = {
        "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "1 2 3",
        "ElementSpacing": "0.5 0.75 2", "DimSize": "6 5 4", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
    }  # fmt: skip
    assert set(changes) <= {*fields, "Modality"}
    lines = {**fields, **changes}
    last = lines.pop("ElementDataFile")
    text = "".join(f"{name} = {value}\n" for name, value in lines.items()) + f"ElementDataFile = {last}\n"
    path.write_bytes(text.encode() + pixels)
    return path


PIXELS = noise(4, 5, 6, dtype="int16")


@pytest.mark.parametrize(
    ("data_file", "files"),
    [
        ("a.raw", {"a.raw": PIXELS.tobytes()}),
        ("with space.raw", {"with space.raw": PIXELS.tobytes()}),
        ("p%02d.raw 3 9 2", {f"p{3 + 2 * z:02d}.raw": PIXELS[z].tobytes() for z in range(4)}),
        ("LIST\nz.raw\ny.raw\nx.raw\nw.raw", {f"{'zyxw'[z]}.raw": PIXELS[z].tobytes() for z in range(4)}),
    ],
)
def test_data_files_of_a_header(tmp_path: Path, data_file: str, files: dict[str, bytes]) -> None:
    """They are no images and nothing left out, but they are source: changed, they make the result out of date."""
    folder = tmp_path / "in"
    folder.mkdir()
    source = meta_image(folder / "a.mhd", ElementDataFile=data_file)
    for name, pixels in files.items():
        (folder / name).write_bytes(pixels)
    np.testing.assert_array_equal(read_picture(source).pixels[0].T, PIXELS)
    items = find_images(str(folder), str(tmp_path / "out"))
    assert [item["image"] for item in items] == [str(source)]
    assert not items.left_out
    assert source_files(items[0]) == [source, *(folder / name for name in files)]
    target = Target(tmp_path / "out", tmp_path / "out" / "report.csv", "same", None, "axial", "model")
    rows = [find_jobs([folder], target).jobs[0].row]
    last = folder / [*files][-1]
    last.write_bytes(last.read_bytes()[::-1] + b"\0")
    rows.append(find_jobs([folder], target).jobs[0].row)
    assert rows[0].source != rows[1].source
    assert rows[0].message == ""
    last.unlink()
    with pytest.raises(InputError, match=rf"a\.mhd: its data file .*{last.name} does not exist$"):
        find_images(str(folder), str(tmp_path / "out"))


@pytest.mark.parametrize(("field", "names"), [("data file: a.raw", ["a.raw"]), ("datafile: ./b.raw.gz", ["b.raw.gz"]), (
    "data file: LIST\nx.raw\ny.raw", ["x.raw", "y.raw"]
), ("data file: s%d.raw 1 3 1", ["s1.raw", "s2.raw", "s3.raw"])])
def test_data_files_of_a_detached_nrrd_header(tmp_path: Path, field: str, names: list[str]) -> None:
    (tmp_path / "a.nhdr").write_text(f"NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nencoding: raw\n{field}\n")
    assert data_files(str(tmp_path / "a.nhdr")) == [tmp_path / name for name in names]
    assert data_files(str(tmp_path / "absent.nhdr")) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NDims": "4", "DimSize": "6 5 2 2", "ElementSpacing": "1 1 1 1", "Offset": "0 0 0 0",
          "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"},
         r"shape \(6, 5, 2, 2\), expected a 2-D or 3-D image"),
        ({"DimSize": "6 0 4"}, r"shape \(6, 0, 4\), expected a 2-D or 3-D image"),
        ({"ElementType": "MET_SHORT_ARRAY\nElementNumberOfChannels = 3"},
         "3 components, vector of 16-bit signed integer, expected one grey value or RGB of 8 bits"),
        ({"ElementSpacing": "1 0 2"}, "spacing 1 0 2 in the header, which is no space; expected axes that span one"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "direction 1 1 0 0 0 0 0 0 1 in the header, which is no space; .*"),
        ({"ElementType": "MET_FOO"}, "cannot be read as an image: no MetaImage header: .*"),
        ({"ElementDataFile": "gone.raw"}, "its data file .*gone.raw does not exist"),
    ],
)  # fmt: skip
def test_header_without_an_image(tmp_path: Path, changes: dict[str, str], message: str, capfd: Any) -> None:
    source = meta_image(tmp_path / "a.mha", PIXELS.tobytes(), **changes)
    with pytest.raises(InputError, match=rf"^{tmp_path}/a\.mha: {message}$"):
        find_images(str(source), str(tmp_path / "out"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "changes", "pixels", "reason"),
    [
        ("a.mha", {}, PIXELS.tobytes()[:-9], "data not read completely"),
        ("a.mha", {"CompressedData": "True"}, zlib.compress(PIXELS.tobytes())[:-50], "Uncompress failed"),
        ("a.nrrd", {"encoding": "raw"}, PIXELS.tobytes()[:-9], "fread got only"),
        ("a.nrrd", {"encoding": "bzip2"}, PIXELS.tobytes(), "bzip2 encoding not available"),
    ],
)
def test_damaged_pixels_are_one_line(
    tmp_path: Path, enhance: Enhance, name: str, changes: dict[str, str], pixels: bytes, reason: str, capfd: Any
) -> None:
    """ITK reads on after some of them, with what lay in memory, and prints the reason on standard error."""
    source = tmp_path / name
    if name == "a.mha":
        meta_image(source, pixels, **changes)
    else:
        header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\n"
        source.write_bytes(f"{header}encoding: {changes['encoding']}\n\n".encode() + pixels)
    with pytest.raises(InputError, match=rf"{name}: the pixels cannot be read: .*{reason}.*$"):
        read_picture(source)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(RuntimeError) as caught:
        enhance(source, tmp_path / "out")
    assert str(root_cause(caught.value)).count("\n") == 0


@pytest.mark.parametrize(("stated", "expected"), [("MET_MOD_MR", "MR"), ("MET_MOD_UNKNOWN", None), (None, None)])
def test_modality(tmp_path: Path, stated: str | None, expected: str | None) -> None:
    changes = {} if stated is None else {"Modality": stated}
    assert read_picture(meta_image(tmp_path / "a.mha", PIXELS.tobytes(), **changes)).modality == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_segmentation_of_3d_slicer(tmp_path: Path, suffix: str) -> None:
    """Refused as an image, read as a mask."""
    labels = volume(noise(4, 5, 6) % 3)
    labels.SetMetaData("Segment0_ID", "Segment_1")
    source = written(tmp_path / f"a.seg{suffix}", labels)
    for action in (read_picture, lambda path: find_images(str(path), str(tmp_path / "out"))):
        with pytest.raises(NoIntensities, match=rf"a\.seg\{suffix}: a segmentation, expected an image of intensities$"):
            action(source)
    np.testing.assert_array_equal(read_picture(source, labels=True).pixels[0].T, read(source)[1])


def test_a_step_backwards_is_a_step_along_the_opposite_axis(tmp_path: Path, enhance: Enhance) -> None:
    source = meta_image(tmp_path / "a.mha", PIXELS.tobytes(), ElementSpacing="1 -1 2")
    (output,) = enhance(source, tmp_path / "out")
    np.testing.assert_array_equal(read_picture(output).affine, read_picture(source).affine)
    assert np.linalg.det(np.array(read_picture(source).affine)[:3, :3]) < 0
