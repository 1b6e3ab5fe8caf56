#!/usr/bin/env bash
# Sets everything up and runs the tests; arguments go to pytest, for example: bash scripts/test.sh -m "not slow"
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test

cd "$root"
exec "$python" -m pytest "$@"
