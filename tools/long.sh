#!/usr/bin/env bash
# Runs the tests that are too long for npm test (test/**/*.long.ts). Arguments: parts of their names.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh test
echo "==> Building"
bash tools/build.sh
echo "==> Testing"
exec node dist/tools/run-tests.js --long "$@"
