#!/usr/bin/env bash
# Installs what the tests need (as root, where apt is there) and runs all tests, those in network namespaces included.
# As an ordinary user nothing is installed, and the tests in namespaces use a user namespace where the kernel allows one.
# The last line is "N passed, M failed"; the exit code is 0 only when nothing failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# Three kinds of test programs. What only computes runs beside the others, behind everything else; what floods or emulates runs by itself; the rest, pairs in
# namespaces of their own that mostly wait, in two rows, the long ones first.
computes=" twinbeat twinbeat_config twinbeat_control twinbeat_core twinbeat_effect twinbeat_import twinbeat_journal twinbeat_picture twinbeat_say
    twinbeat_sim twinbeat_whatif twinbeat_wire bite documented explore fuzz habits import scenarios sources "
alone=" attack bonds groups kernels scale "
long="failover systemd drills commands check cards gates ocf checks restart twinbeat_host"
# Daemons that are started again within their lease, 320 ms: where two pairs and their probes want the processors, some are not.
hurried="restart sigkill_supervised"

# Runs a test program in its package's folder, as cargo does, and prints what it said in one piece. One that breaks off counts as a failure.
run_one() {
    local name=$1 folder=$2 program=$3 said began=$SECONDS
    shift 3
    said=$(mktemp)
    if ! (cd "$folder" && CARGO_MANIFEST_DIR=$folder "$program" "$@") < /dev/null > "$said" 2>&1 && ! grep -q '^test result: FAILED' "$said"; then
        echo "test result: BROKEN. 0 passed; 1 failed: $name broke off" >> "$said"
    fi
    flock Cargo.toml sh -c 'echo "     Running $1 ($2 s)"; cat "$3"' sh "$name" "$((SECONDS - began))" "$said"
    rm -f "$said"
}

# Takes one line after the other out of a list of "NAME FOLDER PROGRAM ARGUMENTS" with tabs between them, together with other rows.
row() {
    local name folder program arguments
    while IFS=$'\t' read -r name folder program arguments < <(flock "$1" sh -c 'head -n 1 "$1" && sed -i 1d "$1"' sh "$1") && [ -n "$name" ]; do
        # shellcheck disable=SC2086
        run_one "$name" "$folder" "$program" $arguments
    done
}

# Behind everything else: in a session of its own, since the kernel shares the processors out among sessions first (sched_autogroup), and the least of
# them all. The nodes under test run whenever they have something to do, those in other machines' control groups too.
if [ "${1:-}" = --beside ]; then
    { echo 19 > /proc/self/autogroup; } 2> /dev/null || true
    if command -v chrt > /dev/null; then chrt --idle --pid 0 $$ > /dev/null || true; else renice 19 $$ > /dev/null; fi
    # Random schedules, the model check; each clause of docs/SAFETY.md taken out, one at a time: the checks have to see it; unit tests.
    row "$2"
    # Each reader of foreign bytes, guided by coverage, for a minute; more: netns-tests/fuzz/run.sh.
    if command -v c++ > /dev/null; then
        FUZZ_SEED=1 FUZZ_TIMEOUT=100 netns-tests/fuzz/run.sh 60
    else
        echo "not installed: a C++ compiler; the readers of foreign bytes are not fuzzed by coverage" >&2
    fi
    exit
fi

missing=()
command -v nginx > /dev/null || missing+=(nginx-light)
command -v nft > /dev/null || missing+=(nftables)
command -v ip > /dev/null || missing+=(iproute2)
# What agents for fencing are written with.
/usr/bin/python3 -c 'import pexpect, pycurl' 2> /dev/null || missing+=(python3-pexpect python3-pycurl)
# Two machines with real systemd (netns-tests/systemd.rs): as root only.
if [ "$(id -u)" -eq 0 ]; then
    command -v debootstrap > /dev/null || missing+=(debootstrap)
    command -v systemd-nspawn > /dev/null || missing+=(systemd-container)
fi
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update < /dev/null
        apt-get install -y --no-install-recommends "${missing[@]}" < /dev/null
    else
        echo "not installed and not installable from here: ${missing[*]}; what needs them says so" >&2
    fi
fi

# Machines with kernels of their own (netns-tests/qemu): QEMU and kernels, unpacked here and not installed, so that nothing of this machine is replaced.
fetch_machines() {
    local kernels names package
    # The distribution's own kernel, and a newer one where it has one beside it.
    kernels=$(apt-cache depends linux-image-cloud-amd64 linux-image-6.12-cloud-amd64 | awk '/Depends: linux-image/ { print $2 }')
    names=$(apt-get -s install --no-install-recommends qemu-system-x86 | awk '/^Inst/ { print $2 }')
    # shellcheck disable=SC2086
    (cd "$1" && timeout 600 apt-get download busybox-static $names $kernels) || return 1
    mkdir -p target/qemu
    for package in "$1"/*.deb; do dpkg -x "$package" target/qemu || return 1; done
    # Later releases have everything below usr.
    cp -an target/qemu/usr/lib/modules target/qemu/lib/ 2> /dev/null || true
    [ -e target/qemu/bin/busybox ] || cp target/qemu/usr/bin/busybox target/qemu/bin/
    find target/qemu/lib/modules -name '*.ko.xz' -exec xz -d {} +
    for package in target/qemu/lib/modules/*; do
        target/qemu/bin/busybox depmod -b "$PWD/target/qemu" "${package##*/}" || return 1
    done
    touch target/qemu/complete
}
if [ ! -e target/qemu/complete ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null && command -v dpkg > /dev/null; then
        fetched=$(mktemp -d)
        rm -rf target/qemu
        mkdir -p target/qemu/bin target/qemu/lib
        fetch_machines "$fetched" < /dev/null || { apt-get update < /dev/null && fetch_machines "$fetched" < /dev/null; } ||
            { rm -rf target/qemu; echo "QEMU and kernels cannot be fetched; what needs them says so" >&2; }
        rm -rf "$fetched"
    else
        echo "not installed and not installable from here: QEMU and kernels; what needs them says so" >&2
    fi
fi

# OCF agents, and an apache2 for one of them (netns-tests/ocf.rs), and agents for fencing (netns-tests/fence.rs): unpacked as well, since they would bring services of their own.
fetch_agents() {
    local names package
    names=$(apt-get -s install --no-install-recommends apache2-bin | awk '/^Inst/ { print $2 }')
    # shellcheck disable=SC2086
    (cd "$1" && timeout 300 apt-get download resource-agents fence-agents $names) || return 1
    mkdir -p target/ocf
    for package in "$1"/*.deb; do dpkg -x "$package" target/ocf || return 1; done
    touch target/ocf/complete
}
if [ ! -e target/ocf/complete ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null && command -v dpkg > /dev/null; then
        fetched=$(mktemp -d)
        rm -rf target/ocf
        fetch_agents "$fetched" < /dev/null || { apt-get update < /dev/null && fetch_agents "$fetched" < /dev/null; } ||
            { rm -rf target/ocf; echo "OCF agents cannot be fetched; what needs them says so" >&2; }
        rm -rf "$fetched"
    else
        echo "not installed and not installable from here: OCF agents; what needs them says so" >&2
    fi
fi

work=$(mktemp -d)
output=$work/output
pid=
# What was begun beside the tests ends with them, with all that it started.
end_aside() { if [ -n "$pid" ]; then kill -- "-$pid" 2> /dev/null || true; fi; }
trap 'end_aside; rm -rf "$work"' EXIT
status=0

# Builds, and adds each program as a line "NAME FOLDER PROGRAM" to a list.
build() {
    local list=$1 name program folder
    shift
    cargo test "$@" --no-run < /dev/null 2>&1 | tee "$work/built" || status=$?
    sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$work/built" | while read -r program; do
        name=${program##*/}
        name=${name%-*}
        folder=$PWD
        case $name in twinbeat_*) folder=$PWD/src/${name#twinbeat_} ;; esac
        printf '%s\t%s\t%s\n' "$name" "$folder" "$(realpath "$program")" >> "$list"
    done
}

# Not --all-targets: that would run the benchmarks too. Both builds before anything runs: who builds keeps the others' cargo waiting.
touch "$work"/{all,beside,rows,alone}
build "$work/all" --lib --bins --tests
build "$work/beside" --features bite --test bite --test explore
for name in $long ""; do
    while read -r line; do
        kind=${line%%$'\t'*}
        if [[ $computes == *[[:space:]]"$kind"[[:space:]]* ]]; then
            if [ -z "$name" ] && [ "$kind" != bite ] && [ "$kind" != explore ]; then echo "$line" >> "$work/beside"; fi
        elif [[ $alone == *" $kind "* ]]; then
            if [ -z "$name" ]; then echo "$line" >> "$work/alone"; fi
        elif [ "$kind" = failover ]; then
            if [ -z "$name" ]; then printf '%s\t--exact %s\n' "$line" "$hurried" >> "$work/alone"; fi
            if [ "$kind" = "$name" ]; then printf '%s\t--exact --skip %s\n' "$line" "${hurried// / --skip }" >> "$work/rows"; fi
        elif [ "$kind" = "$name" ] || { [ -z "$name" ] && [[ " $long " != *" $kind "* ]]; }; then
            echo "$line" >> "$work/rows"
        fi
    done < "$work/all"
done

setsid netns-tests/run.sh --beside "$work/beside" < /dev/null > "$work/aside" 2>&1 &
pid=$!
{
    row "$work/rows" &
    row "$work/rows"
    wait $!
    row "$work/alone"
    # How a node is driven, as the core's documentation shows it.
    cargo test --doc -p twinbeat-core < /dev/null > "$work/doc" 2>&1 || grep -q '^test result: FAILED' "$work/doc" ||
        echo "test result: BROKEN. 0 passed; 1 failed: the documentation's example" >> "$work/doc"
    cat "$work/doc"
} | tee "$output"
wait "$pid" || status=$?
pid=
tee -a "$output" < "$work/aside"

# Each test program ends with "test result: ok. 3 passed; 0 failed; ..."; a line may begin with what a test printed.
read -r passed failed < <(awk '
    # The last line of netns-tests/fuzz/run.sh.
    match($0, /^fuzzing: [0-9]+ targets without a finding, [0-9]+ with one/) {
        split($0, word, " ")
        passed += word[2]
        failed += word[7]
    }
    match($0, /test result: [A-Za-z]+\. [0-9]+ passed; [0-9]+ failed/) {
        split(substr($0, RSTART, RLENGTH), word, " ")
        passed += word[4]
        failed += word[6]
    }
    END { print passed + 0, failed + 0 }' "$output")

# A run without a result, or a program that broke off before its own, must not look like one without failures.
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1
    echo "it ended with $status although no test failed: counted as one failure" >&2
fi
if [ "$((passed + failed))" -eq 0 ]; then
    failed=1
    echo "no test ran: counted as one failure" >&2
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
