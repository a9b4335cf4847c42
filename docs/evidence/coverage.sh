#!/usr/bin/env bash
# Line coverage of format/, journal/, snapshot/ and recovery/ by the tests of the crate, without
# those that take minutes. Needs llvm-profdata and llvm-cov of the LLVM that rustc was built with
# (`rustc -vV` names it; Debian: llvm-22), here or as PROFDATA and COV.
#
#   docs/evidence/coverage.sh [directory] [arguments of the test runner]
set -euo pipefail
cd "$(dirname "$0")/../.."
version="$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')"
profdata="${PROFDATA:-llvm-profdata-$version}" cov="${COV:-llvm-cov-$version}"
out="$(mkdir -p "${1:-${TMPDIR:-/tmp}/coverage}" && cd "${1:-${TMPDIR:-/tmp}/coverage}" && pwd)"
shift || true
tests=(--lib)
for test in bad_input concurrency format_doc format_lies format_properties format_total golden \
    reader_edges readme recovery_edges recovery_places recovery_rows smoke; do
    tests+=(--test "$test")
done
export CARGO_TARGET_DIR="$out/target" RUSTFLAGS="-Cinstrument-coverage"
rm -rf "$out/raw"
LLVM_PROFILE_FILE="$out/build-%m.profraw" cargo test -p turnkeep --no-run "${tests[@]}" 2>"$out/build.log"
LLVM_PROFILE_FILE="$out/raw/%p.profraw" cargo test -p turnkeep "${tests[@]}" -- "$@"
"$profdata" merge -sparse "$out"/raw/*.profraw -o "$out/all.profdata"
objects=()
for binary in $(grep -o "($CARGO_TARGET_DIR[^)]*)" "$out/build.log" | tr -d '()'); do
    objects+=(-object "$binary")
done
"$cov" report -instr-profile "$out/all.profdata" "${objects[@]:1}" \
    -ignore-filename-regex='(tests?|lies|testing|random)(\.rs|/)|/registry/|rustc|^.*/(storage|model)/' \
    -show-region-summary=false -show-functions=false -show-branch-summary=false
