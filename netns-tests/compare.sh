#!/usr/bin/env bash
# Compares twinbeat with keepalived and heartbeat 3 (the distribution's packages) under the faults of the drill, on the drill's lab and
# with its probe, at equal detection time. Prints the table; docs/DRILLS.md says how to read it.
#
#   netns-tests/compare.sh [-n RUNS] [-o FILE] [-c "CONTENDER..."] [FAULT...]
#
#   -n  how often each fault is measured with each contender (default 1); the table shows medians
#   -o  where the measurements are kept, a JSON line each (default target/comparison.jsonl). They are appended: what an earlier run
#       measured counts as well, so that a comparison can be done in pieces. Remove the file to begin anew.
#   -c  which contenders: twinbeat keepalived keepalived-fault keepalived-cable heartbeat (default all)
#
# All faults take about 45 minutes a run. Needs root and Debian's packages; installs what is absent. None of the daemons is started outside the lab's namespaces.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

runs=1
record=target/comparison.jsonl
contenders="twinbeat keepalived keepalived-fault keepalived-cable heartbeat"
while getopts n:o:c: option; do
    case $option in
        n) runs=$OPTARG ;;
        o) record=$OPTARG ;;
        c) contenders=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))

if [ "$(id -u)" -ne 0 ]; then
    echo "the comparison needs root: the other daemons change users" >&2
    exit 1
fi
missing=()
for package in nginx-light:nginx nftables:nft iproute2:ip keepalived:keepalived heartbeat:cl_status; do
    command -v "${package#*:}" > /dev/null || missing+=("${package%:*}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get > /dev/null; then
        echo "not installed, and no apt-get here: ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update < /dev/null
    # A package's daemon must not start on this machine: it runs in the lab only. An existing policy is the administrator's.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' > $policy
        chmod 755 $policy
        trap 'rm -f $policy' EXIT
    fi
    apt-get install -y --no-install-recommends "${missing[@]}" < /dev/null
fi

cargo build --release --bin twinbeat < /dev/null
twinbeat=target/release/twinbeat
if [ $# -eq 0 ]; then
    mapfile -t faults < <($twinbeat drill --list | awk '{ print $1 }')
    set -- "${faults[@]}"
fi
failed=0
for run in $(seq "$runs"); do
    for fault in "$@"; do
        for contender in $contenders; do
            echo "run $run of $runs: $fault, $contender" >&2
            # One that cannot be measured must not cost the others theirs; it is said, and the exit code remembers it.
            $twinbeat compare --contender "$contender" --fault "$fault" --record "$record" > /dev/null < /dev/null || failed=1
        done
    done
done
$twinbeat compare --table "$record"
exit $failed
