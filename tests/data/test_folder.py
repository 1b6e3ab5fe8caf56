"""A person's own folder: what is found in it, how it is read, and one clear error for each thing that is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from shared.bundle.settings import SETTINGS
from shared.data import slices
from shared.data.folder import datalist, survey
from shared.data.slices import LoadSliced
from shared.errors import InputError
from shared.images import IntensityScaling
from shared.inference import LoadSourced
from tests.data.own_folders import RNG, write_grey, write_mask, write_table, write_volume

SECTIONS = ("training", "validation", "test")


def test_finds_masks_classes_and_groups(clean: Path) -> None:
    contents = survey(clean)
    assert [r.id for r in contents.references] == [f"scan{n}" for n in range(10)]
    assert contents.class_names == ("benign", "malign")
    assert contents.mask_values == (0, 255)
    assert contents.channels == 1
    items = {section: datalist(clean, section) for section in SECTIONS}
    assert sum(len(found) for found in items.values()) == 10
    groups = [{item["group"] for item in found} for found in items.values()]
    assert all(groups)
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    for item in (item for found in items.values() for item in found):
        number = int(item["id"][-1])
        assert item["class"] == number % 2
        assert item["group"] == f"patient{number // 2}"
        assert Path(item["mask"]).name == f"scan{number}.png"
        assert item["slice"] == 0
    assert items["training"] == datalist(clean, "training")


def test_masks_and_table_given_by_name_and_images_folder_itself(clean: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    expected = survey(clean)
    assert survey(clean / "images") == expected
    shutil.move(clean / "masks", moved / "m")
    shutil.move(clean / "classes.csv", moved / "c.csv")
    assert survey(clean / "images").mask_values == survey(clean / "images").class_names == ()
    found = survey(clean / "images", masks=moved / "m", classes=moved / "c.csv")
    assert found.mask_values == expected.mask_values
    assert [r.group for r in found.references] == [r.group for r in expected.references]


def test_sub_folders_are_groups(tmp_path: Path) -> None:
    for patient in range(4):
        for place in ("a", "deep/b"):
            write_grey(tmp_path / f"p{patient}" / f"{place}.png")
    write_grey(tmp_path / "alone.png")
    groups = {r.id: r.group for r in survey(tmp_path).references}
    assert groups == {"alone": "alone"} | {f"p{n}/{p}": f"p{n}" for n in range(4) for p in ("a", "deep/b")}


@pytest.mark.parametrize("name", ["p1/a", "p1/a.png", "b1", "b1.png"])
def test_a_table_may_name_an_image_in_four_ways(tmp_path: Path, name: str) -> None:
    stems = [f"p{n}/{'a' if '/' in name else f'b{n}'}" for n in range(4)]
    for stem in stems:
        write_grey(tmp_path / f"{stem}.png")
    rows = [(name.replace("1", str(n)), str(10 - n)) for n in range(4)]
    write_table(tmp_path / "classes.csv", ("image", "class"), *rows)
    contents = survey(tmp_path)
    assert contents.class_names == ("7", "8", "9", "10")  # by number, not by letter
    assert [r.label for r in contents.references] == [3, 2, 1, 0]


def test_colour_is_told_by_content(tmp_path: Path) -> None:
    for number in range(3):
        grey = RNG.integers(0, 255, (20, 20, 1)).astype(np.uint8).repeat(3, -1)
        Image.fromarray(grey).save(tmp_path / f"{number}.png")
    assert survey(tmp_path).channels == 1
    grey[3, 4] = (9, 8, 7)
    Image.fromarray(grey).save(tmp_path / "0.png")
    assert survey(tmp_path).channels == 3


def test_slices_of_volumes_with_content_share_a_group(tmp_path: Path) -> None:
    for number in range(3):
        write_volume(tmp_path / f"v{number}.nii.gz")
    items = [item for section in SECTIONS for item in datalist(tmp_path, section)]
    assert sorted(item["id"] for item in items) == [f"v{n}:{z:03d}" for n in range(3) for z in range(1, 5)]
    assert {item["group"] for item in items} == {"v0", "v1", "v2"}
    assert [item["slice"] for item in datalist(tmp_path, "test", limit=2)] == [1, 3]
    for number in range(3):
        write_volume(tmp_path / f"v{number}.nii.gz", (20, 22, 18))
    assert len(datalist(tmp_path, "test", plane="sagittal")) == 20


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_training_reads_and_scales_as_inference_does(tmp_path: Path, flip: float) -> None:
    path = tmp_path / "v.nii"
    write_volume(path, affine=np.diag([flip, 1.0, flip, 1.0]))
    rule = IntensityScaling("percentile", 1, 99)
    whole = LoadSourced("image", rule)({"image": str(path)})["image"].as_tensor()
    for place in (1, 4):
        item = LoadSliced("label", scaling=rule)({"label": str(path), "slice": place})
        torch.testing.assert_close(item["label"], whole[..., place].clamp(0, 1), rtol=0, atol=0)
    assert whole.max() > 1  # the clipping was tested too
    write_grey(tmp_path / "p.png", kind=np.uint16)
    expected = np.asarray(Image.open(tmp_path / "p.png")).astype(np.float64) / 65535
    item = LoadSliced("label", channels=3)({"label": str(tmp_path / "p.png"), "slice": 0})
    np.testing.assert_allclose(item["label"], expected[None].repeat(3, 0), atol=1e-7)


def test_a_volume_is_read_once_for_its_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_volume(tmp_path / f"v{number}.nii.gz")
    reads = []
    monkeypatch.setattr(slices, "read_picture", lambda path, read=slices.read_picture: reads.append(path) or read(path))
    items = [item for section in SECTIONS for item in datalist(tmp_path, section)]
    assert len(reads) == 3  # three sections, one survey each
    load = LoadSliced("label")
    for item in items:
        load(item)
    assert len(reads) <= 6
    write_volume(tmp_path / "v0.nii.gz", (20, 22, 9))
    assert sum(item["group"] == "v0" for section in SECTIONS for item in datalist(tmp_path, section)) == 7


@pytest.mark.parametrize(("values", "classes"), [((0, 255), 2), ((0, 1, 2, 4), 4), ((0, 128, 255), 3)])
def test_mask_values_become_class_indices(clean: Path, values: tuple[int, ...], classes: int) -> None:
    for number in range(10):
        write_mask(clean / "masks" / f"scan{number}.png", values)
    contents = survey(clean)
    assert contents.mask_values == values
    load = LoadSliced("label", mask_values=contents.mask_values)
    mask = load(datalist(clean, "test")[0])["mask"]
    assert mask.shape == (1, 20, 24)
    expected = np.resize(np.arange(classes), 480).reshape(1, 20, 24)
    np.testing.assert_array_equal(mask, expected.astype(np.float32))


def test_palette_masks_and_masks_of_volumes(tmp_path: Path) -> None:
    labels = RNG.integers(0, 3, (20, 24)).astype(np.uint8)
    image = Image.fromarray(labels, "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "palette.png")
    image.putpalette([255, 255, 255, 0, 0, 0, 128, 128, 128])
    for name in ("grey.png", "grey.tif", "grey.bmp"):
        image.save(tmp_path / name)
    # By its colours a grey palette would be a mask of other values, in another order.
    for name in ("palette.png", "grey.png", "grey.tif", "grey.bmp"):
        np.testing.assert_array_equal(slices.mask_content(str(tmp_path / name)).values, (0, 1, 2))
    labels = RNG.integers(0, 3, (20, 22, 6))
    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
    for name, values in (("images/v.nii.gz", labels * 100 + 7), ("masks/v.nii", labels.astype(float))):
        (tmp_path / name).parent.mkdir()
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16 if "im" in name else np.float32), flipped),
                     tmp_path / name)
    item = {"label": str(tmp_path / "images/v.nii.gz"), "mask": str(tmp_path / "masks/v.nii"), "slice": 2}
    loaded = LoadSliced("label", scaling=IntensityScaling("minmax"), mask_values=(0, 1, 2))(item)
    np.testing.assert_allclose(loaded["label"] * 2, loaded["mask"], atol=1e-6)
    np.testing.assert_array_equal(loaded["mask"][0], labels[::-1, :, 2])
    with pytest.raises(InputError, match=r"v\.nii: found the mask value 2, expected one of 0, 1"):
        LoadSliced("label", mask_values=(0, 1))(item)


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def remove(root: Path, name: str) -> None:
    for file in [*root.rglob(name)]:
        file.unlink()


def only_masks(root: Path, values: tuple[int, ...]) -> None:
    for number in range(10):
        write_mask(root / "masks" / f"scan{number}.png", values)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def replace_by_file(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("")


FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing": (shutil.rmtree, ["dataset_dir: expected a folder", "found nothing at", "clean"]),
    "a file": (replace_by_file, ["dataset_dir: expected a folder", "found a file at", "clean"]),
    "no image": (lambda r: remove(r / "images", "*.png"), ["dataset_dir: no image found", "images", "NIfTI"]),
    "unreadable image": (lambda r: (r / "images/scan3.png").write_text("text"), ["scan3.png: cannot be read"]),
    "truncated image": (lambda r: truncate(r / "images/scan3.png"), ["images", "scan3.png: cannot be read"]),
    "unreadable mask": (lambda r: (r / "masks/scan3.png").write_text("text"), ["masks", "scan3.png: cannot be read"]),
    "tiny image": (lambda r: write_grey(r / "images/scan3.png", (8, 30)), ["scan3.png: found 30x8", "16x16"]),
    "two of a name": (lambda r: write_grey(r / "images/scan3.tif"), ["scan3.tif", "scan3.png", "same name"]),
    "no mask": (lambda r: remove(r / "masks", "scan3.png"), ["1 image(s) without mask", "masks", "scan3"]),
    "mask without image": (lambda r: write_mask(r / "masks/x.png"), ["1 mask(s) without image", "x.png"]),
    "no masks at all": (lambda r: remove(r / "masks", "*.png"), ["masks: no image found", "masks"]),
    "mask of another size": (
        lambda r: write_mask(r / "masks/scan3.png", size=(20, 20)),
        ["scan3.png: found a mask of 20x20 pixels", "has 24x20 pixels"],
    ),
    "colour mask": (
        lambda r: Image.fromarray(RNG.integers(0, 255, (20, 24, 3)).astype(np.uint8)).save(r / "masks/scan3.png"),
        ["scan3.png: found a mask in colour"],
    ),
    "spoilt masks": (lambda r: write_grey(r / "masks/scan3.png"), ["masks: more than 64", "scan3.png"]),
    "empty masks": (lambda r: only_masks(r, (0,)), ["masks: all masks hold the value 0 alone"]),
    "no image column": (lambda r: rewrite(r / "classes.csv", "image,", "file,"), ["no column image", "found: file"]),
    "semicolons": (
        lambda r: rewrite(r / "classes.csv", ",", ";"),
        ["classes.csv': its columns are separated by ';' (semicolon), expected ',' (comma)"],
    ),
    "no useful column": (
        lambda r: rewrite(r / "classes.csv", "class,group", "label,patient"),
        ["classes.csv' has neither a column class nor a column group"],
    ),
    "unknown image": (
        lambda r: rewrite(r / "classes.csv", "scan3", "scan33"),
        ["classes.csv' names 'scan33.png', found no such image in", "images"],
    ),
    "image without row": (
        lambda r: write_grey(r / "images/y.png") or write_mask(r / "masks/y.png"),
        ["1 image(s) without class", "classes.csv", "y"],
    ),
    "image without group": (
        lambda r: rewrite(r / "classes.csv", "malign,patient1", "malign,"),
        ["1 image(s) without group", "classes.csv", "scan3"],
    ),
    "two classes": (
        lambda r: rewrite(r / "classes.csv", "scan3.png,malign", "scan2.png,malign"),
        ["two rows for the image 'scan2' that differ"],
    ),
    "one class": (lambda r: rewrite(r / "classes.csv", "malign", "benign"), ["one class only ('benign')"]),
    "one group": (
        lambda r: [rewrite(r / "classes.csv", f"patient{n}", "p") for n in range(5)],
        ["10 image file(s) of 1 group(s) (p)", "at least 3 groups", "--classes"],
    ),
    "two images": (
        lambda r: [remove(r, f"scan{n}.png") for n in range(2, 10)] and (r / "classes.csv").unlink(),
        ["2 image file(s) of 2 group(s) (scan0, scan1)", "at least 3 groups"],
    ),
    "masks are the images": (
        lambda r: shutil.rmtree(r / "masks") or (r / "masks").symlink_to(r / "images"),
        ["masks: found", "the folder of the images"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_gives_one_line_that_names_the_place(clean: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    datalist(clean, "training")
    damage(clean)
    with pytest.raises(InputError) as caught:
        datalist(clean, "training")
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_ambiguous_name_in_the_table(tmp_path: Path) -> None:
    for number in range(3):
        write_grey(tmp_path / f"p{number}" / "scan.png")
    write_table(tmp_path / "classes.csv", ("image", "class"), ("scan", "a"))
    with pytest.raises(InputError, match=r"classes\.csv' names 'scan', found 3 images of that name"):
        survey(tmp_path)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"masks": "nowhere"}, "masks: expected a folder of images, found nothing at 'nowhere'"),
    ({"classes": "nowhere.csv"}, "classes: expected an existing file, found 'nowhere.csv'"),
    ({"plane": "oblique"}, "plane: expected one of sagittal, coronal, axial, found 'oblique'"),
])
def test_wrong_arguments(clean: Path, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        survey(clean, **arguments)


def test_empty_volumes(tmp_path: Path) -> None:
    for number in range(3):
        nibabel.save(nibabel.Nifti1Image(np.ones((20, 20, 3), np.int16), np.eye(4)), tmp_path / f"{number}.nii")
    with pytest.raises(InputError, match=r"0\.nii: found one intensity only, expected an image"):
        datalist(tmp_path, "test")


def test_phantom_is_a_folder_like_any_other(tmp_path: Path) -> None:
    from shared.data.phantoms import folder as phantom

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        phantom.write(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    contents = survey(tmp_path / "a")
    assert (contents.channels, len(contents.class_names), contents.mask_values) == (1, 3, (0, 255))
    assert len({r.group for r in contents.references}) == phantom.SUBJECTS < len(contents.references)


def test_planes_of_the_setting_are_those_of_the_reader() -> None:
    for plane in slices.PLANES:
        SETTINGS["plane"].check("plane", plane)
