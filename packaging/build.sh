#!/usr/bin/env bash
# Builds the Debian packages into build/packages/ from a clean checkout:
#   cbd2rbd          the daemon, the admin CLI, the systemd unit, the configuration file, rules for AppArmor
#   cbd2rbd-librbd   our librbd.so.1 and librados.so.2 in place of Ceph's, which are diverted
#   cbd2rbd-hooks    our ceph and rbd in place of Ceph's, which are diverted
#   cbd2rbd-preload  the libraries beside Ceph's, and emulators for libvirt that preload them
#   cbd2rbd-node     the Node.js of this machine for the daemon alone, for hosts whose own is older than 20; only where this machine's
#                    is one file that needs nothing but the C and C++ libraries, and has its license beside it
# Says the packages' paths, one a line, at the end. `build.sh --built` packs what is built already, where that was not done before.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != --built ]; then
  bash tools/setup.sh run >&2
  bash tools/build.sh >&2
fi

version=$(node -p 'require("./package.json").version')
architecture=$(dpkg --print-architecture)
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
out=build/packages
mkdir -p build
exec 9>build/.packages.lock
flock 9
stamp=$out/.built
if [ "${1:-}" = --built ] && [ -e "$stamp" ] && [ -z "$(find packaging package.json dist/src dist/tools build/lib build/bin/hooks -type f -newer "$stamp" | head -n 1)" ]; then
  ls -1 "$out"/*.deb
  exit 0
fi
rm -rf "$out"
mkdir -p "$out"

# shared_dependencies FILE...: the Debian packages that the ELF files need, as a Depends list.
shared_dependencies() {
  local scratch; scratch=$(mktemp -d)
  mkdir "$scratch/debian"
  printf 'Source: cbd2rbd\n\nPackage: cbd2rbd\nArchitecture: any\n' >"$scratch/debian/control"
  local files=(); for file in "$@"; do files+=("$PWD/$file"); done
  # Our own libraries are in no package yet; what they need is asked of each of them.
  (cd "$scratch" && dpkg-shlibdeps --ignore-missing-info -O -l"$OLDPWD/build/lib" "${files[@]}" 2>/dev/null) |
    sed -n 's/^shlibs:Depends=//p' | sed -E 's/(^|, )(librados2|librbd1)( \([^)]*\))?//g; s/^, //'
  rm -rf "$scratch"
}

# finish NAME FIELDS DESCRIPTION [COMPRESSION]: writes control (FIELDS are lines of it) and packs the staged tree.
finish() {
  local name=$1 fields=$2 description=$3 compression=${4:-xz} tree=$out/$1
  mkdir -p "$tree/DEBIAN"
  [ -e "$tree/usr/share/doc/$name/copyright" ] || install -D -m 0644 packaging/copyright "$tree/usr/share/doc/$name/copyright"
  cat >"$tree/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: $architecture
Maintainer: the cbd2rbd founders <founders@cbd2rbd.invalid>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)
$fields
Description: $description
CONTROL
  chmod -R u=rwX,go=rX "$tree"
  chmod 0755 "$tree"/DEBIAN/{pre,post}{inst,rm} 2>/dev/null || :
  dpkg-deb --root-owner-group "-Z$compression" --build "$tree" "$out/${name}_${version}_${architecture}.deb" >&2
  rm -rf "$tree"
}

# manuals TREE PAGE...: installs manual pages, compressed, by their sections.
manuals() {
  local tree=$1 page section; shift
  for page in "$@"; do
    section=$tree/usr/share/man/man${page##*.}
    install -d "$section"
    gzip -9n <"$page" >"$section/$(basename "$page").gz"
  done
}

# libraries FOLDER: installs librbd and librados there.
libraries() {
  install -d "$1"
  cp -L build/lib/librbd.so.1 build/lib/librados.so.2 "$1/"
  strip --strip-unneeded "$1"/*.so.*
}

pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
node dist/tools/man-pages.js "$pages"

# --- cbd2rbd
tree=$out/cbd2rbd
home=$tree/usr/lib/cbd2rbd
install -d "$home/build/lib" "$home/node_modules" "$home/shim/rados" "$tree/usr/bin" "$tree/etc/cbd2rbd" "$tree/lib/systemd/system"
cp package.json "$home/"
cp -r dist/src "$home/dist-src" && install -d "$home/dist" && mv "$home/dist-src" "$home/dist/src"
# koffi carries its binary for every system; the package is for one.
cp -r node_modules/koffi "$home/node_modules/koffi"
find "$home/node_modules/koffi/build/koffi" -mindepth 1 -maxdepth 1 ! -name "linux_$(node -p process.arch)" -exec rm -rf {} +
rm -rf "$home/node_modules/koffi/"{src,vendor,doc}
cp -L build/lib/cbd2rbd.node "$home/build/lib/"
# `cbd2rbd image move` runs it over the librbd that is installed.
install -D -s build/bin/hooks/cbd2rbd-move "$home/build/bin/hooks/cbd2rbd-move"
patchelf --remove-rpath "$home/build/bin/hooks/cbd2rbd-move"
cp shim/rados/option_table.inc "$home/shim/rados/"
cat >"$tree/usr/bin/cbd2rbd" <<'WRAPPER'
#!/bin/sh
node=/usr/lib/cbd2rbd/bin/node
[ -x "$node" ] || node=node
exec "$node" /usr/lib/cbd2rbd/dist/src/cli/cbd2rbd.js "$@"
WRAPPER
chmod 0755 "$tree/usr/bin/cbd2rbd"
node dist/src/cli/cbd2rbd.js config show --default | sed 's/^#listen_group = $/listen_group = cbd2rbd/' >"$tree/etc/cbd2rbd/cbd2rbd.conf"
grep -qx 'listen_group = cbd2rbd' "$tree/etc/cbd2rbd/cbd2rbd.conf"
{ cat packaging/copyright; printf '\nFiles: usr/lib/cbd2rbd/node_modules/koffi/*\nCopyright: see below\nLicense: Expat\n'
  sed 's/^$/./; s/^/ /' node_modules/koffi/LICENSE.txt; } | install -D -m 0644 /dev/stdin "$tree/usr/share/doc/cbd2rbd/copyright"
cp packaging/daemon/cbd2rbd.service "$tree/lib/systemd/system/"
install -D -m 0644 packaging/apparmor/cbd2rbd "$tree/etc/apparmor.d/abstractions/cbd2rbd"
install -d "$tree/usr/share/bash-completion/completions"
node dist/src/cli/cbd2rbd.js completion bash >"$tree/usr/share/bash-completion/completions/cbd2rbd"
manuals "$tree" "$pages"/cbd2rbd*
install -d "$tree/DEBIAN"
printf '%s\n' /etc/cbd2rbd/cbd2rbd.conf /etc/apparmor.d/abstractions/cbd2rbd >"$tree/DEBIAN/conffiles"
# libvirt's profile, and what brings the users of the socket's group.
printf 'interest-noawait %s\n' /etc/apparmor.d/abstractions/libvirt-qemu /usr/sbin/libvirtd /usr/bin/{glance-api,cinder-volume,cinder-backup,nova-compute} \
  >"$tree/DEBIAN/triggers"
cp packaging/daemon/{postinst,prerm,postrm} "$tree/DEBIAN/"
finish cbd2rbd "Depends: cbd2rbd-node | nodejs (>= 20), passwd, libsqlite3-0, $(shared_dependencies build/lib/cbd2rbd.node)
Recommends: cbd2rbd-librbd | cbd2rbd-preload, cbd2rbd-hooks" \
  "Ceph RBD clients on CurveBS or local files: the daemon
 Holds what RBD clients see (pools, images, snapshots, users) and maps it onto
 CurveBS directories and volumes, or onto sparse files. Data does not pass
 through it."

# --- cbd2rbd-librbd
tree=$out/cbd2rbd-librbd
libraries "$tree/usr/lib/$multiarch"
install -d "$tree/DEBIAN"
for script in preinst postrm; do sed "s/@MULTIARCH@/$multiarch/" "packaging/librbd/$script" >"$tree/DEBIAN/$script"; done
echo "activate-noawait ldconfig" >"$tree/DEBIAN/triggers"
finish cbd2rbd-librbd "Depends: $(shared_dependencies build/lib/librbd.so.1 build/lib/librados.so.2)" \
  "Ceph RBD clients on CurveBS or local files: librbd and librados
 Takes the place of Ceph's librbd.so.1 and librados.so.2. Those, where they are
 installed, are diverted to the folder in which Ceph's own programs look first,
 so that rbd, rados and the daemons of Ceph go on using them."

# --- cbd2rbd-hooks
tree=$out/cbd2rbd-hooks
install -d "$tree/usr/bin" "$tree/DEBIAN"
for name in ceph rbd; do
  install -s "build/bin/hooks/$name" "$tree/usr/bin/$name"
  patchelf --remove-rpath "$tree/usr/bin/$name"
done
cp packaging/hooks/{preinst,postrm} "$tree/DEBIAN/"
finish cbd2rbd-hooks "Depends: cbd2rbd-librbd (= $version), $(shared_dependencies build/bin/hooks/ceph build/bin/hooks/rbd)" \
  "Ceph RBD clients on CurveBS or local files: ceph and rbd
 Takes the place of Ceph's commands ceph and rbd, which OpenStack's services run.
 Those, where they are installed, go on as ceph.distrib and rbd.distrib."

# --- cbd2rbd-preload
tree=$out/cbd2rbd-preload
libraries "$tree/usr/lib/cbd2rbd/preload"
install -d "$tree/usr/bin"
install -s build/bin/hooks/cbd2rbd-qemu "$tree/usr/bin/cbd2rbd-qemu-system-$(uname -m)"
finish cbd2rbd-preload "Depends: $(shared_dependencies build/lib/librbd.so.1 build/lib/librados.so.2)" \
  "Ceph RBD clients on CurveBS or local files: libraries for LD_PRELOAD
 The same libraries in a folder of their own, for hosts where Ceph's librbd and
 librados stay in place, and emulators for libvirt that preload them into QEMU."

# --- cbd2rbd-node
node=$(readlink -f "$(command -v node)")
license=
for file in /usr/share/doc/nodejs/LICENSE "${node%/bin/node}/LICENSE"; do if [ -e "$file" ]; then license=$file; break; fi; done
# Whatever is needed beyond the C and C++ libraries, such as a libnode.so.
needs=$(patchelf --print-needed "$node" | grep -vE '^(ld-linux|lib(c|m|dl|pthread|rt|gcc_s|stdc\+\+)\.so)' || :)
if [ -n "$license" ] && [ -z "$needs" ]; then
  tree=$out/cbd2rbd-node
  install -D -m 0755 "$node" "$tree/usr/lib/cbd2rbd/bin/node"
  install -D -m 0644 "$license" "$tree/usr/share/doc/cbd2rbd-node/copyright"
  relative=$(realpath --relative-to=. "$tree/usr/lib/cbd2rbd/bin/node")
  finish cbd2rbd-node "Depends: $(shared_dependencies "$relative")" \
    "Ceph RBD clients on CurveBS or local files: Node.js for the daemon
 Node.js $(node --version) as the machine had it that built these packages, in a
 folder of the daemon's own: nobody else finds it. Not needed where the package
 nodejs is of version 20 or later." zstd
else
  echo "build.sh: no package cbd2rbd-node: ${needs:+$node needs }${needs:-$node has no license beside it}" >&2
fi

touch "$stamp"
ls -1 "$out"/*.deb
