#!/usr/bin/env bash
# Installs what cbd2rbd needs, and nothing that is already there: Debian packages, then npm packages.
#   setup.sh run    what building and running need
#   setup.sh test   that, and what the tests need
# Can be run again at any time. Needs root (or sudo) only where a Debian package is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-run}

# For building and running, and for the programs that `npm start` shows.
packages=(
  cmake g++ make ninja-build pkg-config
  librbd-dev librados-dev liburing-dev nlohmann-json3-dev nettle-dev nanopb libnanopb-dev
  libsqlite3-0 patchelf
  qemu-utils qemu-block-extra python3-rados python3-rbd
)
# For the tests.
test_packages=(
  apparmor binutils debootstrap dpkg-dev e2fsprogs etcd-server fio iproute2 jq libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu
  libvirt-daemon-driver-storage-rbd man-db qemu-system-x86 systemd util-linux
  ceph-common ceph-mgr ceph-mon ceph-osd
)

case $kind in
  run) ;;
  test) packages+=("${test_packages[@]}") ;;
  *) echo "setup.sh: unknown kind '$kind' (run or test)" >&2; exit 2 ;;
esac

if ! command -v node >/dev/null; then
  echo "setup.sh: node is not installed; cbd2rbd needs Node.js 20 or later" >&2; exit 1
fi
if ! node -e 'process.exit(+process.versions.node.split(".")[0] >= 20 ? 0 : 1)'; then
  echo "setup.sh: Node.js is $(node --version); cbd2rbd needs 20 or later" >&2; exit 1
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "==> Installing Debian packages: ${missing[*]}"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "setup.sh: these need root to install; run it as root once" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "${missing[@]}" >/dev/null
fi

# node_modules/.package-lock.json is npm's record of what it installed; older than the lock file means out of date.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  echo "==> Installing npm packages"
  npm ci --no-audit --no-fund --loglevel=error
fi
