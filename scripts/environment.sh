# Sourced by the other scripts: makes .venv with what is asked for, or finds that it is there already.
# Usage: source environment.sh [EXTRA]   (an extra of pyproject.toml, for example "test")

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extra=${1:-}
python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null; then
    echo "error: found no '$python'; install Python 3.11 or later, or name it: PYTHON=/path/to/python3 bash $0" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: '$python' is $("$python" -V 2>&1), expected Python 3.11 or later; name another one:" \
        "PYTHON=/path/to/python3 bash $0" >&2
    exit 1
fi

venv="$root/.venv"
stamp="$venv/installed${extra:+-$extra}"
wanted=$(cat "$root/requirements.txt" "$root/pyproject.toml" | cksum)
if [ ! -x "$venv/bin/python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Setting up $venv (some minutes the first time)"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r "$root/requirements.txt" -e "$root${extra:+[$extra]}"
    echo "$wanted" >"$stamp"
fi
python="$venv/bin/python"
