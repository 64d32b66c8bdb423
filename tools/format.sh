#!/usr/bin/env bash
# Formats C++ and TypeScript in place with clang-format (.clang-format says how).
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*.cc' '*.h' '*.ts' | xargs -r clang-format -i
