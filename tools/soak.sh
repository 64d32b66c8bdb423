#!/usr/bin/env bash
# The long forms of the randomised tests: builds plain and with each sanitizer, then runs every model test with 1,000,000
# operations (or as many as the first argument says), thousands of power losses, and fio over changing layers.
#   soak.sh [OPERATIONS [KIND...]]    KIND: plain, asan, tsan, load (all of them by default)
set -euo pipefail
cd "$(dirname "$0")/.."
operations=${1:-1000000}
kinds=("${@:2}")
[ ${#kinds[@]} -gt 0 ] || kinds=(plain asan tsan load)
bash tools/setup.sh test
echo "==> Building"
bash tools/build.sh
for kind in "${kinds[@]}"; do
  case $kind in
    plain) bin=build/bin losses=30000 ;;
    asan|tsan)
      echo "==> Building with the sanitizer $kind"
      bash tools/build.sh "$kind"
      bin=build-$kind/bin losses=3000 ;;
    load)
      echo "==> fio while snapshots come and go"
      node --enable-source-maps dist/test/rbd/under-load-main.js
      continue ;;
    *) echo "soak.sh: unknown kind '$kind' (plain, asan, tsan, load)" >&2; exit 2 ;;
  esac
  for program in "$bin"/native_*_model; do
    echo "==> $program $operations"
    "$program" "$operations"
  done
  echo "==> $bin/native_block_power_loss $losses"
  "$bin"/native_block_power_loss "$losses"
done
