"""MONAI Label's real server over packages of two bundles, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import torch
from monai.bundle import ConfigParser

from shared import bundle_root
from shared.bundle import provenance
from shared.bundle.archive import to_zip
from shared.images import IntensityScaling
from shared.packaging.build import Options, build, contents
from tests.label.serving import ROOT, Server, free_port, python_of_monai_label
from tests.label.sources import write_sources

SECONDS_TO_START = 120


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The bundle that has weights, and one that enlarges by 4, with weights drawn for the test."""
    folder = tmp_path_factory.mktemp("packages")
    trained = build("gradprom_mni152", folder).path
    bundle = folder / "gradprom_lizard"
    shutil.copytree(bundle_root("gradprom_lizard"), bundle, ignore=shutil.ignore_patterns("models", "eval"))
    parser = ConfigParser(ConfigParser.load_config_file(str(bundle / "configs" / "inference.json")))
    parser["ckpt_path"] = str(bundle / "models" / "model.pt")
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    assert network.upscale_factor == 4
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    origin = provenance.describe(
        "noise, for a test", False, 0, "cpu", scale=4, intensity_scaling=IntensityScaling("minmax").to_dict()
    )
    provenance.write_json(origin, bundle / "models" / provenance.FILE_NAME)
    enlarging = folder / "gradprom_lizard.zip"
    enlarging.write_bytes(to_zip(*contents(bundle, Options())))
    return [trained, enlarging]


@pytest.fixture(scope="module")
def server(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, as a person starts it; stopped whatever happens, and then nothing of it is left."""
    label_python = python_of_monai_label()
    assert label_python is not None
    folder = tmp_path_factory.mktemp("label")
    studies = write_sources(folder / "studies")
    _enhance_by_bundles(label_python, packages, studies, folder)
    temporary, log = folder / "temporary", folder / "server.log"
    temporary.mkdir()
    port = free_port()
    command = ["bash", str(ROOT / "scripts" / "label_server.sh"), "--studies", str(studies), "--port", str(port)]
    environment = {**os.environ, "LABEL_PYTHON": label_python, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *map(str, packages)], env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process, log)
        yield Server(url, studies, folder / "own", label_python, temporary)
    finally:
        process.terminate()
        process.wait(30)
    assert list(temporary.glob("label-server-*")) == []
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/info/", timeout=5)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(f"{url}/info/", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.3)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


def _enhance_by_bundles(python: str, packages: list[Path], studies: Path, folder: Path) -> None:
    """Run the packages' own inference in MONAI Label's environment: other versions round otherwise."""
    code = """
import sys
from monai.bundle import run
studies, own, *packages = sys.argv[1:]
for package in packages:
    output_dir = own + "/" + package.split("/")[-1]
    run(config_file=package + "/configs/inference.json", input=studies, output_dir=output_dir)
"""
    unpacked = []
    for package in packages:
        shutil.unpack_archive(package, folder / "unpacked")
        unpacked.append(str(folder / "unpacked" / package.name.split(".zip")[0].split("_v")[0]))
    result = subprocess.run(
        [python, "-c", code, str(studies), str(folder / "own"), *unpacked],
        capture_output=True,
        text=True,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "OMP_NUM_THREADS": "1"},
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr[-3000:]
