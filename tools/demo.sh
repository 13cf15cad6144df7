#!/usr/bin/env bash
# The main job from a fresh clone: set up what is missing, then `napari-sam-i2v demo`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$here/tools/setup.sh" none
venv=${SAM_I2V_VENV:-.venv}
[[ $venv = /* ]] || venv=$here/$venv # setup.sh counts from the root as well
exec "$venv/bin/napari-sam-i2v" demo "$@"
