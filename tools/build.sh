#!/usr/bin/env bash
# Builds everything into dist/ (TypeScript) and build/ (C++). `build.sh asan|tsan` builds the C++ with a sanitizer into build-asan/ or build-tsan/.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-}

# cmake-js would fetch Node's headers; use the ones that came with this Node where they are there.
node_prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
if [ -f "$node_prefix/include/node/node_api.h" ]; then export npm_config_nodedir=$node_prefix; fi

npx tsc -p tsconfig.json
if [ -f dist/tools/abi-generate.js ]; then node dist/tools/abi-generate.js; fi
case $kind in
  '') npx cmake-js build --out build --log-level notice --parallel "$(nproc)" ;;
  asan) npx cmake-js build --out build-asan --log-level notice --parallel "$(nproc)" --CDCBD_SANITIZE=address ;;
  tsan) npx cmake-js build --out build-tsan --log-level notice --parallel "$(nproc)" --CDCBD_SANITIZE=thread ;;
  *) echo "build.sh: unknown kind '$kind' (asan, tsan, or nothing)" >&2; exit 2 ;;
esac
