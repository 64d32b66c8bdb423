#!/usr/bin/env bash
# Makes build/trees/debian: this machine's release of Debian with nothing in it but what debootstrap calls minimal, for tests that
# install our packages as an operator does; apt's lists and the packages that those tests install beside ours are in its cache.
# Made once; it takes a minute, and the network.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/trees
exec 9>build/trees/.debian.lock
flock 9
[ -e build/trees/debian.stamp ] && exit 0
# What a node has that uses RBD, and what our packages depend on.
beside=(ca-certificates qemu-block-extra qemu-utils libnettle8 libsqlite3-0 liburing2)

release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror() { apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(SITE)' 'CREATED_BY: Packages' | sed -n "s/^$release main //p" | head -n 1; }
site=$(mirror)
if [ -z "$site" ]; then apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null; site=$(mirror); fi
scratch=$(mktemp -d "$PWD/build/trees/.debian.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
chmod 0755 "$scratch"
if ! debootstrap --variant=minbase "$release" "$scratch" "$site" >"$scratch.log" 2>&1; then
  tail -n 20 "$scratch.log" >&2; rm -f "$scratch.log"; echo "debian-root.sh: no root could be made" >&2; exit 1
fi
rm -rf "$scratch.log" "$scratch"/var/cache/apt/archives/*.deb build/trees/debian
chroot "$scratch" apt-get -q update >/dev/null
chroot "$scratch" apt-get -q -y install --download-only --no-install-recommends "${beside[@]}" >/dev/null
mv "$scratch" build/trees/debian
trap - EXIT
echo "$release" >build/trees/debian.stamp
