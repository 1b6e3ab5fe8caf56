"""What goes into a package, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, download_large_files

import shared
from shared import InputError, bundle_names
from shared.bundle.archive import read_zip, to_zip, unpack
from shared.packaging.build import REPOSITORY, Options, build, contents
from tests.packaging.conftest import TRAINED, UNTRAINED

SCRIPT = "scripts/package.py"


def files_of(name: str, **options) -> dict[str, bytes]:
    return contents(REPOSITORY / "bundles" / name, Options(**options))[1]


def origin(bundle: Path, **changes) -> None:
    path = bundle / "models" / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", bundle_names())
def test_package_holds_the_bundle_and_all_of_shared(name):
    manifest, files = contents(REPOSITORY / "bundles" / name, Options(weights=False))
    code = [p for p in sorted((REPOSITORY / "shared").rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    assert {p.relative_to(REPOSITORY).as_posix() for p in code} <= set(files)
    assert all(files[p] == (REPOSITORY / p).read_bytes() for p in files if p.startswith("shared/"))
    for path in ("LICENSE", "requirements.txt", "configs/train.json", "configs/logging.conf", "docs/README.md"):
        assert path in files
    assert not [p for p in files if p.startswith(("models/", "eval/", "tests/")) or "__pycache__" in p]
    assert (manifest.name, manifest.shared_version) == (name, shared.__version__)


@pytest.mark.parametrize("name", bundle_names())
def test_documents_speak_of_the_package(name):
    files = files_of(name, weights=False)
    texts = {path: files[path].decode() for path in files if path.startswith("docs/") and path.endswith(".md")}
    readme = texts["docs/README.md"]
    assert "pip install -r requirements.txt" in readme
    assert not re.search(r"repository root|pip install -e|scripts/|\]\(\.\./\.\.", readme)
    assert not re.search(r"committed|bare clone|keys [^.]* are those of", readme)
    for path, text in texts.items():
        assert f"bundles/{name}" not in text
        assert "scripts/" not in text or "commands in `scripts/` are those of the repository" in text
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert Path(os.path.normpath(Path(path).parent / link)).as_posix() in files
        for config in re.findall(r"[\w/]*configs/\w+\.json", text):
            assert config in files


@pytest.mark.parametrize("name", bundle_names())
def test_configurations_differ_from_the_repository_only_in_how_they_find_their_folder(name):
    files = files_of(name, weights=False)
    for path in [path for path in files if path.startswith("configs/") and path.endswith(".json")]:
        text, before = files[path].decode(), json.loads((REPOSITORY / "bundles" / name / path).read_text())
        after = json.loads(text)
        if "bundle_root" not in before:
            assert text == (REPOSITORY / "bundles" / name / path).read_text()
            continue
        assert after["package"].pop("root")["shared_version"] == shared.__version__
        assert all(len(word) <= 120 for word in after["package"].values() if isinstance(word, str))
        assert after.pop("bundle_root") == "@package#root"
        assert after["network_def"].pop("_requires_") == "@package#root"
        assert before["initialize"][0] == "@bundle_root"
        assert after.pop("initialize") == ["@package#root", *before.pop("initialize")]
        del after["package"], before["bundle_root"]
        assert after == before
        assert ConfigParser.load_config_file(REPOSITORY / "bundles" / name / path)


def test_requirements_are_those_of_the_repository():
    def wanted(text: str) -> list[str]:
        return [line for line in text.splitlines() if "==" in line]

    text = files_of(UNTRAINED, weights=False)["requirements.txt"].decode()
    assert wanted(text) == wanted((REPOSITORY / "requirements.txt").read_text())
    assert "pyproject" not in text


def test_manifest_names_every_file_of_the_zip_file(zips):
    assert zips[TRAINED].name == f"{TRAINED}_v{read_zip(zips[TRAINED])[0].version}.zip"
    with zipfile.ZipFile(zips[TRAINED]) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert {name.split("/")[0] for name in names} == {TRAINED}
    assert sorted(names) == sorted(f"{TRAINED}/{p}" for p in (*read_zip(zips[TRAINED])[0].files, "package.json"))


def test_same_bytes_again_and_from_another_clone(tmp_path, monkeypatch):
    first = build(UNTRAINED, tmp_path / "first", Options(weights=False))
    clone = tmp_path / "clone"
    for name in ("shared", "scripts"):
        shutil.copytree(REPOSITORY / name, clone / name, copy_function=shutil.copyfile)
    shutil.copytree(
        REPOSITORY / "bundles" / UNTRAINED, clone / "bundles" / UNTRAINED, copy_function=shutil.copyfile,
        ignore=shutil.ignore_patterns("models", "eval"),
    )
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copyfile(REPOSITORY / name, clone / name)
    (clone / "bundles" / UNTRAINED / "configs" / ".train.json.swp").write_text("left by an editor")
    (clone / "shared" / "configs" / "__pycache__").mkdir(exist_ok=True)
    command = [sys.executable, str(clone / SCRIPT), UNTRAINED, "--out", "made", "--without-weights"]
    environment = {**os.environ, "PYTHONPATH": str(clone), "TZ": "Asia/Tokyo"}
    output = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"SHA-256 {first.sha256}" in output
    assert (tmp_path / "made" / first.path.name).read_bytes() == first.path.read_bytes()
    assert build(UNTRAINED, tmp_path / "first", Options(weights=False)) == first
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name]


def test_zip_file_depends_on_content_alone():
    manifest, files = contents(REPOSITORY / "bundles" / UNTRAINED, Options(weights=False))
    assert to_zip(manifest, dict(reversed(files.items()))) == to_zip(manifest, files)
    assert to_zip(manifest, {**files, "LICENSE": b"other"}) != to_zip(manifest, files)


def test_weights_on_real_data_come_along(bundle):
    files = contents(bundle, Options())[1]
    assert {path for path in files if path.startswith("models/")} == {"models/model.pt", "models/provenance.json"}
    assert files["models/model.pt"] == (bundle / "models" / "model.pt").read_bytes()
    assert "models/model.pt" not in contents(bundle, Options(weights=False))[1]


def test_recognition_networks_come_along_when_asked_for(bundle):
    with pytest.raises(InputError, match=r"recognition\.pt: no such file"):
        contents(bundle, Options(recognition=True))
    (bundle / "models" / "recognition.pt").write_bytes(b"recognition")
    assert "models/recognition.pt" not in contents(bundle, Options())[1]
    assert contents(bundle, Options(recognition=True))[1]["models/recognition.pt"] == b"recognition"


def test_a_discriminator_and_checkpoints_stay_behind(bundle):
    for name in ("discriminator.pt", "checkpoint.pt", "earlier-1/model.pt"):
        (bundle / "models" / name).parent.mkdir(exist_ok=True)
        (bundle / "models" / name).write_bytes(b"what training needs")
    found = [path for path in contents(bundle, Options())[1] if path.startswith("models/")]
    assert found == ["models/model.pt", "models/provenance.json"]


def test_phantom_weights_are_refused(bundle):
    origin(bundle, phantom=True)
    with pytest.raises(InputError, match=r"model\.pt: found .* phantom data, expected weights trained on real data"):
        contents(bundle, Options())


def test_weights_of_unknown_origin_are_refused(bundle):
    origin(bundle, phantom=None)
    with pytest.raises(InputError, match="does not say whether it was phantom data"):
        contents(bundle, Options())
    (bundle / "models" / "provenance.json").unlink()
    with pytest.raises(InputError, match=r"model\.pt: found no provenance\.json beside it"):
        contents(bundle, Options())


def test_weights_of_another_network_are_refused(bundle):
    model = bundle / "models" / "model.pt"
    torch.save({"weight": torch.zeros(1)}, model)
    with pytest.raises(InputError, match=r"model\.pt: weights of another network"):
        contents(bundle, Options())
    model.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"model\.pt: found no readable PyTorch state"):
        contents(bundle, Options())


def test_file_with_a_url_is_left_out_and_named_for_download(bundle):
    url = "https://example.org/model.pt?version=1&x=a:b"
    manifest, files = contents(bundle, Options(urls={"models/model.pt": url}))
    assert "models/model.pt" not in {*files, *manifest.files}
    assert "models/provenance.json" in files
    assert "download_large_files" in files["docs/README.md"].decode()
    assert "download_large_files" not in contents(bundle, Options())[1]["docs/README.md"].decode()
    sha256 = contents(bundle, Options())[0].files["models/model.pt"]
    assert yaml.safe_load(files["large_files.yml"]) == {
        "large_files": [{"path": "models/model.pt", "url": url, "hash_val": sha256, "hash_type": "sha256"}]
    }
    with pytest.raises(InputError, match=r"--url models/modle\.pt: found no such file.* 'models/model\.pt'"):
        contents(bundle, Options(urls={"models/modle.pt": url}))


def test_monai_downloads_what_was_left_out(tmp_path):
    weights = REPOSITORY / "bundles" / TRAINED / "models" / "model.pt"
    made = build(TRAINED, tmp_path / "dist", Options(urls={"models/model.pt": weights.as_uri()}))
    folder = unpack(made.path, tmp_path)
    download_large_files(str(folder))
    assert (folder / "models" / "model.pt").read_bytes() == weights.read_bytes()


def test_version_is_needed(bundle):
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": None}))
    with pytest.raises(InputError, match=r"metadata\.json: found version None"):
        contents(bundle, Options())


def test_nothing_is_written_when_something_is_wrong(tmp_path):
    with pytest.raises(InputError, match="bundle 'gradprom_isik': no folder .*did you mean 'gradprom_isic'"):
        build("gradprom_isik", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="folder .* cannot be made"):
        build(UNTRAINED, tmp_path / "file", Options(weights=False))
