#!/usr/bin/env bash
# Sets up, builds (plain, ASan+UBSan, TSan) and runs every test. Arguments: parts of test file names, to run only those.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh test
echo "==> Building"
bash tools/build.sh
echo "==> Building the native tests with AddressSanitizer and UndefinedBehaviorSanitizer"
bash tools/build.sh asan
echo "==> Building the native tests with ThreadSanitizer"
bash tools/build.sh tsan
echo "==> Testing"
exec node dist/tools/run-tests.js "$@"
