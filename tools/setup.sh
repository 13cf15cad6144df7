#!/usr/bin/env bash
# All the set-up, once: system packages, Python, a virtual environment with this package.
#
#   bash tools/setup.sh [EXTRA]      EXTRA: all (default, with the napari window), test, or none
#
# Works on a bare Debian/Ubuntu as root (or with sudo) and is quick when there is nothing to do.
# Elsewhere (macOS, other Linux) it needs Python >= 3.11 and leaves system packages alone.
#   SAM_I2V_VENV    where the environment goes                       (default: .venv)
#   SAM_I2V_PIP=1   install with pip even where uv could be had
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extra=${1:-all}
venv=${SAM_I2V_VENV:-.venv}

say() { printf '\n== %s\n' "$*" >&2; }

# -- system packages ---------------------------------------------------------------------------
apt_install() {  # installs only what is missing; silent when all is there
  command -v apt-get >/dev/null && ! dpkg -s "$@" >/dev/null 2>&1 || return 0
  local root=()
  [ "$(id -u)" -eq 0 ] || root=(sudo)
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y
             -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  say "System packages: $*"
  "${root[@]}" "${apt[@]}" update
  "${root[@]}" "${apt[@]}" install --no-install-recommends "$@" >/dev/null
}

# -- Python ------------------------------------------------------------------------------------
find_python() {  # the first Python >= 3.11 that can make an environment
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
        2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

if [ ! -x "$venv/bin/python" ]; then
  python=$(find_python) || { apt_install python3 python3-venv ca-certificates; python=$(find_python); } || {
    echo "setup: needs Python 3.11 or newer with venv; found: $(python3 -V 2>&1 || echo none)." \
         "Install one (e.g. from python.org or conda-forge) and run this again." >&2
    exit 1
  }
  say "Environment $venv ($("$python" -V))"
  "$python" -m venv "$venv"
fi

# -- what the napari window needs: Qt's libraries and OpenGL; tests draw on a virtual screen ------
if [ "$extra" != none ]; then
  apt_install libgl1 libegl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 \
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0
fi
[ "$extra" != test ] || apt_install xvfb xauth

# -- this package, with the torch of .ci/constraints.txt -------------------------------------------
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
py=$venv/bin/python
target=.
[ "$extra" = none ] || target=".[$extra]"
say "Packages for $target"
if [ -z "${SAM_I2V_PIP:-}" ] && "$py" -m pip install -q uv; then
  # uv ignores pip's settings, and a local CPU build of torch is found through them only.
  find_links=${PIP_FIND_LINKS:-$("$py" -m pip config get global.find-links 2>/dev/null || true)}
  UV_FIND_LINKS=$find_links "$venv/bin/uv" pip install -q --python "$py" \
    -c .ci/constraints.txt -e "$target"
else
  "$py" -m pip install -q -c .ci/constraints.txt -e "$target"
fi
