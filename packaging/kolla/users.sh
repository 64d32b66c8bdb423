#!/usr/bin/env bash
# Makes the pools and users that globals.yml names, and lays keyrings and ceph.conf where kolla-ansible takes them from. Run it on the
# host where the daemon runs; run again, it writes the same keys.
#   packaging/kolla/users.sh BACKEND [CONFIG]      BACKEND: local, or curvebs:/DIR (pools become folders in it); CONFIG: /etc/kolla/config
set -euo pipefail
here=$(dirname "$0")
if [ $# -lt 1 ]; then sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
backend=$1 config=${2:-/etc/kolla/config}

for pool in images volumes backups vms; do
  cbd2rbd pool show "$pool" >/dev/null 2>&1 && continue
  case $backend in
    curvebs:*) cbd2rbd pool map "$pool" "$backend/$pool" ;;
    *) cbd2rbd pool map "$pool" "$backend" ;;
  esac
done

# user NAME CAPS FOLDER...: makes him where he is not there, and lays his keyring into the folders.
user() {
  local name=$1 caps=$2 folder; shift 2
  cbd2rbd user keyring "$name" >/dev/null 2>&1 || cbd2rbd user add "$name" mon 'profile rbd' osd "$caps" >/dev/null
  for folder in "$@"; do
    mkdir -p "$config/$folder"
    cbd2rbd user keyring "$name" --output "$config/$folder/ceph.client.$name.keyring"
  done
}
user glance 'profile rbd pool=images' glance
user cinder 'profile rbd pool=volumes, profile rbd pool=vms, profile rbd pool=images' cinder/cinder-volume cinder/cinder-backup nova
user cinder-backup 'profile rbd pool=backups' cinder/cinder-backup
user nova 'profile rbd pool=vms, profile rbd pool=volumes, profile rbd-read-only pool=images' nova
for folder in glance cinder nova; do
  mkdir -p "$config/$folder"
  cp "$here/ceph.conf" "$config/$folder/ceph.conf"
done
