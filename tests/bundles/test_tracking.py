import sqlite3

import pytest

from tests.bundles.commands import ROOT, SMOKE, TINY, arguments, succeed


@pytest.mark.slow
def test_mlflow_gets_losses_and_metrics(tmp_path):
    pytest.importorskip("mlflow")
    bundle = ROOT / "bundles" / "gradprom_isic"
    succeed(arguments(bundle, tmp_path, "train.json", SMOKE, TINY, tracking="mlflow", warmup=0, max_epochs=1))
    with sqlite3.connect(tmp_path / "eval" / "mlruns.db") as database:
        keys = {row[0] for row in database.execute("select distinct key from metrics")}
    assert {"train_loss", "psnr", "ssim"} <= keys
