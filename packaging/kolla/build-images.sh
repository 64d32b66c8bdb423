#!/usr/bin/env bash
# Builds all layered images. Words in capitals are the operator's: where Kolla's images are, their tag, and where ours go.
#   packaging/kolla/build-images.sh FROM TAG TO      e.g. quay.io/openstack.kolla 2025.1-debian-bookworm registry.example/kolla
# Needs podman or docker, and `npm run packages` before. GID is the number of the group cbd2rbd on the hosts, by default this one's, or
# 951. With DRY_RUN=1 it prints the commands only.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# != 3 ]; then sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
from=$1 tag=$2 to=$3
gid=${GID:-$(getent group cbd2rbd | cut -d: -f3)}
engine=$(command -v podman || command -v docker || echo podman)
if [ -z "${DRY_RUN:-}" ] && ! compgen -G "build/packages/cbd2rbd-hooks_*.deb" >/dev/null; then
  echo "build-images.sh: no packages in build/packages; run: npm run packages" >&2; exit 1
fi

# service:user, as Kolla's images have them.
for image in glance-api:glance cinder-volume:cinder cinder-backup:cinder nova-compute:nova nova-libvirt:root; do
  name=${image%:*}
  ${DRY_RUN:+echo} "$engine" build -f packaging/kolla/Containerfile --build-arg "base=$from/$name:$tag" --build-arg "gid=${gid:-951}" --build-arg "user=${image#*:}" -t "$to/$name:$tag" build
done
