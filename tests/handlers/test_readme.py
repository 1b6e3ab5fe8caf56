"""The README's example, as it stands there, through an open and a closed gate."""

import re

import pytest
import torch
from ignite.engine import Events

from shared.handlers import GradPromHandler
from tests.bundles.commands import ROOT


def example() -> str:
    mark = re.escape("<!-- tested: tests/handlers/test_readme.py -->")
    (block,) = re.findall(mark + r"\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return block


def loader() -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(4):
        clean = torch.rand(2, 1, 32, 32, generator=generator)
        noise = 0.2 * torch.randn(clean.shape, generator=generator)
        batches.append({"image": clean + noise, "label": clean, "class": torch.tensor([0, 1])})
    return batches


def test_example_runs_through_an_open_and_a_closed_gate(monkeypatch, capsys):
    torch.manual_seed(0)
    decisions = []
    attach = GradPromHandler.attach

    def recorded(self, engine):
        attach(self, engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: decisions.append(dict(e.state.gradprom)))

    monkeypatch.setattr(GradPromHandler, "attach", recorded)
    names = {"loader": loader()}
    exec(example(), names)  # noqa: S102
    accepted = [step["recognition"]["accepted"] for step in decisions]
    assert len(accepted) == 12
    assert True in accepted
    assert False in accepted
    assert all(s["recognition"]["accepted"] == (s["recognition"]["cosine"] >= 0) for s in decisions)
    assert "cosine" in capsys.readouterr().out


def test_every_json_in_the_readme_names_something_that_exists():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"(?:bundles|shared|scripts)/[\w./]+\.(?:json|sh|py|md|png)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("script", ["quickstart.sh", "test.sh"])
def test_scripts_say_when_python_is_too_old(script, tmp_path):
    import subprocess

    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$1" in -V) echo "Python 3.8.1";; *) exit 1;; esac\n')
    old.chmod(0o755)
    result = subprocess.run(
        ["bash", str(ROOT / "scripts" / script)], env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)}, cwd=tmp_path,
        capture_output=True, text=True,
    )
    assert result.returncode == 1
    assert "is Python 3.8.1, expected Python 3.11 or later" in result.stderr
