"""A run read back from its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shared.errors import InputError
from shared.reproduction.trained_run import load, load_all, same_samples
from tests.reproduction.trained_run_folders import SIZE, make_run


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_networks_have_the_weights_of_the_run_and_are_for_looking_only(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    before, state = files(tmp_path), torch.random.get_rng_state()
    run = load(folder)
    assert files(tmp_path) == before
    assert torch.equal(torch.random.get_rng_state(), state)
    for key, value in torch.load(folder / "models" / "model.pt").items():
        assert torch.equal(run.network.state_dict()[key], value)
    recognition = torch.load(folder / "models" / "recognition.pt")
    assert list(run.tasks) == ["diagnosis", "segmentation"]
    for name, task in run.tasks.items():
        for key, value in recognition[name].items():
            assert torch.equal(task.network.state_dict()[key], value)
    networks = [run.network, *(task.network for task in run.tasks.values())]
    assert not any(module.training for network in networks for module in network.modules())
    assert not any(parameter.requires_grad for network in networks for parameter in network.parameters())
    assert (run.orientation, run.phantom) == ("xy", True)


def test_samples_are_spread_over_the_test_set_and_degraded_as_in_the_run(tmp_path: Path) -> None:
    run = load(make_run(tmp_path / "run"))
    samples = run.samples(3)
    assert [sample.id for sample in samples] == ["image 0", "image 2", "image 4"]
    assert [sample.label for sample in samples] == [0, 2, 1]
    assert len(run.samples(50)) == 5
    noise = samples[0].image - samples[0].clean
    assert 0.15 < float(noise.std()) < 0.25
    assert torch.equal(samples[0].image, run.samples(1)[0].image)
    assert run.enhance(samples[0].image).shape == (3, SIZE, SIZE)
    assert float(run.enhance(samples[0].image * 9).max()) == 1.0


def test_small_degraded_images_are_enlarged_for_showing(tmp_path: Path) -> None:
    down = {"_target_": "shared.degradations.BicubicDownsample", "factor": 2}
    preprocessing = {"_target_": "shared.degradations.Degraded", "keys": "label", "output_keys": "image",
                     "degradations": [down], "seed": 0}
    inferer = {"_target_": "SimpleInferer"}
    run = load(make_run(tmp_path / "run", scale=2, validate={"preprocessing": preprocessing, "inferer": inferer}))
    sample = run.samples(1)[0]
    assert sample.image.shape == (3, SIZE // 2, SIZE // 2)
    assert sample.degraded.shape == run.enhance(sample.image).shape == (3, SIZE, SIZE)


def _edit_config(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "eval" / "config.json"
        config = json.loads(path.read_text())
        config.update(changes)
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))

    return edit


def _drop_key(folder: Path) -> None:
    path = folder / "eval" / "config.json"
    config = json.loads(path.read_text())
    del config["network"]
    path.write_text(json.dumps(config))


def _forget_a_task(folder: Path) -> None:
    path = folder / "models" / "recognition.pt"
    torch.save({"diagnosis": torch.load(path)["diagnosis"]}, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "eval/config.json").unlink(), r"config\.json: no such file; expected the folder of a finished"),
        (lambda f: (f / "eval/config.json").write_text("{"), r"config\.json: found no JSON"),
        (lambda f: (f / "eval/config.json").write_text("[]"), r"config\.json: found list"),
        (_drop_key, r"config\.json: found no key 'network'"),
        (_edit_config(scale=2), r"model\.pt: weights of another network"),
        (_edit_config(scale=3), r"config\.json: 'network' cannot be built: SRResNet: upscale_factor must be"),
        (_edit_config(orientation="up"), "orientation of the panel must be one of yx, xy, ras, found 'up'"),
        (lambda f: (f / "models/model.pt").unlink(), r"model\.pt: no such file"),
        (lambda f: (f / "models/model.pt").write_bytes(b"x"), r"model\.pt: found no readable"),
        (lambda f: (f / "models/recognition.pt").unlink(), r"recognition\.pt: no such file"),
        (_forget_a_task, r"recognition\.pt \(segmentation\): weights of another network"),
        (lambda f: (f / "models/provenance.json").unlink(), r"provenance\.json: no such file"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = make_run(tmp_path / "run")
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_bundle_without_recognition_networks_is_read_too(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    _edit_config(tasks=...)(folder)
    (folder / "models" / "recognition.pt").unlink()
    run = load(folder)
    assert run.tasks == {}
    assert run.enhance(run.samples(1)[0].image).shape == (3, SIZE, SIZE)


def test_an_empty_test_set_is_an_error(tmp_path: Path) -> None:
    test = {"dataset": {"_target_": "Dataset", "data": []}}
    with pytest.raises(InputError, match=r"config\.json: found an empty test set"):
        load(make_run(tmp_path / "run", test=test)).samples(3)


def test_only_runs_on_the_same_images_stand_side_by_side(tmp_path: Path) -> None:
    changes = {"one": {}, "two": {"weights_seed": 1}, "seed": {"seed": 1}, "data": {"dataset_dir": "others"}}
    runs = load_all({name: make_run(tmp_path / name, **change) for name, change in changes.items()})
    assert len(same_samples({name: runs[name] for name in ("one", "two")}, 2)) == 2
    for other, message in (("seed", "'image 0' degraded otherwise"), ("data", "found test image 'image 0', expected")):
        with pytest.raises(InputError, match=message):
            same_samples({"one": runs["one"], other: runs[other]}, 2)
    with pytest.raises(InputError, match="at least one run"):
        load_all({})
