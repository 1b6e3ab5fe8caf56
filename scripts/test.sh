#!/usr/bin/env bash
# Sets everything up and runs the tests on all cores; arguments go to pytest: bash scripts/test.sh -m "not slow"
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test

cd "$root"
# Each of pytest's workers would otherwise start as many threads as there are cores.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$python" -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal "$@"
