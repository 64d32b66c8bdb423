#!/usr/bin/env bash
# Builds everything into dist/ (TypeScript) and build/ (C++). `build.sh asan|tsan` builds the native tests, and what they
# need, with a sanitizer into build-asan/ or build-tsan/.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-}

# cmake-js would fetch Node's headers; use the ones that came with this Node where they are there.
node_prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
if [ -f "$node_prefix/include/node/node_api.h" ]; then export npm_config_nodedir=$node_prefix; fi

npx tsc -p tsconfig.json
node dist/tools/abi-generate.js
node dist/tools/hooks-help.js
case $kind in
  '') out=build options=() ;;
  asan) out=build-asan options=(--target native_tests --CDCBD_SANITIZE=address) ;;
  tsan) out=build-tsan options=(--target native_tests --CDCBD_SANITIZE=thread) ;;
  *) echo "build.sh: unknown kind '$kind' (asan, tsan, or nothing)" >&2; exit 2 ;;
esac
# The compiler's progress goes to a log; it is shown where something failed.
mkdir -p "$out"
if ! npx cmake-js build --out "$out" --log-level notice --parallel "$(nproc)" "${options[@]}" >"$out/build.log" 2>&1; then
  tail -n 60 "$out/build.log" >&2
  echo "build.sh: the build failed; all of its output is in $out/build.log" >&2
  exit 1
fi
