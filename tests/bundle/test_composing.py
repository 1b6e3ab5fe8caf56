"""Configurations follow from facts and recipes, and little is written by hand."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from shared.bundle import composing
from shared.bundle.composing import FACTS, RECIPES, compose, out_of_step, to_text
from shared.errors import InputError
from tests.bundles.commands import BUNDLES, ROOT
from tests.scripts.loading import load_script

MOST_BY_HAND = 0.4
"""Of the leaves that the configurations hold."""
MOST_FACTS = {"gradprom_folder": 90}
"""The others have 70. A folder of one's own has no labels that a recipe could know: its auxiliary, strategy and
supervision are found out when it is run, and each of them needs a component."""


def leaves(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_configurations_are_in_step(bundle):
    assert list(out_of_step(bundle)) == []


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_nothing_of_a_recipe_is_left(bundle):
    text = json.dumps(compose(bundle))
    assert '"..."' not in text
    assert '"_like_"' not in text
    assert '"%train.json' not in text
    for content in compose(bundle).values():
        assert json.loads(to_text(content)) == content


def test_little_is_written_by_hand(capsys):
    composed = {bundle.name: sum(map(leaves, compose(bundle).values())) for bundle in BUNDLES}
    facts = {bundle.name: leaves(read(bundle / FACTS)) for bundle in BUNDLES}
    recipes = {path.name: leaves(read(path)) for path in RECIPES.glob("*.json")}
    by_hand, total = sum(facts.values()) + sum(recipes.values()), sum(composed.values())
    with capsys.disabled():
        print(f"\nleaves by hand: {by_hand} of {total} ({by_hand / total:.0%}); recipes {sum(recipes.values())}; "
              f"facts {', '.join(f'{name} {count}' for name, count in facts.items())}")
    assert by_hand <= MOST_BY_HAND * total
    assert {name: count for name, count in facts.items() if count > MOST_FACTS.get(name, 70)} == {}


def test_every_recipe_is_used():
    used = {recipe for bundle in BUNDLES for recipe in read(bundle / FACTS)["recipes"]}
    assert used == {path.stem for path in RECIPES.glob("*.json")}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_versions_are_those_of_the_requirements(bundle):
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    pinned = {r.name: str(r.specifier).removeprefix("==") for r in map(Requirement, filter(None, lines))}
    metadata = read(bundle / "configs" / "metadata.json")
    named = {"monai": metadata["monai_version"], "torch": metadata["pytorch_version"],
             "numpy": metadata["numpy_version"], **metadata["required_packages_version"]}
    assert named == {name: pinned[name] for name in named}
    assert len(named) > 10


@pytest.fixture
def command(tmp_path, monkeypatch) -> Any:
    """The command, for a copy of one bundle."""
    script = load_script("compose")
    shutil.copytree(ROOT / "bundles" / "gradprom_camus", tmp_path / "gradprom_camus")
    monkeypatch.setattr(script, "BUNDLES", tmp_path)
    monkeypatch.chdir(tmp_path)
    return script.main


def test_command_says_what_is_out_of_step_and_writes_it(command, tmp_path, capsys):
    assert command(["--check"]) == 0
    facts, file = tmp_path / "gradprom_camus" / FACTS, tmp_path / "gradprom_camus" / "configs" / "train.json"
    facts.write_text(facts.read_text().replace('"real": "bits"', '"real": "minmax"'))
    before = file.read_text()
    assert command(["gradprom_camus", "--check"]) == 1
    number = next(n for n, line in enumerate(before.splitlines(), 1) if '"real": "bits"' in line)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        f"gradprom_camus/configs/train.json: line {number}: expected '\"real\": \"minmax\"', "
        "found '\"real\": \"bits\"'; change facts.json or shared/recipes and run: python "
        "scripts/compose.py gradprom_camus"
    )
    assert len(said) == 2, "inference.json too"
    assert file.read_text() == before
    assert command([]) == 0
    assert command(["--check"]) == 0
    assert file.read_text() == before.replace('"real": "bits"', '"real": "minmax"')
    file.unlink()
    assert command(["--check"]) == 1
    assert "line 1: expected '{', found the end" in capsys.readouterr().err


def test_command_refuses_other_names_and_wrong_facts(command, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        command(["gradprom_camel"])
    assert caught.value.code == 2
    assert "found no bundles/gradprom_camel/facts.json, expected one of gradprom_camus" in capsys.readouterr().err
    facts = tmp_path / "gradprom_camus" / FACTS
    shutil.copytree(tmp_path / "gradprom_camus", tmp_path / "gradprom_zebu")
    (tmp_path / "gradprom_zebu" / "configs" / "train.json").unlink()
    facts.write_text(facts.read_text().replace('"noise"', '"noize"'))
    for words in ([], ["--check"]):
        (tmp_path / "gradprom_zebu" / "configs" / "evaluate.json").write_text("{}")
        assert command(words) == 1
        said = capsys.readouterr().err
        assert "gradprom_camus/facts.json: recipes: expected some of adversarial, by_machine, cascade" in said
        assert "found 'noize'; did you mean 'noise'?" in said
        assert ("gradprom_zebu/configs/evaluate.json: line 1" in said) == (words == ["--check"]), "others go on"
    assert (tmp_path / "gradprom_zebu" / "configs" / "train.json").is_file()


def test_folder_of_configurations_is_made(command, tmp_path):
    configs = tmp_path / "gradprom_camus" / "configs"
    shutil.rmtree(configs)
    assert command([]) == 0
    assert {path.name for path in configs.iterdir()} == {
        "train.json", "evaluate.json", "inference.json", "metadata.json"
    }


def test_missing_layout_package_is_named(command, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "compact_json", None)
    assert command([]) == 1
    assert "found no package compact-json" in capsys.readouterr().err


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Any:
    """Composes recipes and facts that a test gives."""
    monkeypatch.setattr(composing, "RECIPES", tmp_path / "recipes")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "toy").mkdir()

    def composed(*recipes: dict[str, Any], **facts: Any) -> dict[str, Any]:
        names = [f"r{k}" for k in range(len(recipes))]
        for name, recipe in zip(names, recipes, strict=True):
            (tmp_path / "recipes" / f"{name}.json").write_text(json.dumps(recipe))
        (tmp_path / "toy" / FACTS).write_text(json.dumps({"recipes": names, **facts}))
        return compose(tmp_path / "toy")["train.json"]

    return composed


BASE = {"_desc_": "not for a file", "train.json": {"a": 1, "b": {"x": 1, "y": 2}, "c": 3}}


def test_merges_as_monai_does(toy):
    facts = {"train.json#b#x": 5, "+train.json#b": {"z": 6}, "train.json#c": [1], "+train.json#c": [2]}
    assert toy(BASE, **facts) == {"a": 1, "b": {"x": 5, "y": 2, "z": 6}, "c": [1, 2]}


@pytest.mark.parametrize(("addition", "order"), [
    ({"new": 0}, "a b c new"),
    ({"a": 2, "new": 0}, "a new b c"),
    ({"a": "...", "n1": 0, "n2": 0, "c": "...", "n3": 0}, "a n1 n2 b c n3"),
    ({"n1": 0, "n2": 0, "b": "..."}, "a n1 n2 b c"),
    ({"c": 1, "a": 1}, "a b c"),
])
def test_places_keys_beside_their_neighbours(toy, addition, order):
    result = toy(BASE, **{"+train.json": addition})
    assert " ".join(result) == order
    changed = {key: value for key, value in addition.items() if value != "..."}
    assert result == {**BASE["train.json"], **changed}


def test_takes_facts_and_parts_of_other_files(toy):
    recipe = {
        "other.json": {"net": {"_desc_": "said there", "n": "%size", "list": ["%size", {"k": "%size"}]}},
        "train.json": {"name": "%bundle", "net": "%other.json#net", "torch": "%requirements#torch", "run": "%name",
                       "like": {"_like_": "%other.json#net", "n": 5, "m": 6}},
    }
    net = {"n": 4, "list": [4, {"k": 4}]}
    torch = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("torch=="))
    assert toy(recipe, size=4) == {
        "name": "toy", "net": net, "torch": torch.split()[0].removeprefix("torch=="), "run": "%name",
        "like": {**net, "n": 5, "m": 6},
    }


def test_entries_of_lists_have_names(toy):
    recipe = {"train.json": {"handlers": {"first": {"k": 1}, "last": {"k": 3}}, "other": {"first": {"k": 1}}}}
    more = {"+train.json#handlers": {"first": "...", "second": {"k": 2}}, "train.json#handlers#last#k": 4}
    assert toy(recipe, more) == {"handlers": [{"k": 1}, {"k": 2}, {"k": 4}], "other": {"first": {"k": 1}}}


def test_entry_of_a_list_can_be_left_out(toy):
    recipe = {"train.json": {"handlers": {"first": {"k": 1}, "last": {"k": None}}, "value": None}}
    assert toy(recipe, {"train.json#handlers#first": None}) == {"handlers": [{"k": None}], "value": None}


@pytest.mark.parametrize(("facts", "message"), [
    ({"+train.json#d": {"x": 1}}, r"facts.json: \+train.json#d: found nothing of that id"),
    ({"train.json#d#x": 1}, "facts.json: train.json#d#x: found nothing of that id"),
    ({"+train.json": {"d": "...", "e": 1}}, r"facts.json: \+train.json: d: found none"),
    ({"train.json#a": "%sise"}, "train.json: found '%sise', and nothing of that id"),
    ({"train.json#a": "%train.json#c", "train.json#c": "%train.json#a"}, "refers to itself"),
    ({"train.json#b#xx": 1}, r"facts.json: train.json#b#xx: found nothing .*; did you mean 'train.json#b#x'"),
    ({"trian.json#b#x": 1}, "did you mean 'train.json#b#x'"),
    ({"trian.json#d#x": 1}, "in the recipes before it$"),
    ({"+train.json#b": {"xx": "...", "e": 1}}, "xx: found none in the recipes before it; did you mean 'x'"),
    ({"train.json#a": "%train.json#b#yy"}, "toy/facts.json: train.json: .* did you mean '%train.json#b#y'"),
    ({"train.json#a": "..."}, r"train.json: found '\.\.\.'"),
    ({"+train.json": {"n": {"k": "..."}}}, r"train.json: found '\.\.\.'"),
    ({"+train.json#a": {"x": 1}}, r"\+train.json#a: expected .* found {'x': 1} and int"),
    ({"+train.json#b": [1]}, r"\+train.json#b: expected .* found \[1\] and dict"),
    ({"+train.json#b": 1}, r"\+train.json#b: expected .* found 1 and dict"),
    ({"+train.json#b": {"z": {"_like_": "%train.json#a"}}}, "_like_: expected .* found '%train.json#a'"),
    ({"recipes": ["r"]}, "recipes: expected some of r0, found 'r'"),
    ({"recipes": "r0"}, "recipes: expected a list of r0, found 'r0'"),
])
def test_refuses_what_leads_nowhere(toy, facts, message):
    with pytest.raises(InputError, match=message):
        toy(BASE, **facts)


NO_COMMA = '{"recipes": ["r0"] "data": 1}'


@pytest.mark.parametrize("text", ["", "[1]", NO_COMMA, '{"data": 1}', None])
def test_names_a_file_of_facts_that_holds_none(toy, tmp_path, text):
    toy(BASE)
    file = tmp_path / "toy" / FACTS
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(InputError, match=r"toy/facts\.json") as caught:
        compose(tmp_path / "toy")
    if text == NO_COMMA:
        assert "line 1 column 20" in str(caught.value)


def test_metadata_that_a_recipe_leaves_to_the_facts_are_asked_for(toy, tmp_path):
    recipe = {**BASE, "metadata.json": {"name": None, "format": {"modality": None}}}
    with pytest.raises(InputError, match="facts.json: metadata.json#name: found nothing"):
        toy(recipe)
    with pytest.raises(InputError, match="facts.json: metadata.json#format#modality: found nothing"):
        toy(recipe, **{"metadata.json#name": "n"})
    toy(recipe, **{"metadata.json#name": "n", "metadata.json#format#modality": "MR", "train.json#a": None})
