from types import SimpleNamespace

import pytest

from shared.reproduction import runs
from tests.reproduction.fake_runs import FakeBundles


@pytest.fixture
def bundles(monkeypatch) -> FakeBundles:
    """MONAI's runner replaced: see FakeBundles; there are no networks to collect, which takes a second each time."""
    fake = FakeBundles()
    monkeypatch.setattr(runs, "gc", SimpleNamespace(collect=lambda: 0))
    monkeypatch.setattr(runs, "run_bundle", fake)
    return fake
