"""MONAI Label's real server answers with enhanced images."""

from __future__ import annotations

import email
import gzip
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import requests
import SimpleITK
from PIL import Image

from tests.label.serving import VERSION, Server, python_of_monai_label

if python_of_monai_label() is None:
    pytest.skip(
        f"MONAI Label's live tests need monailabel {VERSION}, which bash scripts/label_server.sh installs when it is "
        "first used; to run them: LABEL_PYTHON=.venv-label/bin/python bash scripts/test.sh tests/label",
        allow_module_level=True,
    )

pytestmark = pytest.mark.slow

SCALES = {"gradprom_mni152": 1, "gradprom_lizard": 4}
MODELS = sorted(SCALES)
NAMES = ("grey.png", "rgb.png", "deep.png", "flat.nii", "volume.nii.gz", "scan.dcm")


def stem(name: str) -> str:
    """MONAI Label's id of an image: its name without the extension."""
    return name.split(".")[0]


def saved(response: requests.Response, folder: Path) -> Path:
    """The answer as a file, under the name that the server gives."""
    assert response.status_code == 200, response.text
    name = re.fullmatch(r'attachment; filename="(.+)"', response.headers["content-disposition"])
    assert name is not None
    path = folder / name[1]
    path.write_bytes(response.content)
    return path


def nifti(path: Path) -> Any:
    return nibabel.Nifti1Image.from_filename(path)


def assert_same_picture(found: Path, expected: Path) -> None:
    """Same kind of file, size, type, geometry and pixels."""
    if expected.suffix == ".dcm":
        first, second = pydicom.dcmread(found), pydicom.dcmread(expected)
        np.testing.assert_array_equal(first.pixel_array, second.pixel_array)
        for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "BitsStored",
                     "RescaleIntercept", "ImageType", "StudyInstanceUID", "PatientID", "Modality"):
            assert first[name].value == second[name].value, name
    elif expected.suffix in (".gz", ".nii"):
        images = [nifti(path) for path in (found, expected)]
        raw = [np.asanyarray(image.dataobj.get_unscaled()) for image in images]
        assert raw[0].dtype == raw[1].dtype
        np.testing.assert_array_equal(*raw)
        np.testing.assert_array_equal(*(image.affine for image in images))
        assert images[0].header == images[1].header
    else:
        with Image.open(found) as first, Image.open(expected) as second:
            assert (first.format, first.mode, first.size) == (second.format, second.mode, second.size)
            np.testing.assert_array_equal(np.array(first), np.array(second))


def test_models_are_listed(server: Server) -> None:
    models = requests.get(f"{server.url}/info/", timeout=30).json()["models"]
    assert sorted(models) == MODELS
    for model in models.values():
        assert model["dimension"] == 2
        assert model["config"]["model_filename"] == ["model.pt"]
        assert model["version"]


@pytest.mark.parametrize("way", ["file", "image"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", MODELS)
def test_answer_is_what_the_bundle_writes(server: Server, tmp_path: Path, model: str, name: str, way: str) -> None:
    if way == "file":
        response = server.infer(model, file=server.studies / name, output="image")
    else:
        response = server.infer(model, image=stem(name), output="image")
    path = saved(response, tmp_path)
    assert_same_picture(path, server.own / model / name)


@pytest.mark.parametrize("model", MODELS)
def test_size_type_and_place(server: Server, tmp_path: Path, model: str) -> None:
    """Against the sources, by other readers than the bundle's."""
    scale = SCALES[model]
    for name, mode in {"grey.png": "L", "rgb.png": "RGB", "deep.png": "I;16"}.items():
        with Image.open(saved(server.infer(model, image=stem(name), output="image"), tmp_path)) as image:
            assert (image.mode, image.size) == (mode, (31 * scale, 37 * scale))
            assert len(np.unique(np.array(image))) > 50, "an image, not a label map"
    for name in ("volume.nii.gz", "scan.dcm"):
        path = saved(server.infer(model, image=stem(name), output="image"), tmp_path)
        found, source = SimpleITK.ReadImage(str(path)), SimpleITK.ReadImage(str(server.studies / name))
        growth = np.array([scale, scale, 1])
        np.testing.assert_array_equal(found.GetSize(), source.GetSize() * growth)
        np.testing.assert_allclose(found.GetSpacing() * growth, source.GetSpacing(), rtol=1e-5)
        np.testing.assert_allclose(found.GetDirection(), source.GetDirection(), atol=1e-5)
        ends = [
            np.array([image.TransformContinuousIndexToPhysicalPoint([each * side - 0.5 for side in image.GetSize()])
                      for each in (0, 1)])
            for image in (found, source)
        ]
        np.testing.assert_allclose(*ends, atol=1e-3, err_msg="the answer fills the same box as its source")


def test_denoising_keeps_what_is_there(server: Server, tmp_path: Path) -> None:
    """The trained network changes an image, and gives the same image, upright, in the same range."""
    path = saved(server.infer("gradprom_mni152", image="volume", output="image"), tmp_path)
    found, source = (nifti(each).get_fdata() for each in (path, server.studies / "volume.nii.gz"))
    assert not np.array_equal(found, source)
    assert np.corrcoef(found.ravel(), source.ravel())[0, 1] > 0.9
    assert source.min() <= found.min() < found.max() <= source.max()
    assert np.corrcoef(found[::-1].ravel(), source.ravel())[0, 1] < 0.5


def test_image_and_parameters_together(server: Server, tmp_path: Path) -> None:
    """The answer without ``output``, which Slicer's client asks for."""
    response = server.infer("gradprom_lizard", file=server.studies / "rgb.png")
    head = f"Content-Type: {response.headers['content-type']}\n\n".encode()
    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in email.message_from_bytes(head + response.content).walk()
        if not part.is_multipart()
    }
    assert "latencies" in json.loads(parts["params"])
    path = tmp_path / "answer.png"
    path.write_bytes(parts["image"])
    assert_same_picture(path, server.own / "gradprom_lizard" / "rgb.png")


def test_parameters_alone(server: Server) -> None:
    response = server.infer("gradprom_mni152", image="grey", output="json")
    assert "latencies" in response.json()


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd"])
def test_volume_on_request(server: Server, tmp_path: Path, extension: str) -> None:
    params = json.dumps({"result_extension": extension, "result_dtype": "uint8", "result_compress": False})
    path = saved(server.infer("gradprom_mni152", image="volume", output="image", params=params), tmp_path)
    assert path.name.endswith(extension)
    assert (path.read_bytes()[:2] == gzip.compress(b"")[:2]) == (extension == ".nii.gz")
    found, own = (
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(each)))
        for each in (path, server.own / "gradprom_mni152" / "volume.nii.gz")
    )
    np.testing.assert_array_equal(found, own)


@pytest.mark.parametrize("way", ["directory", "session"])
def test_series(server: Server, tmp_path: Path, way: str) -> None:
    folder = server.studies / "series"
    query = {"image": str(folder)}
    if way == "session":
        files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        session = requests.put(f"{server.url}/session/", files=files, timeout=30).json()["session_id"]
        query = {"session_id": session}
    path = saved(server.infer("gradprom_lizard", output="image", **query), tmp_path)
    assert path.name.endswith(".nii.gz")
    assert nifti(path).shape == (18 * 4, 24 * 4, 3)
    np.testing.assert_allclose(nifti(path).header.get_zooms(), (0.7 / 4, 0.8 / 4, 3), rtol=1e-5)


def test_batch_writes_into_the_data_store(server: Server) -> None:
    request = {"images": ["grey", "volume"], "label_tag": "enhanced", "max_workers": 1, "multi_gpu": False}
    response = requests.post(f"{server.url}/batch/infer/gradprom_mni152?run_sync=true", json=request, timeout=60)
    assert response.status_code == 200, response.text
    for name in ("grey.png", "volume.nii.gz"):
        assert_same_picture(server.studies / "labels" / "enhanced" / name, server.own / "gradprom_mni152" / name)


def test_client_of_slicer(server: Server, tmp_path: Path) -> None:
    """The class that the MONAI Label extension of 3D Slicer brings along; the README tells how to use it there."""
    code = """
import sys
sys.path.insert(0, sys.prefix + "/monailabel/plugins/slicer/MONAILabel/MONAILabelLib")
from client import MONAILabelClient
url, source, folder = sys.argv[1:]
client = MONAILabelClient(url, folder)
print(client.infer("gradprom_mni152", "", {"result_extension": ".nii.gz"}, file=source)[0])
"""
    source = str(server.studies / "volume.nii.gz")
    command = [server.python, "-c", code, server.url, source, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert_same_picture(Path(result.stdout.strip()), server.own / "gradprom_mni152" / "volume.nii.gz")


def test_bad_requests(server: Server, tmp_path: Path) -> None:
    """Each gets an answer that says so, and the server lives on."""
    broken, text = tmp_path / "broken.png", tmp_path / "notes.txt"
    broken.write_bytes((server.studies / "grey.png").read_bytes()[:300])
    text.write_text("no image")
    for file, message in ((broken, "cannot be read as an image"), (text, "not an image of a known format")):
        response = server.infer("gradprom_mni152", file=file)
        assert response.status_code == 400
        assert message in response.json()["detail"]
    response = server.infer("gradprom_mni152", image="grey", params=json.dumps({"result_extension": ".jpg"}))
    assert response.status_code == 400
    assert "result_extension: found '.jpg'" in response.json()["detail"]
    assert server.infer("gradprom_isic", image="grey").status_code == 500
    response = server.infer("gradprom_mni152", image="nothing")
    assert response.status_code == 400
    assert "found no image of this id" in response.json()["detail"]
    assert server.infer("gradprom_mni152").status_code == 500
    assert server.infer("gradprom_mni152", image="grey", output="image").status_code == 200


def test_answers_do_not_pile_up(server: Server) -> None:
    def files() -> set[Path]:
        return {path for path in server.temporary.rglob("*") if path.is_file()}

    before = files()
    for name in ("grey.png", "volume.nii.gz"):
        server.infer("gradprom_mni152", file=server.studies / name, output="image")
        server.infer("gradprom_mni152", file=server.studies / name, params='{"result_extension": ".nrrd"}')
        server.infer("gradprom_mni152", file=server.studies / name, params='{"result_extension": ".jpg"}')
    # The server removes an answer after it was sent. A refused upload stays: until the server stops.
    end = time.monotonic() + 10
    while len(files() - before) > 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(files() - before) == 2
