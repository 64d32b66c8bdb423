#!/usr/bin/env bash
# Sets up, builds, and measures speed side by side. Arguments: sections to run (none: all of them).
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh test
echo "==> Building"
bash tools/build.sh
exec node --enable-source-maps dist/bench/bench.js "$@"
