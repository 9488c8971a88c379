#!/usr/bin/env bash
# Installs what is missing of the Debian packages in packages.txt and of those given as arguments, and configures a
# release build in build/. Without root or sudo it prints the command that installs them, and stops.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

is_installed() {
  [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

missing=()
while read -r package; do
  is_installed "$package" || missing+=("$package")
done < <(grep -v '^#' scripts/packages.txt; printf '%s\n' "$@" | sed '/^$/d')

if ((${#missing[@]} > 0)); then
  as_root=()
  if ((EUID != 0)); then
    as_root=(sudo -n)
    if ! sudo -n true 2>/dev/null; then
      echo "Packages are missing. Install them, then run this again:" >&2
      echo "sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
  fi
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if [[ ! -f build/build.ninja ]]; then
  meson setup build --buildtype=release
fi
