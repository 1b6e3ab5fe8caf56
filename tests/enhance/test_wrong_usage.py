"""What cannot work is one clear error, before a file is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from shared import bundle_root
from shared.enhance import __main__ as command

Enhance = Callable[..., int]


def test_weights_of_another_network(tmp_path: Path, enhance: Enhance, pngs: Path, capfd: Any) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    assert enhance(pngs, "--ckpt", tmp_path / "other.pt") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "weights of another network" in line
    assert not (tmp_path / "clean").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--input": "{tmp}/missing"}, "--input: {tmp}/missing does not exist"),
        ({"--input": "{tmp}/empty"}, "no image found in the folder {tmp}/empty"),
        ({"--output": "{tmp}/file"}, "--output: {tmp}/file is a file, expected a folder"),
        ({"--output": "{tmp}/file/x"}, "cannot be made"),
        ({"--output": "{tmp}/pngs"}, "is the input folder, expected another one"),
        ({"--bundle": "gradprom_mni"}, "did you mean 'gradprom_mni152'"),
        ({"--bundle": "{tmp}/empty"}, "found no {tmp}/empty/configs/inference.json"),
        ({"--bundle": "{tmp}/file"}, "expected a package"),
        ({"--bundle": "{tmp}/no.zip"}, "no such file"),
        ({"--ckpt": "{tmp}/none.pt"}, "--ckpt: {tmp}/none.pt: no such file"),
        ({"--ckpt": "{tmp}/file"}, "no readable PyTorch state"),
        ({"--device": "gpu"}, "--device: found 'gpu', expected cpu, cuda or cuda:N"),
        ({"--device": "cuda:99"}, "--device: found 'cuda:99'"),
        ({"--report": "{tmp}/other.csv"}, "{tmp}/other.csv: is no report"),
        ({"--report": "{tmp}/empty"}, "expected a file"),
    ],
    ids=lambda value: "".join(f"{key}={text}" for key, text in value.items()) if isinstance(value, dict) else "",
)
def test_wrong_usage(
    pngs: Path, tmp_path: Path, capfd: Any, options: dict[str, str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    before = sorted(tmp_path.rglob("*"))
    values = {"--bundle": "gradprom_mni152", "--input": str(pngs), "--output": str(tmp_path / "clean")}
    values |= {key: value.format(tmp=tmp_path) for key, value in options.items()}
    assert command.main([word for pair in values.items() for word in pair]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert message.format(tmp=tmp_path) in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [[], ["--bundle", "x", "--input", "y"], ["--format", "gif"], ["--num-workers", "-1"], ["--inputs"]]
)
def test_argparse_tells(words: list[str], capfd: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(words)
    assert caught.value.code == 2
    assert "usage: python -m shared.enhance" in capfd.readouterr().err


def test_missing_weights_say_how_to_make_them(pngs: Path, enhance: Enhance, tmp_path: Path, capfd: Any) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    original = Path(bundle_root("gradprom_mni152")) / "configs"
    for name in ("metadata.json", "logging.conf"):
        (bundle / "configs" / name).write_bytes((original / name).read_bytes())
    text = (original / "inference.json").read_text()
    (bundle / "configs" / "inference.json").write_text(text.replace("models/model.pt", "models/none.pt"))
    assert enhance(pngs, bundle=str(bundle)) == 2
    err = capfd.readouterr().err
    assert "models/none.pt: no such file" in err
    assert "python -m monai.bundle run training" in err


def test_a_bundle_of_another_collection(pngs: Path, enhance: Enhance, tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    (tmp_path / "bundle" / "configs" / "inference.json").write_text('{"network_def": 1}')
    assert enhance(pngs, bundle=str(tmp_path / "bundle")) == 2
    assert "found no 'evaluator', expected a bundle of this collection" in capfd.readouterr().err
