#!/usr/bin/env bash
# The few programs that do not come by pip: a C++ compiler, make, perl (Verilator's wrapper) and Python's venv module.
# Installs what is missing on Debian and Ubuntu; elsewhere says what to install. Does nothing when all are there.
set -euo pipefail

missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
command -v perl >/dev/null || missing+=(perl)
"${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
# Optional, but repeated simulator builds take a tenth of the time with it.
command -v ccache >/dev/null || missing+=(ccache)

[ ${#missing[@]} -eq 0 ] && exit 0

if command -v apt-get >/dev/null; then
  run=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null && run=(sudo)
  fi
  echo "installing: ${missing[*]}"
  "${run[@]}" apt-get update -qq && "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null && exit 0
fi

# ccache alone is no reason to stop.
[ "${missing[*]}" = ccache ] && exit 0
echo "please install: ${missing[*]}" >&2
exit 1
