"""The worked examples of shared/README.md, as they stand there, and the links and paths of all documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shared.degradations import Degraded
from tests.reporting.evaluation import evaluate, make_items, read

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("bundles/*/docs/*.md")], key=lambda path: str(path)
)


def examples() -> dict[str, str]:
    """The examples of shared/README.md by the heading that they stand under."""
    found: dict[str, str] = {}
    for part in re.split(r"^## ", (ROOT / "shared" / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE):
        block = re.search(r"<!-- tested: tests/test_documents.py -->\n```python\n(.*?)```", part, re.DOTALL)
        if block:
            found[part.splitlines()[0]] = block.group(1)
    return found


def run(heading: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(examples()[heading], names)  # noqa: S102
    return names


def test_every_example_has_a_test():
    assert list(examples()) == ["Add an update rule", "Add a degradation", "Add an enhancement network", "Add a metric"]


def test_rule_lets_in_what_agrees_clearly_alone():
    rule = run("Add an update rule")["ClearAgreement"](0.5)
    main = [torch.tensor([1.0, 0.0], dtype=torch.float64)]
    clear, vague = [torch.tensor([2.0, 1.0], dtype=torch.float64)], [torch.tensor([1.0, 9.0], dtype=torch.float64)]
    update = rule(main, [clear, vague], [0.1, 0.1])
    torch.testing.assert_close(update.gradients[0], main[0] + 0.1 * clear[0])
    assert [bool(accepted) for accepted in update.accepted] == [True, False]


def test_degradation_draws_from_the_generator_it_is_given():
    stripes = run("Add a degradation")["Stripes"](0.2)
    image = torch.full((2, 500, 7), 0.5)
    degraded = Degraded("label", "image", [stripes], clip=False, seed=3)
    once, again, other = (degraded({"label": image, "id": name})["image"] for name in ("a", "a", "b"))
    torch.testing.assert_close(once, again)
    assert not torch.equal(once, other)
    values = once - image
    assert torch.equal(values, values[:1, :, :1].expand_as(values))  # one value for each row
    assert float(values.std()) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(("size", "scale"), [((37, 31), 1), ((16, 40), 2)])
def test_network_takes_images_of_any_size(size, scale):
    network = run("Add an enhancement network")["UNetEnhancement"](3, 3, upscale_factor=scale)
    assert isinstance(network, nn.Module)
    assert network(torch.rand(1, 3, *size)).shape == (1, 3, scale * size[0], scale * size[1])


def test_metric_stands_in_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run("Add a metric")
    ramp = torch.arange(12.0).reshape(1, 3, 4) / 12
    assert names["total_variation"](ramp) == pytest.approx(1 / 12 + 4 / 12)
    items = make_items(1, 37, 31)
    evaluate(names["report"], items)
    rows, summary = read(tmp_path / "results")
    assert "ssim" not in str(summary)
    row = next(row for row in rows if row["id"] == items[0]["id"])
    enhanced = 0.5 * items[0]["image"] + 0.25
    assert float(row["tv_enhanced"]) == pytest.approx(names["total_variation"](enhanced), abs=1e-6)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        path = document.parent / file if file else document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings]
            assert anchor in anchors


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document):
    text = document.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.])(?:bundles|shared|scripts|tests)/[\w./]+\.(?:json|sh|py|md|png)\b", text):
        if "cells" not in path:  # the worked example, which tests/bundles/test_adding_a_data_set.py follows
            assert (ROOT / path).exists(), path
