from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.data import covid_ct
from shared.data.loading import read_image
from shared.data.phantoms.covid_ct import write_workbook
from shared.errors import InputError
from tests.data.covid_ct_folders import COVID, NONCOVID, PATIENTS

SECTIONS = {"training": "train", "validation": "val", "test": "test"}
TABLE = "COVID-CT-MetaInfo.xlsx"
LISTS = "Data-split/{0}/{1}CT_{0}.txt"
IMAGES = "Images-processed/CT_{}"


def everything(root: Path, split: str = "official", **arguments: Any) -> list[dict[str, Any]]:
    return [item for section in SECTIONS for item in covid_ct.datalist(root, section, split, **arguments)]


def groups(root: Path) -> dict[str, str]:
    return {item["id"]: item["group"] for item in everything(root)}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"master": True},
        {"processed": False},
        {"nested": True},
        {"newline": "\r\n", "last": False},
        {"newline": "\r\n"},
        {"last": False},
        {"master": True, "nested": True, "newline": "\r\n", "last": False},
    ],
    ids=str,
)
def test_official_lists_in_every_form_of_the_folder(make_covid_ct: Callable, form: dict) -> None:
    root = make_covid_ct(**form)
    for section, word in SECTIONS.items():
        items = covid_ct.datalist(root, section)
        expected = [f"COVID/{file}" for file in COVID[word]] + [f"NonCOVID/{file}" for file in NONCOVID[word]]
        assert [item["id"] for item in items] == sorted(expected)
        for item in items:
            assert set(item) == {"id", "group", "label", "class"}
            assert item["class"] == int(item["id"].startswith("COVID/"))
            assert Path(item["label"]).is_file()
            assert Path(item["label"]).name == item["id"].split("/")[1]


def test_percent_is_no_escape(make_covid_ct: Callable) -> None:
    """`10%13.jpg` decoded is another name, `%20` a space: files of these names must not be taken for each other."""
    root = make_covid_ct()
    folder = root / IMAGES.format("NonCOVID")
    (folder / "7%20.jpg").write_bytes((folder / "0.jpg").read_bytes())
    listing = root / LISTS.format("NonCOVID", "test")
    listing.write_text("7%20.jpg\n10%13.jpg")
    items = covid_ct.datalist(root, "test")
    assert [item["id"] for item in items if not item["class"]] == ["NonCOVID/10%13.jpg", "NonCOVID/7%20.jpg"]
    (folder / "7%20.jpg").rename(folder / "7 .jpg")
    with pytest.raises(InputError, match="testCT_NonCOVID.txt' names 1 image.*: 7%20.jpg$"):
        covid_ct.datalist(root, "test")


def test_patients_of_the_table_whose_names_lack_the_extension(make_covid_ct: Callable) -> None:
    found = groups(make_covid_ct())
    for file, patient in PATIENTS.items():
        name = file if file.endswith(".png") else f"{file}.png"
        assert found[f"COVID/{name}"] == f"COVID/{patient.strip()}"


def test_groups_of_noncovid_images_are_what_stands_before_the_percent_sign(make_covid_ct: Callable) -> None:
    found = groups(make_covid_ct())
    assert found["NonCOVID/91%0.jpg"] == found["NonCOVID/91%1.jpg"] == "NonCOVID/91.jpg"
    assert found["NonCOVID/10%2.jpg"] == found["NonCOVID/10%13.jpg"]
    assert found["NonCOVID/43.png"] != found["NonCOVID/43%1.jpg"]


def test_without_the_table_the_group_is_the_source(make_covid_ct: Callable) -> None:
    root = make_covid_ct()
    (root / TABLE).unlink()
    assert {name: group for name, group in groups(root).items() if name.startswith("COVID")} == {
        "COVID/2020.02.11.20021493-p16-109%0.png": "COVID/2020.02.11.20021493",
        "COVID/2020.02.11.20021493-p16-109%1.png": "COVID/2020.02.11.20021493",
        "COVID/2020.02.11.20021493-p16-109%2.png": "COVID/2020.02.11.20021493",
        "COVID/2020.03.21.20040691-p18-6-6.png": "COVID/2020.03.21.20040691",
        "COVID/bmj.m606.full-p4-22%0.png": "COVID/bmj.m606.full",
        "COVID/kjr-21-e24-p2-8.png": "COVID/kjr-21-e24",
        "COVID/PIIS0140673620303603%8.png": "COVID/PIIS0140673620303603",
        "COVID/PIIS0140673620301549_1.png": "COVID/PIIS0140673620301549",
    }


def test_a_source_with_an_image_outside_the_table_is_one_group(make_covid_ct: Callable) -> None:
    root = make_covid_ct()
    rows = [row for row in PATIENTS.items() if row[1] != "Patient 2"]
    write_workbook(root / TABLE, [("File name", "Patient ID"), *rows])
    found = groups(root)
    three = {found[f"COVID/2020.02.11.20021493-p16-109%{k}.png"] for k in range(3)}
    assert three == {"COVID/2020.02.11.20021493"}
    assert found["COVID/kjr-21-e24-p2-8.png"] == "COVID/Patient 193"


def test_images_of_all_modes_and_jpeg_under_a_png_name_are_read_alike(make_covid_ct: Callable) -> None:
    """Transparency says nothing about the picture, and the content decides over the name."""
    root = make_covid_ct()
    items = everything(root)
    grey = np.linspace(40, 200, 61 * 115).reshape(61, 115).astype(np.uint8)
    image = Image.fromarray(grey)
    see_through = image.convert("RGBA")
    see_through.putalpha(Image.fromarray(grey // 2))
    forms = [("L", image, "PNG"), ("RGB", image.convert("RGB"), "PNG"), ("RGBA", see_through, "PNG")]
    forms += [("LA", image.convert("LA"), "PNG"), ("P", image.convert("P"), "PNG"), ("JPEG", image, "JPEG")]
    names = [item for item in items if item["label"].endswith(".png")]
    for item, (mode, picture, kind) in zip(names, forms, strict=False):
        picture.save(item["label"], format=kind)
        pixels = read_image(item["label"], channels=1)
        assert pixels.shape == (1, 61, 115), mode
        np.testing.assert_allclose(pixels[0].numpy(), grey / 255, atol=0.02 if kind == "JPEG" else 1e-6, err_msg=mode)
    assert len(names) >= len(forms)


def test_real_counts_of_the_paper_split(tmp_path: Path) -> None:
    """746 images as in the real set: 600 and 146, with no patient on both sides, and both classes everywhere."""
    root = tmp_path / "covid_ct"
    rng = np.random.default_rng(0)
    for name, count in (("COVID", 349), ("NonCOVID", 397)):
        folder = root / IMAGES.format(name)
        folder.mkdir(parents=True)
        files: list[str] = []
        while len(files) < count:
            files += [f"s{len(files)}%{k}.png" for k in range(min(rng.integers(1, 17), count - len(files)))]
        for file in files:
            (folder / file).touch()
    parts = [covid_ct.datalist(root, section, "paper") for section in SECTIONS]
    assert len(parts[0]) + len(parts[1]) == 600
    assert len(parts[2]) == 146
    names = [{item["group"] for item in part} for part in parts]
    assert sum(map(len, names)) == len(set.union(*names))
    for part in parts:
        assert 0.3 < np.mean([item["class"] for item in part]) < 0.7
    assert parts == [covid_ct.datalist(root, section, "paper") for section in SECTIONS]
    assert parts[2] != covid_ct.datalist(root, "test", "paper", seed=1)
    assert abs(len(names[1]) - len(names[0] | names[1]) / 10) <= 1


def test_without_lists_the_split_is_by_patient_and_says_so(
    phantom_covid_ct: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(phantom_covid_ct, tmp_path / "covid_ct")
    expected = [[item["id"] for item in covid_ct.datalist(root, section, "paper")] for section in SECTIONS]
    assert expected[2] != [item["id"] for item in covid_ct.datalist(root, "test")]
    assert not caplog.records
    shutil.rmtree(root / "Data-split")
    with caplog.at_level(logging.WARNING):
        found = [[item["id"] for item in covid_ct.datalist(root, section)] for section in SECTIONS]
    assert found == expected
    assert "no folder 'Data-split'" in caplog.messages[0]


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}\n{line}")


def pack(root: Path) -> None:
    shutil.make_archive(str(root / IMAGES.format("COVID")), "zip", root / IMAGES.format("COVID"))
    shutil.rmtree(root / IMAGES.format("COVID"))


# What is done to a good folder, and what the message must say.
FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing": (shutil.rmtree, ["covid_ct' is not a folder", "github.com/UCSD-AI4H/COVID-CT"]),
    "empty": (empty, ["covid_ct' is empty", "github.com/UCSD-AI4H/COVID-CT"]),
    "no images folder": (
        lambda r: shutil.rmtree(r / IMAGES.format("NonCOVID")),
        ["no folder 'CT_NonCOVID'", "Images-processed", "github.com/UCSD-AI4H/COVID-CT"],
    ),
    "still packed": (pack, ["CT_COVID.zip' is still packed"]),
    "no image": (lambda r: empty(r / IMAGES.format("COVID")), [".png", "CT_COVID'", "github.com/UCSD-AI4H/COVID-CT"]),
    "no list": (
        lambda r: (r / LISTS.format("COVID", "val")).unlink(),
        ["no file 'valCT_COVID.txt'", "Data-split", "github.com/UCSD-AI4H/COVID-CT"],
    ),
    "empty list": (lambda r: (r / LISTS.format("COVID", "val")).write_text("\r\n"), ["valCT_COVID.txt' is empty"]),
    "binary list": (
        lambda r: (r / LISTS.format("COVID", "val")).write_bytes(b"\xff\xfe\x00"),
        ["valCT_COVID.txt' cannot be read as text"],
    ),
    "listed image missing": (
        lambda r: (r / IMAGES.format("NonCOVID") / "91%0.jpg").unlink(),
        ["trainCT_NonCOVID.txt' names 1 image(s) that are not in 'CT_NonCOVID': 91%0.jpg"],
    ),
    "other case": (
        lambda r: (r / IMAGES.format("NonCOVID") / "2341.png").rename(r / IMAGES.format("NonCOVID") / "2341.PNG"),
        ["testCT_NonCOVID.txt' names 1 image(s)", "2341.png"],
    ),
    "in two lists": (
        lambda r: append(r / LISTS.format("NonCOVID", "test"), "43.png"),
        ["testCT_NonCOVID.txt' names '43.png', which is in 'trainCT_NonCOVID.txt' too"],
    ),
    "no workbook": (lambda r: (r / TABLE).write_text("File name,Patient ID"), [TABLE, "cannot be read as an .xlsx"]),
    "no column": (
        lambda r: write_workbook(r / TABLE, [("File name", "Patient"), ("a.png", "1")]),
        [f"{TABLE}' has no column Patient ID; found: File name, Patient"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_gives_one_line_that_names_the_place(make_covid_ct: Callable, fault: str) -> None:
    damage, words = FAULTS[fault]
    root = make_covid_ct()
    covid_ct.datalist(root, "training")
    damage(root)
    with pytest.raises(InputError) as caught:
        covid_ct.datalist(root, "training")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unknown_section_and_split(make_covid_ct: Callable) -> None:
    root = make_covid_ct()
    with pytest.raises(InputError, match="section 'train' is unknown; the nearest is 'training'"):
        covid_ct.datalist(root, "train")
    with pytest.raises(InputError, match="split 'oficial' is unknown; the nearest is 'official'"):
        covid_ct.datalist(root, "training", "oficial")


def test_classes() -> None:
    assert covid_ct.CLASSES == ("NonCOVID", "COVID")
