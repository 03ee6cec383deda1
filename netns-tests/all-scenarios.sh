#!/usr/bin/env bash
# Plays the scenarios on the real kernel (`twinbeat drill FILE`), several pairs at once, each beside virtual time, and says what came of each;
# docs/DRILLS.md says what is compared.
#
#   netns-tests/all-scenarios.sh [-j JOBS] [-m SECONDS] [-o DIR] [-r] [FILE...]
#
#   -j  how many at once (default 4); each has namespaces of its own, and the processor is what they share
#   -m  longer stories are left out (default 300 s)
#   -o  where the results are kept (default target/drilled): for each scenario NAME.result, one line; NAME.txt, what the drill said; NAME.html, its
#       report. What has a result there is not played again, so that an interrupted round goes on where it was. Remove the folder to begin anew.
#   -r  plays again what did not pass: with -j 1, that tells a difference from a busy machine
#
# The last line counts; the exit code is 0 only when every scenario that could be played passed. TWINBEAT=FILE: this program instead of a new build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

jobs=4
longest=300
kept=target/drilled
again=no
while getopts j:m:o:r option; do
    case $option in
        j) jobs=$OPTARG ;;
        m) longest=$OPTARG ;;
        o) kept=$OPTARG ;;
        r) again=yes ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- scenarios

if [ -z "${TWINBEAT:-}" ]; then
    cargo build --release --bin twinbeat < /dev/null
    TWINBEAT=target/release/twinbeat
fi
mkdir -p "$kept"
export TWINBEAT kept

# One scenario: its file, its length in seconds. Nothing that goes wrong here ends the round.
play() {
    local file=$1 seconds=$2 name result late why
    name=$(basename "$file" .json)
    "$TWINBEAT" drill --report "$kept/$name.html" "$file" > "$kept/$name.txt" 2>&1 < /dev/null || true
    result=$(sed -n "s/^ *$name: \(PASS\|FAIL\)\$/\1/p" "$kept/$name.txt" | head -n 1)
    late=$(sed -n 's/.*the probe itself was late by \(.*\) at the most$/\1/p' "$kept/$name.txt" | head -n 1)
    why=
    if [ "$result" != PASS ]; then
        why=$(grep -m 1 -E '^ {14}(.*: \{|.*the owners were|\{|.*refused |.*became the owner|.*two nodes answered)' "$kept/$name.txt" || tail -n 1 "$kept/$name.txt")
    fi
    printf '%s\t%s\t%s s\tlate %s\t%s\n' "$name" "${result:-FAIL}" "$seconds" "${late:-?}" "$(echo $why)" > "$kept/$name.new"
    mv "$kept/$name.new" "$kept/$name.result"
    cat "$kept/$name.result"
}
export -f play

# FILE, SECONDS, and why it cannot be played, if it cannot.
list=$("$TWINBEAT" drill --list "$@")
todo=()
here=()
while IFS=$'\t' read -r file seconds why; do
    name=$(basename "$file" .json)
    here+=("$name")
    if [ -n "$why" ]; then
        printf '%s\tNOT HERE\t%s s\t\t%s\n' "$name" "$seconds" "$why" | tee "$kept/$name.result"
    elif [ "$seconds" -gt "$longest" ]; then
        printf '%s\tLEFT OUT\t%s s\t\tlonger than %s s\n' "$name" "$seconds" "$longest" | tee "$kept/$name.result"
    elif [ ! -e "$kept/$name.result" ] || { [ $again = yes ] && ! cut -f 2 "$kept/$name.result" | grep -qx PASS; }; then
        todo+=("$file" "$seconds")
    fi
done <<< "$list"
# Long ones first: the round ends sooner.
if [ ${#todo[@]} -gt 0 ]; then
    printf '%s %s\n' "${todo[@]}" | sort -k 2 -n -r | xargs -P "$jobs" -n 2 bash -c 'play "$@"' play
fi

for name in "${here[@]}"; do cat "$kept/$name.result"; done | awk -F '\t' '
    { count[$2]++; if ($2 == "FAIL") failed = failed " " $1 }
    END {
        printf "%d scenarios: %d passed, %d failed, %d not on the real kernel, %d left out\n", NR, count["PASS"], count["FAIL"], count["NOT HERE"], count["LEFT OUT"]
        if (failed) print "failed:" failed
        exit count["FAIL"] > 0
    }'
