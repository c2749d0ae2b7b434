#!/usr/bin/env bash
# Fetches Bitcoin Knots from Debian sid, unpacks it beside the system (nothing is installed), and writes a program that starts its bitcoind.
#
#	tools/bitcoind/fetch.sh bin/bitcoind
#
# Debian's keyring vouches for the packages. Where there is no apt, no Debian keyring or no such package, no program is written, and the
# tests that want it are skipped; the reason is printed.
set -euo pipefail
program=$1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
absent() { echo "no bitcoind: $*; the tests that want it are skipped"; exit 0; }

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || absent "this system has no apt"
test -r "$keyring" || absent "$keyring is missing"
root=$(realpath -m "$program.root")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work"/{lists/partial,archives/partial,cache}
touch "$work/status"
echo "deb [signed-by=$keyring] $mirror sid main" >"$work/sources.list"
apt=(apt-get -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status"
  -o Dir::Cache="$work/cache" -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Debug::NoLocking=true
  -o Acquire::Languages=none)
echo "fetching Bitcoin Knots from $mirror (sid)"
"${apt[@]}" update >"$work/log" 2>&1 || absent "$(tail -1 "$work/log")"
"${apt[@]}" -y --download-only install bitcoin-knots >"$work/log" 2>&1 || absent "$(tail -1 "$work/log")"
rm -rf "$root"
mkdir -p "$root"
for deb in "$work"/archives/*.deb; do dpkg-deb -x "$deb" "$root"; done
loader=$(find "$root" -name 'ld-linux*.so.*' | head -1)
bitcoind=$(find "$root" -path '*/bin/bitcoind' | head -1)
test -n "$loader" && test -n "$bitcoind" || absent "the package holds no bitcoind"
cat >"$program.tmp" <<EOF
#!/bin/sh
exec "$loader" --library-path "$(find "$root" -name 'libc.so.6' -printf '%h\n' | head -1)" "$bitcoind" "\$@"
EOF
chmod +x "$program.tmp"
"$program.tmp" -version | head -1 || absent "it does not run here"
mv "$program.tmp" "$program"
