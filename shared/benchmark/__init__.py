"""Speed and memory of GradProm, as ratios that one run measures by itself (``scripts/benchmark.py``)."""
