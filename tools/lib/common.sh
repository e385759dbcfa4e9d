# What tools/demo and tools/test share: the packages, the build, and saying what happens.
# Sourced by bash scripts that have set -euo pipefail; not run by itself.
# shellcheck shell=bash

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
readonly ROOT
LOGS=$ROOT/build/logs
readonly LOGS
JOBS=${JOBS:-$(nproc)}

# A cache of compiled files that stays small. It serves later builds, those of other clones too;
# nothing depends on it.
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-4G} CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1

say() { printf "%s\n" "$@"; }
fail() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 1
}

# Runs a command as root, by itself or through sudo.
as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    fail "root is needed to install packages, and there is no sudo; run as root: $*"
  fi
}

# apt-get that asks nothing, reads nothing and waits for another apt to end.
apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    -o Acquire::Retries=3 -q "$@" < /dev/null
}

# The packages of a list such as .ci/packages, one a line.
listed_packages() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$ROOT/$1"; }

# Those of them that are not installed.
missing_packages() {
  local package
  listed_packages "$1" | while read -r package; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) == installed ]] ||
      say "$package"
  done
}

# Installs what is missing of .ci/packages, or of another list. Without apt (another system) it says
# what is needed.
install_packages() {
  local list=${1:-.ci/packages}
  local -a missing
  if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
    say "This is not a Debian system. Tailrace needs what these Debian packages hold:"
    listed_packages "$list" | paste -sd ' '
    return
  fi
  mapfile -t missing < <(missing_packages "$list")
  if [[ ${#missing[@]} -eq 0 ]]; then
    say "All $(listed_packages "$list" | wc -l) packages of $list are installed."
    return
  fi
  say "Installing ${#missing[@]} packages of $list: ${missing[*]}"
  logged apt-update apt_get update
  logged apt-install apt_get install -y --no-install-recommends "${missing[@]}"
}

# Runs a command with its output in build/logs/NAME.log, on a terminal here too. When it fails,
# shows the end of the log.
logged() {
  local name=$1
  shift
  mkdir -p "$LOGS"
  if [[ -t 1 ]]; then
    "$@" 2>&1 | tee "$LOGS/$name.log"
    return
  fi
  "$@" > "$LOGS/$name.log" 2>&1 || {
    local status=$?
    say "The last lines of build/logs/$name.log:"
    tail -n 60 "$LOGS/$name.log"
    return "$status"
  }
}

# Configures and builds a preset (CMakePresets.json), or only the given targets of it.
build_preset() {
  local preset=$1
  shift
  local -a targets=()
  [[ $# -eq 0 ]] || targets=(--target "$@")
  cd "$ROOT" || return
  logged "configure-$preset" cmake --preset "$preset" || return
  logged "build-$preset" cmake --build --preset "$preset" -j "$JOBS" "${targets[@]}"
}

# "1:02:03" or "2:03" from seconds.
format_seconds() {
  local seconds=$1
  if ((seconds >= 3600)); then
    printf '%d:%02d:%02d' $((seconds / 3600)) $((seconds / 60 % 60)) $((seconds % 60))
  else
    printf '%d:%02d' $((seconds / 60)) $((seconds % 60))
  fi
}
