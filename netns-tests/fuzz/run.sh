#!/usr/bin/env bash
# Coverage-guided fuzzing: netns-tests/fuzz/run.sh [SECONDS [TARGET...]], by default 60 s of each target, one target a CPU at a time. For hours:
# netns-tests/fuzz/run.sh 14400. It needs a C++ compiler, and fetches libfuzzer-sys. What is found lies in target/fuzz/found and is printed; mend it, and
# keep the input, small, under netns-tests/inputs/TARGET, from where every run and netns-tests/fuzz.rs begin.
# FUZZ_SEED=N begins the dice at N, as the tests do, whose verdict must not hang on them; without it each run throws others.
# FUZZ_TIMEOUT=N calls an input a finding that takes N seconds (20), by the clock: more where others want the processors.
# The last line is "fuzzing: N targets without a finding, M with one".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-60}
shift || true
if [ $# -gt 0 ]; then
    targets=("$@")
else
    # The slow ones first.
    targets=(journal scenario config keepalived heartbeat agent body frame control key netlink nginx public record state)
fi
root=$PWD/../..
out=${CARGO_TARGET_DIR:-$root/target}/fuzz
mkdir -p "$out/found" "$out/said"

# The coverage that libFuzzer wants of a stable compiler; no sanitizer, since there is no unsafe code where bytes are read.
coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=4 --cfg fuzzing'
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$coverage cargo build --release --quiet --target "$triple" --target-dir "$out/build"

fuzz() {
    local target=$1 seeds=("$out/corpus/$1") folder
    mkdir -p "${seeds[0]}"
    case $target in
        config) seeds+=("$root/scenarios/pairs" "$root/dist") ;;
        keepalived) seeds+=("$root/src/import/inputs/keepalived") ;;
        scenario) seeds+=("$root/scenarios") ;;
    esac
    folder=$root/netns-tests/inputs/$target
    if [ -d "$folder" ]; then seeds+=("$folder"); fi
    TWINBEAT_FUZZ_TARGET=$target "$out/build/$triple/release/twinbeat-fuzz" -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" -max_len=16384 -timeout="${FUZZ_TIMEOUT:-20}" \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 -artifact_prefix="$out/found/$target-" "${seeds[@]}" > "$out/said/$target" 2>&1
}

# One target after the other in each of as many rows as there are CPUs.
status=0
printf '%s\n' "${targets[@]}" > "$out/waiting"
row() {
    local target
    while target=$(flock "$out/waiting" sh -c 'head -n 1 "$1" && sed -i 1d "$1"' sh "$out/waiting") && [ -n "$target" ]; do
        if fuzz "$target"; then touch "$out/said/$target.passed"; fi
    done
}
rm -f "$out"/said/*.passed
for _ in $(seq "$(nproc)"); do row & done
wait

passed=0
for target in "${targets[@]}"; do
    echo "== $target"
    grep -E 'ERROR|panicked|SUMMARY|Test unit|number_of_executed|new_units' "$out/said/$target" || true
    if [ -e "$out/said/$target.passed" ] && ! compgen -G "$out/found/$target-*" > /dev/null; then
        passed=$((passed + 1))
    else
        status=1
        tail -n 5 "$out/said/$target"
    fi
done
echo "fuzzing: $passed targets without a finding, $((${#targets[@]} - passed)) with one"
exit "$status"
