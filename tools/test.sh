#!/usr/bin/env bash
# All checks from a fresh clone: set up what is missing, then lint, types, manifest and tests.
#
#   bash tools/test.sh [PYTEST ARGUMENTS]     e.g. `bash tools/test.sh -m slow`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup.sh test
bin=$(cd "${SAM_I2V_VENV:-.venv}/bin" && pwd)

# An inherited `offscreen` would blacken the canvas: only the virtual screen, only PyQt6.
unset DISPLAY WAYLAND_DISPLAY QT_QPA_PLATFORM QT_API
export PYTHONUNBUFFERED=1
settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT
export NAPARI_CONFIG="${NAPARI_CONFIG:-$settings/settings.yaml}" # not the user's own settings

check() { printf '\n== %s\n' "$*" >&2; "$@"; }
check "$bin/ruff" check .
check "$bin/mypy"
check "$bin/npe2" validate --imports napari.yaml
check "$bin/python" -m pytest -q "$@"
