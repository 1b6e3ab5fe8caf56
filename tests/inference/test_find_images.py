"""Which files are taken, where results go, and what stops a run before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from shared import InputError
from shared.images import read_picture, write_picture
from shared.images.picture import SourceRecord
from shared.inference import find_images, listing, require_input


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(48, dtype=np.uint8).reshape(8, 6)
    if path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), path)
    else:
        Image.fromarray(pixels).save(path)
    return path


def outputs(folder: Path, target: Path) -> list[str]:
    return [str(Path(item["output"]).relative_to(target)) for item in find_images(str(folder), str(target))]


def test_tree_is_mirrored_and_nothing_collides(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in (
        "a.png",
        "a.jpg",
        "a.jpeg",
        "a.tif",
        "b/a.png",
        "b/c/a.NII.gz",
        "b/a.nii",
        ".hidden.png",
        ".d/a.png",
    ):
        image(folder / name.replace("NII", "nii")).rename(folder / name)
    (folder / "notes.txt").write_text("no image")
    (folder / "a.csv").write_text("")
    expected = ["a.jpeg.png", "a.jpg.png", "a.png", "a.tif", "b/a.nii", "b/a.png", "b/c/a.NII.gz"]
    assert outputs(folder, tmp_path / "out") == expected


def test_results_of_an_earlier_run_are_no_sources(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    image(tmp_path / "out" / "a.png")
    assert outputs(tmp_path, tmp_path / "out") == ["a.png"]


def test_single_file(tmp_path: Path) -> None:
    assert outputs(image(tmp_path / "in" / "a.png"), tmp_path / "out") == ["a.png"]


@pytest.mark.parametrize("empty", [None, ""])
def test_missing_arguments(tmp_path: Path, empty: str | None) -> None:
    assert find_images(empty, str(tmp_path)) == []
    with pytest.raises(InputError, match="input: not set.*--input FILE_OR_FOLDER"):
        require_input(empty, str(tmp_path))
    with pytest.raises(InputError, match="output_dir: not set.*--output_dir FOLDER"):
        find_images(str(tmp_path), empty)


def test_nothing_to_enhance(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="input: .*absent.png does not exist"):
        find_images(str(tmp_path / "absent.png"), str(tmp_path / "out"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="input: no image found in the folder .*in, expected PNG, JPEG"):
        find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"notes\.txt: not an image of a known format, expected PNG"):
        find_images(str(tmp_path / "in" / "notes.txt"), str(tmp_path / "out"))


def test_sources_are_never_replaced(tmp_path: Path) -> None:
    source = image(tmp_path / "a.png")
    with pytest.raises(InputError, match="is the input folder"):
        find_images(str(tmp_path), f"{tmp_path}/x/..")
    with pytest.raises(InputError, match=r"the result of .*a\.png would replace the source .*a\.png"):
        find_images(str(source), str(tmp_path))
    image(tmp_path / "in" / "b" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in" / "b")
    with pytest.raises(InputError, match="would replace the source"):
        find_images(str(tmp_path / "in" / "b" / "a.png"), str(tmp_path / "link"))


def test_output_that_is_a_file(tmp_path: Path) -> None:
    source = image(tmp_path / "a.png")
    with pytest.raises(InputError, match="output_dir: .*a.png is a file, expected a folder"):
        find_images(str(source), str(source))


def test_two_sources_of_one_result(tmp_path: Path) -> None:
    image(tmp_path / "in" / "a.jpg")
    image(tmp_path / "in" / "a.jpg.png")
    with pytest.raises(InputError, match=r"a\.jpg and .*a\.jpg\.png would both be written to .*a\.jpg\.png"):
        find_images(str(tmp_path / "in"), str(tmp_path / "out"))


@pytest.mark.parametrize("name", ["b.png", "b.jpg", "b.bmp", "b.tif", "b.nii", "b.nii.gz"])
def test_damaged_header_stops_the_run_before_it_starts(tmp_path: Path, name: str) -> None:
    image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / name).write_bytes(b"nothing of the kind" * 30)
    with pytest.raises(InputError, match=f"{name}: cannot be read as an image"):
        find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["b.png", "b.jpg", "b.tif", "b.nii", "b.nii.gz"])
def test_truncated_file_is_named_and_earlier_results_stay(
    tmp_path: Path, enhance: Callable, name: str
) -> None:
    image(tmp_path / "in" / "a.png")
    damaged = tmp_path / "in" / name
    pixels = np.random.default_rng(0).integers(0, 255, (90, 80), dtype=np.uint8)
    if "nii" in name:
        nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), damaged)
    else:
        Image.fromarray(pixels).save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:-900])
    with pytest.raises(RuntimeError) as caught:
        enhance(tmp_path / "in", tmp_path / "out")
    cause = caught.value.__cause__
    assert isinstance(cause, InputError)
    assert f"{name}: cannot be read as an image" in str(cause)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [(1, np.inf, "1 of 20 values are infinite"), (5, -np.inf, "5 of 20"), (20, np.nan, "20 of 20 values are NaN")],
)
def test_values_that_are_not_finite(tmp_path: Path, part: int, value: float, message: str) -> None:
    pixels = np.zeros(20, np.float32)
    pixels[:part] = value
    nibabel.save(nibabel.Nifti1Image(pixels.reshape(4, 5), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=rf"a\.nii: {message}"):
        read_picture(str(tmp_path / "a.nii"))


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 3, 4, 5, 6), "f4", r"shape \(2, 3, 4, 5, 6\), expected a 2-D, 3-D or 4-D image"),
        ((4,), "f4", "expected a 2-D, 3-D or 4-D image"),
        ((4, 5), "c8", "type complex64, expected integer, real or RGB24"),
    ],
)
def test_nifti_that_is_no_image(tmp_path: Path, shape: tuple[int, ...], dtype: str, message: str) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, dtype), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=message):
        find_images(str(tmp_path / "a.nii"), str(tmp_path / "out"))


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    source = image(tmp_path / "in" / "a.png")
    target = image(tmp_path / "out" / "a.png")
    before = target.read_bytes()
    record = SourceRecord(str(source), "uint8", (8, 6), None, None, 0, 255, 0, 255)
    with pytest.raises(Exception, match="cannot|Cannot"):
        write_picture(str(target), np.zeros((1, 8, 6), np.complex64), record)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"a\.png: cannot be written"):
        write_picture(str(tmp_path / "file" / "a.png"), np.zeros((1, 8, 6), np.uint8), record)


def label_map(path: Path) -> Path:
    nifti = nibabel.Nifti1Image(np.eye(8, dtype=np.uint8), np.eye(4))
    nifti.header["intent_code"] = 1002
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nifti, path)
    return path


def test_label_maps_are_left_out_of_folders_and_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    alone = label_map(folder / "labels.nii")
    label_map(folder / "sub" / "labels.nii.gz")
    with pytest.raises(InputError, match=r"no image found in the folder .*in, expected PNG.*; left out: 2 label maps"):
        find_images(str(folder), str(tmp_path / "out"))
    image(folder / "a.png")
    refused: list[str] = []
    for refuse in (None, lambda path, error: refused.append(path)):
        items = find_images(str(folder), str(tmp_path / "out"), refuse=refuse)
        assert [Path(item["image"]).name for item in items] == ["a.png"]
        assert str(items.left_out) == "left out: 2 label maps"
    assert refused == []
    with pytest.raises(InputError, match=r"labels\.nii: a label map"):
        find_images(str(alone), str(tmp_path / "out"))
    find_images(str(alone), str(tmp_path / "out"), refuse=lambda path, error: refused.append(path))
    assert refused == [str(alone)]


@pytest.mark.parametrize("name", ["../a", "/a", "b/c", "..", "", ".", "../../out/a", "\0"])
def test_no_name_leaves_the_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whatever a file says about itself, here about its series; the rest of the folder goes on."""
    image(tmp_path / "in" / "a.png")
    image(tmp_path / "in" / "b.png")
    monkeypatch.setattr(
        listing, "output_name", lambda source, output_format: name if str(source).endswith("b.png") else "a.png"
    )
    with pytest.raises(InputError, match=r"b\.png: its result .* would lie outside the output folder"):
        find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    refused: list[str] = []
    items = find_images(
        str(tmp_path / "in"), str(tmp_path / "out"), refuse=lambda path, error: refused.append(Path(path).name)
    )
    assert [item["output"] for item in items] == [str(tmp_path / "out" / "a.png")]
    assert refused == ["b.png"]


def test_links_in_the_output_folder_do_not_lead_out_of_it(tmp_path: Path) -> None:
    image(tmp_path / "in" / "sub" / "a.png")
    (tmp_path / "out" / "within").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"a\.png: its result .*sub/a\.png would lie outside the output folder .*out"):
        find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    (tmp_path / "out" / "sub").unlink()
    (tmp_path / "out" / "sub").symlink_to("within")
    assert outputs(tmp_path / "in", tmp_path / "out") == ["sub/a.png"]
    # A folder that is itself a link, and one that is named in a roundabout way.
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert outputs(tmp_path / "in", tmp_path / "link") == ["sub/a.png"]
    assert len(find_images(str(tmp_path / "in"), f"{tmp_path}/in/../elsewhere")) == 1


@pytest.mark.parametrize(
    "name", ["10:30.png", "C:x.png", "a\\b.png", "-x.png", "=1.png", "a\nb.png", "a...png", "ü .png"]
)
def test_odd_names_of_files_are_kept(tmp_path: Path, name: str) -> None:
    image(tmp_path / "in" / "plain.png").rename(tmp_path / "in" / name)
    assert outputs(tmp_path / "in", tmp_path / "out") == [name]


def test_links_to_one_image_are_images_of_their_own(tmp_path: Path) -> None:
    image(tmp_path / "far.png")
    image(tmp_path / "in" / "a.png")
    for name, target in {"b.png": "a.png", "c.png": str(tmp_path / "far.png")}.items():
        (tmp_path / "in" / name).symlink_to(target)
    assert outputs(tmp_path / "in", tmp_path / "out") == ["a.png", "b.png", "c.png"]


def test_pixels_beside_their_header_are_not_left_out(tmp_path: Path) -> None:
    volume = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.uint8))
    (tmp_path / "in").mkdir()
    SimpleITK.WriteImage(volume, tmp_path / "in" / "v.mhd")
    items = find_images(str(tmp_path / "in"), str(tmp_path / "out"))
    assert [Path(item["image"]).name for item in items] == ["v.mhd"]
    assert not items.left_out
