#!/usr/bin/env bash
# Serves packages (scripts/package.py) by MONAI Label, on this machine's images:
#   bash scripts/label_server.sh --studies DIR [--port 8000] [--host 127.0.0.1] PACKAGE.zip [PACKAGE.zip ...]
# MONAI Label gets an environment of its own, .venv-label. LABEL_PYTHON=/path/to/python names an existing one instead.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    echo "error: found no '$python'; install Python 3.11, or name it: PYTHON=/path/to/python3 bash $0" >&2
    exit 1
fi
# The upper bound is that of numpy 1.26, which only an environment made here has to install.
if ! "$python" -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, ${LABEL_PYTHON:+9}13))"; then
    echo "error: '$python' is $("$python" -V 2>&1), expected Python 3.11 or 3.12, which numpy 1.26 needs;" \
        "name another one: PYTHON=/path/to/python3 bash $0" >&2
    exit 1
fi

PYTHONPATH="$root" "$python" "$root/scripts/label_server.py" --check "$@"
case " $* " in *" -h "* | *" --help "* | *" --check "*) exit 0 ;; esac

if [ -n "${LABEL_PYTHON:-}" ]; then
    if ! problem=$("$LABEL_PYTHON" -c 'import monailabel, torchvision' 2>&1); then
        echo "error: LABEL_PYTHON: '$LABEL_PYTHON' cannot import monailabel: ${problem##*$'\n'}" >&2
        exit 1
    fi
else
    venv="$root/.venv-label"
    stamp="$venv/installed"
    wanted=$(cksum <"$root/scripts/label_requirements.txt")
    if [ ! -x "$venv/bin/python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "Setting up $venv: several GB to download, 8 GB on disk, mostly PyTorch for CUDA; minutes, the first time"
        [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/scripts/label_requirements.txt"
        echo "$wanted" >"$stamp"
    fi
    LABEL_PYTHON="$venv/bin/python"
fi
PYTHONPATH="$root" exec "$LABEL_PYTHON" "$root/scripts/label_server.py" "$@"
