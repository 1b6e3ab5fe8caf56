"""What the DICOM header says about the modality, against what the bundle's metadata say."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine
from torch import nn

from shared import bundle_names, bundle_root
from shared.images import Producer, read_producer
from shared.images.modality import ANY, modality_of, other_modality
from shared.inference import InferenceProgress, LoadSourced, RestoreSourced
from shared.inference.monai_label import AnswerMONAILabeld


@pytest.mark.parametrize(
    ("trained_on", "found"),
    [("MR", "MR"), ("MRI", "MR"), ("MR", None), ("MR", ""), ("MR", " mr "), ("MR", "OT"), ("any", "CT"),
     ("dermoscopy", "XC"), ("dermoscopy", "DMS"), ("histology", "SM"), ("US", "IVUS"), ("fundus", "OP"),
     ("something new", "CT")],
)
def test_nothing_to_say(trained_on: str, found: str | None) -> None:
    assert other_modality(trained_on, found) is None


@pytest.mark.parametrize(
    ("trained_on", "found"),
    [("MR", "CT"), ("CT", "MR"), ("CT", "PT"), ("US", "MR"), ("dermoscopy", "CT"), ("histology", "MG"), ("NM", "PT")],
)
def test_another_modality(trained_on: str, found: str) -> None:
    message = other_modality(trained_on, found)
    assert message is not None
    assert f"modality is {found}, but the network was trained on {trained_on}" in message


@pytest.mark.parametrize(
    "metadata", [{}, {"network_data_format": 3}, {"network_data_format": {"inputs": {"image": {}}}}]
)
def test_metadata_without_a_modality(metadata: dict[str, Any]) -> None:
    assert modality_of(metadata) == ANY


def test_every_bundle_knows_its_modality() -> None:
    for name in bundle_names():
        stated = json.loads((Path(bundle_root(name)) / "configs" / "metadata.json").read_text())
        producer = read_producer(bundle_root(name))
        assert producer.modality == stated["network_data_format"]["inputs"]["image"]["modality"]
        # The bundle for a folder of one's own is for all; all others warn of positron emission.
        assert (other_modality(producer.modality, "PT") is None) == (producer.modality == "any"), name
        assert read_producer(bundle_root(name), any_modality=True).modality == ANY


def said(modalities: list[str | None], trained_on: str) -> list[str]:
    """The warnings of a run over images of these modalities."""
    stream = io.StringIO()
    engine = Engine(lambda engine, batch: None)
    InferenceProgress("clean", stream=stream, producer=Producer(modality=trained_on)).attach(engine)
    batches = []
    for number, modality in enumerate(modalities):
        record = {"source": f"{number}.dcm", "dtype": "int16", "shape": [4, 4], "affine": None, "slice_axis": None}
        bounds = dict.fromkeys(("black", "white", "lowest", "highest"), 0)
        rest = {"modality": modality, "files": [], "parts": [], "notes": [], "others": []}
        item = {"output": f"clean/{number}.dcm", "image_record": json.dumps({**record, **bounds, **rest})}
        batches.append([item])
    engine.run(batches)
    return [line for line in stream.getvalue().splitlines() if line.startswith("warning: ")]


def test_said_once_per_run_and_modality() -> None:
    lines = said(["CT", "MR", "CT", None, "PT", "PT"], "MR")
    assert [line.split()[1] for line in lines] == ["0.dcm:", "4.dcm:"]
    assert "modality is CT" in lines[0]
    assert "--any_modality true silences this" in lines[0]
    assert said(["CT", "PT"], "any") == []


@pytest.mark.parametrize(("trained_on", "count"), [("MR", 1), ("CT", 0), ("any", 0)])
def test_monai_label_logs_it(
    tmp_path: Path, write_dicom: Callable[..., Path], caplog: pytest.LogCaptureFixture, trained_on: str, count: int
) -> None:
    source = write_dicom(tmp_path / "a.dcm", np.arange(64, dtype=np.uint16).reshape(8, 8), Modality="CT")
    request = {"image": str(source), "image_path": str(source), "model": "m"}
    data = LoadSourced("image")(request)
    data["pred"] = nn.Identity()(data["image"])
    with caplog.at_level(logging.WARNING):
        answer = AnswerMONAILabeld("pred", producer=Producer(modality=trained_on))(RestoreSourced("pred")(data))
    Path(answer["pred"]).unlink()
    assert sum("its modality is CT" in record.message for record in caplog.records) == count
