//! What a machine in a namespace cannot do: the commands of the pages that other tests run, and the few that none does.

use crate::ledger::Elsewhere;

const fn by(command: &'static str, test: &'static str, words: &'static str) -> Elsewhere {
    Elsewhere { command, test, words }
}

/// The command, the test (or what runs tests), and what stands there for it.
pub const ELSEWHERE: [Elsewhere; 50] = [
    by("cargo run --release -- drill", "netns-tests/drills.rs", "drill"),
    by("twinbeat drill", "netns-tests/drills.rs", ".arg(\"drill\")"),
    by("./netns-tests/run.sh", ".ci/run", "exec netns-tests/run.sh"),
    by("cargo build --release", "netns-tests/systemd.rs", "starts_with(\"cargo build\")"),
    by("cargo build --release -p twinbeat --no-default-features", ".ci/run", "-p twinbeat --no-default-features"),
    by("install -m 755 twinbeat /usr/bin/", "netns-tests/systemd.rs", "fn ten_lines()"),
    by("install -m 644 dist/twinbeat.toml /etc/twinbeat/", "netns-tests/systemd.rs", "fn ten_lines()"),
    by("scp /etc/twinbeat/twinbeat.toml master2:/etc/twinbeat/", "netns-tests/systemd.rs", "fn ten_lines()"),
    by("systemctl disable --now nginx", "netns-tests/systemd.rs", "fn ten_lines()"),
    by(
        "install -m 644 dist/twinbeat.service /etc/systemd/system/ && systemctl daemon-reload",
        "netns-tests/systemd.rs",
        "fn ten_lines()",
    ),
    by("systemctl enable --now twinbeat", "netns-tests/systemd.rs", "fn ten_lines()"),
    by("dpkg -i twinbeat_*.deb", "netns-tests/packages/installed.rs", "dpkg -i before.deb"),
    by(
        "systemctl disable --now nginx && systemctl enable --now twinbeat",
        "netns-tests/packages/installed.rs",
        "systemctl disable --now nginx && twinbeat check && systemctl enable --now twinbeat",
    ),
    by("nginx -t", "netns-tests/check.rs", "nginx"),
    by("systemctl start twinbeat", "netns-tests/packages/installed.rs", "systemctl start twinbeat"),
    by("systemctl stop twinbeat", "netns-tests/packages/scripts.rs", "systemctl stop twinbeat.service"),
    by("promtool check rules", "src/web/metrics_tests.rs", "promtool"),
    by("systemctl reload twinbeat", "netns-tests/systemd.rs", "systemctl reload twinbeat"),
    by("systemctl reload", "netns-tests/systemd.rs", "systemctl reload twinbeat"),
    by("systemctl restart twinbeat", "netns-tests/systemd.rs", "systemctl restart twinbeat"),
    by("systemctl status", "netns-tests/systemd.rs", "systemctl status twinbeat"),
    by("systemctl status twinbeat", "netns-tests/systemd.rs", "systemctl status twinbeat"),
    by("systemd-analyze security twinbeat", "netns-tests/systemd.rs", "systemd-analyze security twinbeat"),
    by("man twinbeat", "netns-tests/packages/shown.rs", "Process::new(\"man\")"),
    by("man twinbeat-status", "netns-tests/packages/shown.rs", "Process::new(\"man\")"),
    by("dpkg -i", "netns-tests/packages/installed.rs", "dpkg -i now.deb"),
    by("dpkg -r", "netns-tests/packages/installed.rs", "dpkg -r twinbeat"),
    by("dpkg -P", "netns-tests/packages/installed.rs", "dpkg -P twinbeat"),
    by("rpm -i", "netns-tests/packages/scripts.rs", "rpm/post.sh"),
    by("rpm -U", "netns-tests/packages/scripts.rs", "rpm/post.sh"),
    by("rpm -U --oldpackage", "netns-tests/packages/scripts.rs", "a downgrade"),
    by("rpm -e", "netns-tests/packages/scripts.rs", "rpm/preun.sh"),
    by("systemctl daemon-reload", "netns-tests/systemd.rs", "systemctl daemon-reload"),
    by("systemctl enable", "netns-tests/packages/installed.rs", "systemctl enable --now twinbeat"),
    by("networkctl reload", "netns-tests/systemd/managers.rs", "networkctl reload"),
    by("systemctl restart dbus", "netns-tests/systemd/units.rs", "systemctl restart dbus.service"),
    by("systemctl daemon-reexec", "netns-tests/systemd/units.rs", "systemctl daemon-reexec"),
    by("systemctl restart systemd-networkd", "netns-tests/systemd/managers.rs", "systemctl restart systemd-networkd"),
    by("networkctl reconfigure eth0", "netns-tests/systemd/managers.rs", "networkctl reconfigure eth0"),
    by("ifdown eth0; ifup eth0", "netns-tests/systemd/managers.rs", "ifdown eth0;"),
    by("nmcli device reapply eth0", "netns-tests/systemd/managers.rs", "device reapply eth0"),
    by("nmcli connection up NAME", "netns-tests/systemd/managers.rs", "connection up lan"),
    by("systemctl restart NetworkManager", "netns-tests/systemd/managers.rs", "systemctl restart NetworkManager"),
    by("journalctl -u twinbeat -p warning", "netns-tests/systemd.rs", "journalctl -u twinbeat -p warning"),
    by("journalctl TWINBEAT_GROUP=web TWINBEAT_EVENT=owner", "netns-tests/systemd.rs", "TWINBEAT_GROUP=web TWINBEAT_EVENT=owner"),
    by("cargo test --test checks -- --nocapture", "netns-tests/run.sh", "checks"),
    by("cargo test --test ocf", "netns-tests/run.sh", "ocf"),
    by("systemctl disable nginx", "netns-tests/systemd.rs", "systemctl disable nginx.service"),
    by("ip route add 10.20.0.14/32 dev eth1", "netns-tests/routes.rs", "route add 10.20.0.14/32 dev eth0"),
    by("systemctl disable --now twinbeat", "netns-tests/commands.rs", "The whole pair off"),
];

/// The command, and why no test runs it.
pub const NEVER: [(&str, &str); 9] = [
    ("systemctl edit twinbeat", "it opens an editor; what it makes is a drop-in, as netns-tests/systemd.rs puts one in place"),
    ("systemctl reenable twinbeat", "a link to another unit file of the same name: systemd's own affair"),
    ("systemctl is-active", "nothing to type: what a script of keepalived's may call, which the import reads"),
    ("systemctl disable haproxy", "as `systemctl disable nginx`"),
    ("systemctl disable --now heartbeat", "the machines of the tests with systemd have no heartbeat"),
    ("systemctl enable --now heartbeat", "the same"),
    ("systemctl disable --now keepalived", "nor keepalived"),
    ("systemctl enable --now keepalived", "the same"),
    ("keepalived --check", "the same"),
];
