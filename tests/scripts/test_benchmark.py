"""The benchmark: that it measures what it says. What it finds is a matter of the machine, not of the tests."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from types import ModuleType

import pytest
import torch

from shared.benchmark import figures, measure
from shared.benchmark.figures import BOUNDS, Bound, Figure
from shared.benchmark.handwritten import HandWrittenStep
from shared.benchmark.memory import peak_memory
from shared.benchmark.settings import quick
from shared.benchmark.timing import interleave
from shared.benchmark.trainer import TrainerStep
from shared.benchmark.volume import ALONE, SLICE_BY_SLICE, enhance, peak_memory_of_volume, volume_of
from shared.errors import InputError
from tests.scripts.loading import load_script

SETTINGS = quick("cpu", 1)
GRADPROM = ["GradProm, by hand", "three passes", "three passes, one graph", "TorchJD", "TorchJD, row by row"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("benchmark")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def double():
    """Rounding must not decide: Adam makes a whole step of a gradient that is nearly zero."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trained(step: Callable[[], object]) -> torch.Tensor:
    """All weights of a variant's enhancement network after three steps."""
    for _ in range(3):
        step()
    if isinstance(step, TrainerStep):
        step.close()
        network = step.trainer.network
    else:
        network = step.system.enhancement if isinstance(step, HandWrittenStep) else step.game.generator
    return torch.cat([p.detach().reshape(-1) for p in network.parameters()])


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_all_variants_of_a_rule_take_the_same_steps():
    pytest.importorskip("torchjd")
    weights = {name: trained(step) for name, step in measure.build_variants(SETTINGS, 1.0).items()}
    expected = weights["GradProm, trainer"]
    scale = (expected - trained(measure.build_variants(SETTINGS, 0.0)["GradProm, trainer"])).norm()
    assert scale > 0, "the recognition gradient was never let in"
    for name in GRADPROM:
        assert (weights[name] - expected).norm() < 1e-4 * scale, name
    scale = (weights["frozen, trainer"] - weights["joint, trainer"]).norm()
    assert scale > 0
    assert (weights["frozen, trainer"] - weights["frozen, by hand"]).norm() < 1e-4 * scale
    torch.testing.assert_close(weights["adversarial, trainer"], weights["adversarial, by hand"], rtol=0, atol=1e-9)


def test_interleaving_times_every_variant_once_a_round_and_drops_the_warmup():
    calls: list[str] = []
    lines: list[str] = []
    variants = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    seconds = interleave(variants, rounds=2, warmup_rounds=1, device="cpu", progress=lines.append)
    assert "".join(calls) == "abc" "bca" "cab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2, "c": 2}
    assert [line.split(":")[0] for line in lines] == ["warm-up round 1 of 3", "round 2 of 3", "round 3 of 3"]


def test_times_are_those_of_the_variant():
    variants = {"slow": lambda: time.sleep(0.05), "fast": lambda: None}
    seconds = interleave(variants, rounds=3, warmup_rounds=0, device="cpu", progress=lambda line: None)
    assert min(seconds["slow"]) >= 0.05
    assert min(seconds["fast"]) < 0.05


def test_ratio_is_one_of_medians_with_the_spread_of_single_rounds():
    figure = figures.ratio("name", "title", [2.0, 4.0, 90.0], [1.0, 1.0, 2.0], minus=1.0)
    assert figure == Figure("name", "title", found=3.0, low=1.0, high=44.0)


@pytest.mark.parametrize(
    ("sense", "kept", "not_kept"),
    [("at most", 1.5, 1.51), ("below", 1.49, 1.5), ("at least", 1.5, 1.49)],
)
def test_bounds(sense, kept, not_kept):
    bound = Bound(sense, 1.5)
    assert bound.holds(kept)
    assert not bound.holds(not_kept)
    assert not bound.holds(math.nan)


def test_a_figure_that_was_not_measured_misses_its_bound():
    lines = figures.missed([], {"gradprom_over_torchjd": Bound("below", 1.0)})
    assert lines == ["gradprom_over_torchjd: not measured, expected below 1.00"]


@pytest.mark.slow
def test_peak_memory_grows_with_the_step_and_not_with_the_parent():
    ballast = torch.ones(2**28)  # 1 GiB
    small = peak_memory("gradprom", SETTINGS)
    large = peak_memory("gradprom", replace(SETTINGS, image_size=128, features=32))
    assert large > small + 30
    assert small < ballast.nbytes / 2**20


@pytest.mark.slow
def test_memory_of_a_volume_grows_with_its_slices_size_alone():
    cases = ((4, 32), (64, 32), (4, 128))
    small, more, large = (peak_memory_of_volume(slices, replace(SETTINGS, volume_size=size)) for slices, size in cases)
    assert more < 1.05 * small
    assert large > small + 20


def test_the_volume_is_one_that_every_slice_of_has_to_be_enhanced():
    seen = []
    network = torch.nn.Conv2d(3, 3, 1)
    network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    with volume_of(6, 40) as source:
        enhance(source, network, 2)
        assert (source.parent / "enhanced" / source.name).is_file()
    # The first image tells the factor of enlargement.
    assert seen[1:] == [(2, 3, 40, 40)] * 3
    assert not source.exists()


@pytest.mark.slow
def test_a_failed_memory_process_says_why():
    with pytest.raises(InputError, match=r"peak memory of 'unheard': .* expected one of .*'unheard'"):
        peak_memory("unheard", SETTINGS)


def test_quick_run_prints_tables_writes_json_and_checks(script, tmp_path, monkeypatch, capsys):
    for name in BOUNDS:
        monkeypatch.setitem(BOUNDS, name, Bound("at least", -1e9))
    monkeypatch.setitem(BOUNDS, "memory_over_joint", Bound("at most", 1.05))
    peaks = {"joint": 100.0, "gradprom": 110.0}
    monkeypatch.setattr(measure, "peak_memory", lambda rule, settings: peaks[rule])
    monkeypatch.setattr(measure, "peak_memory_of_volume", lambda slices, settings: {4: 100.0, 8: 102.0}[slices])
    out = tmp_path / "folder" / "benchmark.json"
    assert script.main(["--quick", "--threads", "1", "--out", str(out), "--check"]) == 1

    printed = capsys.readouterr()
    assert "round 3 of 3" in printed.out
    assert "GradProm / joint, both on the trainer" in printed.out
    assert "volume: network alone / slice by slice" in printed.out
    assert "volume of 8 slices" in printed.out
    misses = [line for line in printed.err.splitlines() if line.startswith("bound missed")]
    assert misses == ["bound missed: peak memory: GradProm / joint: found 1.100, expected at most 1.05"]

    content = json.loads(out.read_text())
    assert set(BOUNDS) <= set(content["figures"])
    assert content["figures"]["memory_over_joint"]["found"] == pytest.approx(1.1)
    assert content["figures"]["memory_over_joint"]["kept"] is False
    assert content["figures"]["volume_memory"]["found"] == pytest.approx(1.02)
    assert 0 < content["figures"]["volume_throughput"]["found"] < 1
    assert {name: len(values) for name, values in content["volume_seconds"].items()} == {ALONE: 1, SLICE_BY_SLICE: 1}
    assert content["settings"] == asdict(SETTINGS)
    assert content["machine"]["device"] == "cpu"
    assert {"torch", "monai", "torchjd"} <= set(content["versions"])
    assert all(len(values) == SETTINGS.rounds for values in content["seconds"].values())
    assert len(content["waiting"]["waiting"]) == SETTINGS.loading_steps


def test_without_check_a_missed_bound_is_no_error(script, monkeypatch):
    found = [Figure("memory_over_joint", "peak memory", 9.0, 9.0, 9.0)]
    result = measure.Result(SETTINGS, {"step": [1.0]}, measure.Waiting(0), {}, {"volume": [1.0]}, found)
    monkeypatch.setattr(script, "measure", lambda settings, progress: result)
    assert script.main(["--quick"]) == 0
    assert script.main(["--quick", "--check"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "0"], "--threads: found 0, expected at least 1"),
        (["--batch-size", "-2"], "--batch-size: found -2, expected at least 1"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_wrong_options(script, words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(words)
    assert message in capsys.readouterr().err
