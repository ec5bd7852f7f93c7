#!/bin/sh
# Makes an environment ready: chooses the Python, and leaves the rest to install.py.
# usage: install.sh runtime|dev|clients|aider|audit [PYTHON]
# Without PYTHON it is the one that the environment was made with, or the first one on PATH that is new enough.
set -eu
cd "$(dirname "$0")/.."
name=$1
asked=${2:-}

case $name in
runtime | dev) venv=.venv ;;
*) venv=.venv-$name ;;
esac

# -S: a damaged environment must not keep its own Python from looking at it.
fits() { "$1" -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

python=
if [ -n "$asked" ]; then
    if fits "$asked"; then python=$asked; fi
else
    for one in "$venv/bin/python" python3 python3.14 python3.13 python3.12 python3.11; do
        if fits "$one"; then
            python=$one
            break
        fi
    done
fi
if [ -z "$python" ]; then
    asked=${asked:-python3}
    found=$("$asked" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo missing)
    echo "Python 3.11 or newer is needed; '$asked' is $found. Try: make install PYTHON=python3.12" >&2
    exit 2
fi
# Neither what the caller's Python imports from elsewhere nor how it finds modules counts here.
unset PYTHONPATH PYTHONHOME PYTHONSAFEPATH
exec "$python" -S -m scripts.install "$name"
