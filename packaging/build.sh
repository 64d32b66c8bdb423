#!/usr/bin/env bash
# Builds the Debian packages into build/packages/ from a clean checkout:
#   cbd2rbd          the daemon, the admin CLI, the systemd unit, the configuration file
#   cbd2rbd-librbd   our librbd.so.1 and librados.so.2 in place of Ceph's, which are diverted
# Says the packages' paths, one a line, at the end. `build.sh --built` packs what is built already.
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

# finish NAME DEPENDS DESCRIPTION: writes control and md5sums from packaging/NAME.* and the staged tree, and packs it.
finish() {
  local name=$1 depends=$2 description=$3 tree=$out/$1
  mkdir -p "$tree/DEBIAN"
  cat >"$tree/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: $architecture
Maintainer: the cbd2rbd founders <founders@cbd2rbd.invalid>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)
Depends: $depends
Description: $description
CONTROL
  chmod -R u=rwX,go=rX "$tree"
  chmod 0755 "$tree"/DEBIAN/{pre,post}{inst,rm} 2>/dev/null || :
  dpkg-deb --root-owner-group -Zxz --build "$tree" "$out/${name}_${version}_${architecture}.deb" >&2
  rm -rf "$tree"
}

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
cp shim/rados/option_table.inc "$home/shim/rados/"
cat >"$tree/usr/bin/cbd2rbd" <<'WRAPPER'
#!/bin/sh
exec node /usr/lib/cbd2rbd/dist/src/cli/cbd2rbd.js "$@"
WRAPPER
chmod 0755 "$tree/usr/bin/cbd2rbd"
node dist/src/cli/cbd2rbd.js config show --default >"$tree/etc/cbd2rbd/cbd2rbd.conf"
cp packaging/daemon/cbd2rbd.service "$tree/lib/systemd/system/"
install -d "$tree/DEBIAN"
echo /etc/cbd2rbd/cbd2rbd.conf >"$tree/DEBIAN/conffiles"
cp packaging/daemon/{postinst,prerm,postrm} "$tree/DEBIAN/"
finish cbd2rbd "nodejs (>= 20), libsqlite3-0, $(shared_dependencies build/lib/cbd2rbd.node)" \
  "Ceph RBD clients on CurveBS or local files: the daemon
 Holds what RBD clients see (pools, images, snapshots, users) and maps it onto
 CurveBS directories and volumes, or onto sparse files. Data does not pass
 through it."

# --- cbd2rbd-librbd
tree=$out/cbd2rbd-librbd
libraries=$tree/usr/lib/$multiarch
install -d "$libraries" "$tree/DEBIAN"
cp -L build/lib/librbd.so.1 build/lib/librados.so.2 "$libraries/"
strip --strip-unneeded "$libraries"/*.so.*
for script in preinst postrm; do sed "s/@MULTIARCH@/$multiarch/" "packaging/librbd/$script" >"$tree/DEBIAN/$script"; done
echo "activate-noawait ldconfig" >"$tree/DEBIAN/triggers"
finish cbd2rbd-librbd "$(shared_dependencies build/lib/librbd.so.1 build/lib/librados.so.2)" \
  "Ceph RBD clients on CurveBS or local files: librbd and librados
 Takes the place of Ceph's librbd.so.1 and librados.so.2. Those, where they are
 installed, are diverted to the folder in which Ceph's own programs look first,
 so that rbd, rados and the daemons of Ceph go on using them."

ls -1 "$out"/*.deb
