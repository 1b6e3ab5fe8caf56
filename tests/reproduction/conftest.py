import pytest

from shared.reproduction import runs
from tests.reproduction.fake_runs import FakeBundles


@pytest.fixture
def bundles(monkeypatch) -> FakeBundles:
    """MONAI's runner replaced: see FakeBundles."""
    fake = FakeBundles()
    monkeypatch.setattr(runs, "run_bundle", fake)
    return fake
