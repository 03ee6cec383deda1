#!/usr/bin/env bash
# What an idle pair costs: a line per node with the CPU time of its daemon, user and system, its switches and its memory.
#
#   netns-tests/idle.sh [-b BINARY] [-s SECONDS] [-w SECONDS] [-c CPU] [-m MIB] [-r] [-k]
#
#   -b  the program (default target/release/twinbeat)
#   -s  how long is measured (default 60)
#   -w  how long the pair has stood before that (default 20: negative controls and announcements are over)
#   -c  budget: CPU seconds a minute for each node; above it the exit code is 1
#   -m  budget: MiB of resident memory for each node; the same
#   -r  also what the same number of the same frames costs a bare loop of system calls in the same lab, with python3
#   -k  prints the two PIDs and waits for a line of input before it measures: to look at the daemons with other tools
#
# The pair is the drill's (docs/DRILLS.md): two cables, the LAN, the relay; heartbeat 100 ms, lease 320 ms, witness echoes every 100 ms, the
# flight recorder on. Unlike in a drill nobody asks for the address, and nothing but the daemons listens on the nodes' interfaces. All of it in
# network namespaces of its own, removed at the end. Needs root, or a user namespace: twinbeat lab-enter -- netns-tests/idle.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

binary=target/release/twinbeat
seconds=60 warm=20 cpu= memory= reference= look=
while getopts b:s:w:c:m:rk option; do
    case $option in
        b) binary=$OPTARG ;;
        s) seconds=$OPTARG ;;
        w) warm=$OPTARG ;;
        c) cpu=$OPTARG ;;
        m) memory=$OPTARG ;;
        r) reference=yes ;;
        k) look=yes ;;
        *) exit 2 ;;
    esac
done
binary=$(realpath "$binary")
ticks=$(getconf CLK_TCK)

files=$(mktemp -d)
lab=tbidle$$
started=()
clean_up() {
    trap - EXIT
    for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
    # A daemon that is told to end stops its service first.
    for pid in "${started[@]}"; do wait "$pid" 2> /dev/null || true; done
    for ns in switch gw master1 master2; do
        ip netns pids "$lab-$ns" 2> /dev/null | xargs -r kill 2> /dev/null || true
        ip netns del "$lab-$ns" 2> /dev/null || true
    done
    rm -rf "$files"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

inside() { ip netns exec "$lab-$1" "${@:2}"; }

# All cables run through bridges in one namespace, as in the drill.
wire() {
    local ns bridge node
    for ns in switch gw master1 master2; do
        ip netns add "$lab-$ns"
        ip -n "$lab-$ns" link set lo up
        inside "$ns" sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv4.ip_unprivileged_port_start=0 "net.ipv4.ping_group_range=0 0"
    done
    inside switch sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    for bridge in br0 br1 br2; do
        ip -n "$lab-switch" link add $bridge up type bridge mcast_snooping 0 forward_delay 0
    done
    for node in 1 2; do
        cable "master$node" eth0 br0 "192.168.42.1$((node + 1))/25"
        cable "master$node" eth1 br1 "10.1.1.$node/24"
        cable "master$node" eth2 br2 "10.1.2.$node/24"
    done
    cable gw eth0 br0 192.168.42.1/25
}

cable() { # namespace interface bridge address
    ip -n "$lab-switch" link add "$2-$1" type veth peer name "$2" netns "$lab-$1"
    ip -n "$lab-switch" link set "$2-$1" master "$3" up
    ip -n "$lab-$1" link set "$2" up
    ip -n "$lab-$1" address add "$4" dev "$2"
}

configure() {
    local node
    {
        printf 'cluster = "idle"\nport = 694\n'
        for node in 1 2; do
            printf '\n[nodes.master%s]\n%s\n[nodes.master%s.links]\n' $node "$("$binary" keygen --out "$files/master$node.key")" $node
            printf 'heartbeat = { interface = "eth1", address = "10.1.1.%s" }\n' $node
            printf 'bond = { interface = "eth2", address = "10.1.2.%s" }\n' $node
            printf 'lan = { interface = "eth0", address = "192.168.42.1%s" }\n' $((node + 1))
        done
        cat << END

[witness]
link = "lan"
targets = ["192.168.42.1"]
relay = true

[timing]
heartbeat = "100ms"
warn = "300ms"
lease = "320ms"
dead = "1s"
init_dead = "5s"
delivery = "50ms"
rate_bound = 0.200

[[groups]]
name = "web"
preferred = "master1"
failback = "auto"
vips = [{ address = "192.168.42.14/25", link = "lan", label = "0" }]
services = [{ process = ["$binary", "page-server", "--listen", "[::]:80"], warm = true }]
END
    } > "$files/twinbeat.toml"
}

daemon() { # name; its pid is in $!
    ip netns exec "$lab-$1" "$binary" run --config "$files/twinbeat.toml" --node "$1" \
        --run-dir "$files/$1" --state-dir "$files/$1-state" > "$files/$1.log" 2>&1 &
    started+=($!)
}

# User and system ticks of a process, its threads included, and the switches of all its threads.
used() {
    awk '{ sub(/^.*\) /, ""); printf "%d %d ", $12, $13 }' "/proc/$1/stat"
    cat "/proc/$1"/task/*/status | awk '/^(non)?voluntary_ctxt_switches/ { n += $2 } END { print n }'
}

over=0
report() { # name pid "user system switches" before, the same after
    read -r user system switches <<< "$4"
    read -r user0 system0 switches0 <<< "$3"
    local resident
    resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$2/status")
    awk -v name="$1" -v u=$((user - user0)) -v s=$((system - system0)) -v n=$((switches - switches0)) -v rss="$resident" \
        -v seconds="$seconds" -v ticks="$ticks" -v cpu="$cpu" -v memory="$memory" 'BEGIN {
        minute = 60 / seconds / ticks
        total = (u + s) * minute
        printf "%-18s %.2f s CPU a minute (%.2f user + %.2f system), %.0f switches a second, %.1f MiB\n",
            name, total, u * minute, s * minute, n / seconds, rss / 1024
        exit (cpu != "" && total > cpu) || (memory != "" && rss / 1024 > memory)
    }' || over=1
}

# A bare loop that sends frames of the daemons' kinds, sizes and number, and takes what the gateway answers: what the lab itself charges to whoever
# sends, since on veth the sender's account pays for the switch, for the gateway and for the receiver's queue.
reference() {
    inside master2 python3 -c 'import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 694)); time.sleep(3600)' &
    started+=($!)
    sleep 2
    inside master1 python3 - "$seconds" << 'END'
import socket, sys, time

seconds = int(sys.argv[1])
frame = b"2bt\1" + bytes(467)
links = []
for mine, peer in (("10.1.1.1", "10.1.1.2"), ("10.1.2.1", "10.1.2.2"), ("192.168.42.12", "192.168.42.13")):
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind((mine, 0))
    link.connect((peer, 694))
    links.append(link)
gateway = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
gateway.connect(("192.168.42.1", 0))
request = b"\x08" + bytes(7)

def measure(name, echoes):
    begin, used = time.monotonic(), 0
    for n in range(seconds * 10):
        time.sleep(max(0, begin + n / 10 - time.monotonic()))
        before = time.thread_time_ns()
        for link in links:
            link.send(frame)
        for payload in echoes:
            gateway.send(request + payload)
        for _ in echoes:
            gateway.recv(2048)
        used += time.thread_time_ns() - before
    print(f"{name:<18} {used * 60 / seconds / 1e9:.3f} s CPU a minute for the same frames from a bare loop")

# Relayed heartbeat, echo from the VIP, echo from the own address; a standby sends none from the VIP.
measure("as the owner", (frame, frame, b""))
measure("as the standby", (frame, b""))
END
}

wire
configure
daemon master1
one=$!
daemon master2
two=$!
sleep "$warm"
for pid in $one $two; do
    if ! kill -0 "$pid" 2> /dev/null; then
        cat "$files"/*.log >&2
        exit 1
    fi
done
if ! "$binary" status --run-dir "$files/master1" | grep 'master1 SERVES.*takeover ready: yes' > /dev/null; then
    "$binary" status --run-dir "$files/master1" >&2
    exit 1
fi
if [ -n "$look" ]; then
    echo "$one $two"
    read -r _ || true
fi
before_one=$(used $one) before_two=$(used $two)
sleep "$seconds"
after_one=$(used $one) after_two=$(used $two)
report "owner" $one "$before_one" "$after_one"
report "standby" $two "$before_two" "$after_two"
if [ -n "$reference" ]; then
    kill "$one" "$two"
    wait "$one" "$two" || true
    reference
fi
exit $over
