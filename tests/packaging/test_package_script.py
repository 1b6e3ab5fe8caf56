"""The command that makes packages."""

from __future__ import annotations

import re

import pytest

from shared import InputError, bundle_names
from tests.packaging.conftest import TRAINED, UNTRAINED
from tests.scripts.loading import load_script


@pytest.fixture
def script():
    return load_script("package")


def test_one_bundle_then_verify(script, tmp_path, capsys):
    assert script.main([TRAINED, "--out", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert re.search(r"\(\d+ files, [\d.]+ MB, weights trained on mni152, 34\.15 dB in validation\)", output)
    assert re.search(r"SHA-256 [0-9a-f]{64}$", output, re.MULTILINE)
    path = next(tmp_path.iterdir())
    assert script.main(["--verify", str(path)]) == 0
    assert f"sound; {TRAINED}" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:-1000])
    assert script.main(["--verify", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: found a damaged zip file")


def test_a_bad_bundle_does_not_stop_the_others(script, tmp_path, capsys, monkeypatch):
    build = script.build

    def fail_once(name, out, options):
        if name == TRAINED:
            raise InputError(f"{name}: damaged")
        return build(name, out, options)

    monkeypatch.setattr(script, "build", fail_once)
    assert script.main(["--all", "--without-weights", "--out", str(tmp_path)]) == 1
    made = sorted(path.name.split("_v")[0] for path in tmp_path.iterdir())
    assert made == [name for name in bundle_names() if name != TRAINED]
    result = capsys.readouterr()
    assert result.out.count("no weights") == len(made)
    lines = [f"error: {TRAINED}: damaged", f"error: 1 of {len(bundle_names())} bundles failed"]
    assert result.err.splitlines() == lines


def test_unknown_bundle(script, tmp_path, capsys):
    assert script.main(["gradprom_mni125", "--out", str(tmp_path / "dist")]) == 1
    assert "did you mean 'gradprom_mni152'" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected names of bundles, or --all"),
        ([UNTRAINED, "--all"], "expected names of bundles, or --all"),
        (["--all", "--url", "a=b"], "--url: expected one BUNDLE"),
        ([UNTRAINED, "--url", "models/model.pt"], "--url: expected FILE=URL"),
        ([UNTRAINED, "--recognition", "--without-weights"], "expected one of them"),
    ],
)
def test_options_that_do_not_go_together(script, capsys, arguments, message):
    with pytest.raises(SystemExit):
        script.main(arguments)
    assert message in capsys.readouterr().err
