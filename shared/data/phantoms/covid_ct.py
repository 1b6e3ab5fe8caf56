"""Phantom COVID-CT: images, lists and table in the layout of the repository with its archives unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.data.phantoms.lung import Patient, draw, random_patient

#: Patients per class in the official lists; each has one, two or three slices.
PATIENTS = {"train": 36, "val": 9, "test": 17}

_FINDINGS = {"COVID": "opacities", "NonCOVID": "lines"}
_MODES = ("RGBA", "RGB", "L")
_NOTE = "Synthetic images drawn by a program, made to try the software. They show no patient and are no result.\n"
_WORKBOOK = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        '<Override PartName="/xl/sharedStrings.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>'
    ),
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
        '<sheet name="positive_captions" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
        'Target="worksheets/sheet1.xml"/><Relationship Id="rId2" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" '
        'Target="sharedStrings.xml"/></Relationships>'
    ),
}


def write(folder: Path) -> None:
    """Write the set into ``folder``: the same files whenever it is called.

    Images are 96 to 160 pixels a side, grey, RGB or RGBA, PNG or JPEG, and one in ten files called ``.png`` is JPEG.
    Names hold ``%``; the lists of NonCOVID end their lines with CRLF, and all lists but one lack the last line end.
    """
    (folder / "README.md").write_text(_NOTE, encoding="utf-8")
    table: list[Sequence[str]] = [("File name", "Patient ID", "Age")]
    for name, finding in _FINDINGS.items():
        rng = np.random.default_rng([2020, len(name)])
        lists = folder / "Data-split" / name
        images = folder / "Images-processed" / f"CT_{name}"
        lists.mkdir(parents=True)
        images.mkdir(parents=True)
        number = 0
        for section, count in PATIENTS.items():
            files: list[str] = []
            for _ in range(count):
                number += 1
                files += _write_patient(random_patient(rng, finding), rng, number, name, images, table)
            end = "\n" if (name, section) == ("COVID", "val") else ""
            text = ("\r\n" if name == "NonCOVID" else "\n").join(files) + end
            (lists / f"{section}CT_{name}.txt").write_bytes(text.encode())
    write_workbook(folder / "COVID-CT-MetaInfo.xlsx", [*table, ("", "", "")])


def _write_patient(
    patient: Patient, rng: np.random.Generator, number: int, name: str, images: Path, table: list[Sequence[str]]
) -> list[str]:
    """Write the slices of a patient, add those with COVID to the table, and return the names of the files."""
    files = []
    slices = 1 + number % 3
    for k in range(slices):
        panel = f"%{k}" if slices > 1 else ""
        if name == "COVID":
            # Two patients a source; no preprint has such a number.
            file = f"2020.00.00.{10000000 + (number + 1) // 2}-p{3 + number % 7}-{50 + number}{panel}.png"
            stem = file if number < 40 else file.removesuffix(".png")
            table.append((stem, f"Patient {number}" + " " * (number % 20 == 0), str(20 + 7 * number % 60)))
        else:
            # 31.png and 31%0.jpg show different patients, as in the real set.
            file = f"{number - 2}.png" if slices == 1 and number % 2 else f"{number}{panel}.jpg"
        files.append(file)
        height = 8 * int(rng.integers(12, 17))
        _write_image(draw(patient, rng, height, round(height * 1.25)), images / file, number, k)
    return files


def _write_image(pixels: NDArray[np.float64], path: Path, number: int, k: int) -> None:
    image = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    is_jpeg = path.suffix == ".jpg" or (number + k) % 10 == 5
    mode = _MODES[(number // 6 + k) % len(_MODES)]
    image = image.convert("RGB" if mode == "RGBA" and is_jpeg else mode)
    image.save(path, **({"format": "JPEG", "quality": 95} if is_jpeg else {"format": "PNG"}))


def write_workbook(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write text cells as the one sheet of an .xlsx workbook, shared strings and all; empty cells are left out."""
    strings: dict[str, int] = {}
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = [
            f'<c r="{chr(ord("A") + place)}{number}" t="s"><v>{strings.setdefault(text, len(strings))}</v></c>'
            for place, text in enumerate(row)
            if text
        ]
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    namespace = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    items = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in strings)
    parts = {
        **_WORKBOOK,
        "xl/worksheets/sheet1.xml": f"<worksheet {namespace}><sheetData>{''.join(lines)}</sheetData></worksheet>",
        "xl/sharedStrings.xml": f"<sst {namespace}>{items}</sst>",
    }
    with zipfile.ZipFile(path, "w") as workbook:
        for name, text in parts.items():
            # A ZipInfo without a date is of 1980: the same bytes whenever the file is written.
            workbook.writestr(zipfile.ZipInfo(name), f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode())
