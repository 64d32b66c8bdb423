#!/usr/bin/env bash
# The long forms of the randomised tests: builds plain and with each sanitizer, then runs every model test with 1,000,000
# operations (or as many as the first argument says).
set -euo pipefail
cd "$(dirname "$0")/.."
operations=${1:-1000000}
bash tools/setup.sh test
for kind in '' asan tsan; do
  echo "==> Building ${kind:-plain}"
  bash tools/build.sh $kind
done
for program in build/bin/native_*_model build-asan/bin/native_*_model build-tsan/bin/native_*_model; do
  echo "==> $program $operations"
  "$program" "$operations"
done
