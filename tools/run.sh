#!/usr/bin/env bash
# Sets up, builds, and runs one of our programs that is no part of the tests: run.sh PROGRAM.js [ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh test
echo "==> Building"
bash tools/build.sh
exec node --enable-source-maps "$@"
