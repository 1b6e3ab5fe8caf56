"""Fixtures: a phantom COVID-CT that is written once per test run, and a tiny real-layout one that tests may damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.data.phantoms import covid_ct as phantom
from tests.once import made_once

#: Names as the real set has them: patients 1 to 3 share a source, two of the others have a source that is no preprint.
COVID = {
    "train": ["2020.02.11.20021493-p16-109%0.png", "2020.02.11.20021493-p16-109%1.png", "bmj.m606.full-p4-22%0.png"],
    "val": ["2020.02.11.20021493-p16-109%2.png", "kjr-21-e24-p2-8.png"],
    "test": ["PIIS0140673620303603%8.png", "PIIS0140673620301549_1.png", "2020.03.21.20040691-p18-6-6.png"],
}
NONCOVID = {
    "train": ["91%0.jpg", "91%1.jpg", "43.png"],
    "val": ["43%1.jpg", "0.jpg"],
    "test": ["2341.png", "10%2.jpg", "10%13.jpg"],
}
PATIENTS = {
    "2020.02.11.20021493-p16-109%0.png": "Patient 1",
    "2020.02.11.20021493-p16-109%1.png": "Patient 2",
    "2020.02.11.20021493-p16-109%2.png": "Patient 3",
    "bmj.m606.full-p4-22%0": "Patient 182 ",
    "kjr-21-e24-p2-8": "Patient 193",
    "PIIS0140673620303603%8": "Patient 214",
    "PIIS0140673620301549_1": "Patient 203",
    "2020.03.21.20040691-p18-6-6.png": "Patient 150",
}
"""Table rows: later names come without their extension, one patient with a space."""


@pytest.fixture(scope="session")
def phantom_covid_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "phantom_covid_ct", phantom.write)


@pytest.fixture
def make_covid_ct(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny COVID-CT with real names; ``master``, ``processed``, ``nested``: which folders there are."""

    def make(
        master: bool = False, processed: bool = True, nested: bool = False, newline: str = "\n", last: bool = True
    ) -> Path:
        root = tmp_path / "covid_ct"
        base = root / "COVID-CT-master" if master else root
        for name, lists in (("COVID", COVID), ("NonCOVID", NONCOVID)):
            images = (base / "Images-processed" if processed else base) / f"CT_{name}"
            images = images / f"CT_{name}" if nested else images
            images.mkdir(parents=True)
            (base / "Data-split" / name).mkdir(parents=True)
            for section, files in lists.items():
                text = newline.join(files) + newline * last
                (base / "Data-split" / name / f"{section}CT_{name}.txt").write_bytes(text.encode())
                for file in files:
                    Image.fromarray(np.full((10, 12), 128, np.uint8)).save(images / file)
            for note in (".DS_Store", "._43.png", "Thumbs.db"):
                (images / note).write_text("no image")
        rows = [("Age", "File name", "Patient ID"), *(("", file, patient) for file, patient in PATIENTS.items())]
        phantom.write_workbook(base / "COVID-CT-MetaInfo.xlsx", [*rows, ("", "", "")])
        return root

    return make
