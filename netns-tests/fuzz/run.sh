#!/usr/bin/env bash
# Coverage-guided fuzzing: netns-tests/fuzz/run.sh [SECONDS [TARGET...]], by default 60 s of each target. It needs a C++ compiler, and
# fetches libfuzzer-sys. For hours: netns-tests/fuzz/run.sh 14400. What is found lies in target/fuzz/found and is printed; mend it, and keep the input, small,
# under netns-tests/inputs/TARGET, from where every run and netns-tests/fuzz.rs begin.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-60}
shift || true
if [ $# -gt 0 ]; then targets=("$@"); else targets=(frame body public config request journal scenario state netlink); fi
root=$PWD/../..
out=${CARGO_TARGET_DIR:-$root/target}/fuzz
mkdir -p "$out/found"

# The coverage that libFuzzer wants of a stable compiler; no sanitizer, since there is no unsafe code where bytes are read.
coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=4 --cfg fuzzing'
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$coverage cargo build --release --quiet --target "$triple" --target-dir "$out/build"

status=0
for target in "${targets[@]}"; do
    seeds=("$out/corpus/$target")
    mkdir -p "${seeds[0]}"
    for folder in "$root/netns-tests/inputs/$target"; do
        [ -d "$folder" ] && seeds+=("$folder")
    done
    case $target in
        config) seeds+=("$root/scenarios/pairs") ;;
        scenario) seeds+=("$root/scenarios") ;;
    esac
    echo "== $target"
    TWINBEAT_FUZZ_TARGET=$target "$out/build/$triple/release/twinbeat-fuzz" -max_total_time="$seconds" -max_len=16384 -timeout=20 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 -artifact_prefix="$out/found/$target-" "${seeds[@]}" 2>&1 \
        | grep -E 'ERROR|panicked|SUMMARY|Test unit|number_of_executed|new_units' || status=1
    if compgen -G "$out/found/$target-*" > /dev/null; then status=1; fi
done
exit "$status"
