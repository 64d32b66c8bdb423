#!/usr/bin/env bash
# The first command: sets up, builds, starts a daemon on local sparse files, and shows stock programs using it.
# Everything it makes lies in .demo/ (or in the folder that CBD2RBD_DEMO names). Run again, it goes on with what is there.
set -euo pipefail
cd "$(dirname "$0")/.."
demo=$(realpath -m "${CBD2RBD_DEMO:-.demo}")

bash tools/setup.sh run
echo "==> Building"
bash tools/build.sh

say() { printf '\n$ %s\n' "$*"; "$@"; }
cli() { node dist/src/cli/cbd2rbd.js --dir "$demo" "$@"; }

mkdir -p "$demo"
if cli status >/dev/null 2>&1; then
  echo "==> The daemon is running already"
else
  echo "==> Starting the daemon"
  # serve says "ready" on its standard output when clients can connect, and goes on without a terminal.
  mkfifo "$demo/ready.$$"
  setsid node dist/src/cli/cbd2rbd.js --dir "$demo" serve </dev/null >"$demo/ready.$$" 2>>"$demo/daemon.log" &
  if ! grep -q -m1 ready <"$demo/ready.$$"; then
    rm -f "$demo/ready.$$"; echo "start.sh: the daemon did not start; $demo/daemon.log says why:" >&2
    tail -n 5 "$demo/daemon.log" >&2; exit 1
  fi
  rm -f "$demo/ready.$$"
fi

export CEPH_CONF=$demo/ceph.conf LD_LIBRARY_PATH=$PWD/build/lib
python=/usr/bin/python3 # Debian's: the one that python3-rbd is for

if "$python" -c 'import rados, rbd
with rados.Rados(conffile="") as cluster, cluster.open_ioctx("rbd") as pool:
    if "demo" in rbd.RBD().list(pool): rbd.RBD().remove(pool, "demo")'; then :; else
  echo "start.sh: the pool rbd could not be used" >&2; exit 1
fi

echo
echo "==> Stock programs that know only Ceph RBD, on local files"
say qemu-img create -f raw rbd:rbd/demo 1G
say qemu-img info rbd:rbd/demo
say qemu-io -f raw -c 'write -P 0xcb 512 1M' -c 'read -v 512 16' -c 'read -P 0xcb 512 1M' rbd:rbd/demo
say "$python" -c 'import rados, rbd
with rados.Rados(conffile="") as cluster, cluster.open_ioctx("rbd") as pool:
    for name in rbd.RBD().list(pool):
        with rbd.Image(pool, name, read_only=True) as image: print(name, image.size())'

cat <<TEXT

==> The daemon goes on running. To use it from another shell:

export CEPH_CONF=$demo/ceph.conf
export LD_LIBRARY_PATH=$PWD/build/lib

It ends with:  node $PWD/dist/src/cli/cbd2rbd.js --dir $demo stop
TEXT
