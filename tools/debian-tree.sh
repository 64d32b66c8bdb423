#!/usr/bin/env bash
# Unpacks Debian packages, and what they need that this machine lacks, into build/trees/NAME: for tests that lay the tree over
# this machine's root (test/lib/overlay-root.ts). Nothing is installed and none of the packages' scripts runs. Packages named
# after -- come without what they depend on.
#   debian-tree.sh NAME PACKAGE... [-- PACKAGE...]
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1; shift
wanted=() alone=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do wanted+=("$1"); shift; done
[ $# -gt 0 ] && shift
alone=("$@")

tree=build/trees/$name
stamp="${wanted[*]} -- ${alone[*]}"
mkdir -p build/trees
exec 9>"build/trees/.$name.lock"
flock 9
if [ -f "$tree.stamp" ] && [ "$(cat "$tree.stamp")" = "$stamp" ]; then exit 0; fi

scratch=$(mktemp -d "$PWD/build/trees/.$name.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/debs/partial" "$scratch/root"
# A machine whose package lists are too old for what the archive has now gets them anew, once.
fetch() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root -o Dir::Cache::archives="$scratch/debs" \
    install --download-only --no-install-recommends "${wanted[@]}" >"$scratch/log" 2>&1 || return 1
  if [ ${#alone[@]} -gt 0 ]; then (cd "$scratch/debs" && apt-get -q -o APT::Sandbox::User=root download "${alone[@]}") >>"$scratch/log" 2>&1; fi
}
if ! fetch; then
  apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null
  if ! fetch; then tail -n 20 "$scratch/log" >&2; echo "debian-tree.sh: the packages for '$name' could not be fetched" >&2; exit 1; fi
fi

for package in "$scratch"/debs/*.deb; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$(dpkg-deb -f "$package" Package)" 2>/dev/null)" = installed ] || dpkg-deb -x "$package" "$scratch/root"
done
# Packages may still name /bin and /lib, which are links into /usr here: a folder of theirs would hide the link.
for folder in bin sbin lib lib32 lib64; do
  [ -d "$scratch/root/$folder" ] || continue
  mkdir -p "$scratch/root/usr/$folder"
  cp -a --link --no-target-directory "$scratch/root/$folder" "$scratch/root/usr/$folder"
  rm -rf "${scratch:?}/root/$folder"
done
rm -rf "$tree"
mv "$scratch/root" "$tree"
printf '%s\n' "$stamp" >"$tree.stamp"
