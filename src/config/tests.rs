//! What is refused, and how; and that nothing makes the loader panic.

#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use std::path::Path;

use super::*;
use twinbeat_core::id::{LinkId, NodeId};
use twinbeat_core::settings::{self, Failback};
use twinbeat_core::time::Span;
use twinbeat_wire as wire;

const FAST: &str = include_str!("../../scenarios/pairs/fast.toml");
const RECIPE: &str = include_str!("../../scenarios/pairs/recipe-classic.toml");
const SAMPLE: &str = include_str!("../../dist/twinbeat.toml");

fn load(text: &str) -> Result<Config, ConfigError> {
    Config::load(Path::new("t.toml"), text)
}

/// The fast pair with one passage changed.
fn changed(from: &str, to: &str) -> String {
    assert!(FAST.contains(from), "the fast pair no longer has {from}");
    FAST.replacen(from, to, 1)
}

/// The error for the fast pair with one passage changed; it must name the key and hold each text.
#[track_caller]
fn refused(from: &str, to: &str, key: &str, texts: &[&str]) {
    let text = changed(from, to);
    let Err(error) = load(&text) else { panic!("accepted: {to}") };
    let shown = error.to_string();
    assert_eq!(error.key, key, "{shown}");
    assert!(error.line > 0 && error.line <= text.lines().count(), "{shown}");
    assert!(shown.starts_with(&format!("t.toml:{}: {key}", error.line)), "{shown}");
    for wanted in texts {
        assert!(shown.contains(wanted), "{shown}\n  lacks {wanted}");
    }
}

#[track_caller]
fn accepted(from: &str, to: &str) -> Config {
    load(&changed(from, to)).unwrap_or_else(|error| panic!("{error}"))
}

const LAN1: &str = r#"lan = { interface = "eth0", address = "192.168.42.12" }"#;
const LAN2: &str = r#"lan = { interface = "eth0", address = "192.168.42.13" }"#;
const VIP: &str = r#"{ address = "192.168.42.14/25", link = "lan", label = "0" }"#;
const TARGETS: &str = r#"targets = ["192.168.42.1"]"#;
const SERVICE: &str = r#"{ process = ["nginx", "-g", "daemon off;"], warm = true }"#;

#[test]
fn the_files_that_are_shipped_load() {
    for text in [FAST, RECIPE, SAMPLE] {
        let config = load(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.nodes.each_ref().map(|node| node.name.to_string()), ["master1", "master2"]);
        for me in ["master1", "master2"] {
            let settings = config.settings(me).unwrap();
            assert_eq!(
                settings.links.iter().map(|l| l.name.to_string()).collect::<Vec<_>>(),
                ["bond", "heartbeat", "lan", "relay"]
            );
            assert_eq!(settings.links.iter().filter(|link| link.relay).count(), 1);
            assert_eq!(settings.witness.link, LinkId(2));
            assert_eq!(settings.groups[0].services, settings::Services::Warm);
            assert_eq!(&*settings.groups[0].vips[0], "192.168.42.14/25");
        }
        assert_eq!(config.relay_link(), Some(LinkId(3)));
        assert_eq!(config.groups[0].vips[0].label_on("eth0").as_deref(), Some("eth0:0"));
        assert_eq!((config.witness.fall, config.witness.rise), (3, 5));
        assert_eq!(config.witness.interval, config.timing.heartbeat);
    }
}

#[test]
fn the_profiles_are_those_of_the_safety_page() {
    let times = |profile: &str| {
        let t = load(&RECIPE.replace("classic", profile)).unwrap().timing;
        assert_eq!((t.rate, t.weak_gate), (1_200, false));
        [t.heartbeat, t.warn, t.lease, t.dead, t.init_dead, t.delivery].map(Span::as_millis)
    };
    assert_eq!(times("fast"), [50, 150, 155, 500, 5_000, 25]);
    assert_eq!(times("default"), [200, 600, 700, 2_000, 10_000, 100]);
    assert_eq!(times("classic"), [2_000, 10_000, 11_500, 30_000, 60_000, 100]);
}

#[test]
fn delivery_follows_the_heartbeat_when_it_is_not_named() {
    let config = accepted("heartbeat = \"100ms\"", "heartbeat = \"90ms\"");
    assert_eq!(config.timing.delivery, Span::millis(50));
    let config = load(&changed("delivery = \"50ms\"\n", "").replace("\"100ms\"", "\"90ms\"")).unwrap();
    assert_eq!(config.timing.delivery, Span::millis(45));
}

#[test]
fn a_broken_timing_relation_is_named_with_its_figures() {
    refused("warn = \"300ms\"", "warn = \"100ms\"", "timing.warn", &["heartbeat < warn", "100ms against 100ms"]);
    refused("lease = \"320ms\"", "lease = \"90ms\"", "timing.lease", &["heartbeat < lease", "100ms against 90ms"]);
    refused("init_dead = \"5s\"", "init_dead = \"999ms\"", "timing.init_dead", &["init_dead >= dead", "999ms against 1s"]);
    refused("dead = \"1s\"", "dead = \"942ms\"", "timing.dead", &["dead >= max(warn, lease x r)", "least allowed `dead`: 943ms"]);
    refused("delivery = \"50ms\"", "delivery = \"320ms\"", "timing.delivery", &["delivery < lease"]);
    let config = accepted("dead = \"1s\"", "dead = \"943ms\"");
    assert_eq!(config.timing.least_dead(), Span::millis(943));
}

#[test]
fn a_relation_that_an_override_breaks_in_a_profile_is_named_too() {
    let error = load(&RECIPE.replace("profile = \"classic\"", "profile = \"classic\"\nlease = \"13s\"")).unwrap_err();
    assert_eq!(error.key, "timing.dead");
    assert!(error.to_string().contains("least allowed `dead`: 31.565s"), "{error}");
}

#[test]
fn the_address_lifetime_alone_asks_for_longer_times() {
    let error = load(FAST).unwrap().require_weak_gate_timing().unwrap_err().to_string();
    assert!(error.contains("timing.lease") && error.contains("least allowed: 2s"), "{error}");
    assert!(load(RECIPE).unwrap().require_weak_gate_timing().unwrap().weak_gate);
    let near = RECIPE.replace("profile = \"classic\"", "profile = \"classic\"\ndead = \"28s\"");
    let error = load(&near).unwrap().require_weak_gate_timing().unwrap_err();
    assert!(error.to_string().contains("least allowed `dead`: 28.46s"), "{error}");
}

#[test]
fn durations_carry_units_and_ranges() {
    for odd in ["200", "\"200\"", "\"2w\"", "0.2", "\"\""] {
        refused("heartbeat = \"100ms\"", &format!("heartbeat = {odd}"), "timing.heartbeat", &["a number and a unit"]);
    }
    refused("heartbeat = \"100ms\"", "heartbeat = \"1ms\"", "timing.heartbeat", &["allowed: 10ms to 60s"]);
    refused("heartbeat = \"100ms\"", "heartbeat = true", "timing.heartbeat", &["wrong type", "a duration with its unit"]);
    refused("delivery = \"50ms\"", "rate_bound = 2.0", "timing.rate_bound", &["0.0 to 1.0"]);
    refused("delivery = \"50ms\"", "rate_bound = nan", "timing.rate_bound", &["0.0 to 1.0"]);
    refused("delivery = \"50ms\"", "profile = \"slow\"", "timing.profile", &["\"slow\"", "\"default\", \"fast\", \"classic\""]);
    assert_eq!(accepted("delivery = \"50ms\"", "rate_bound = 0.07").timing.rate, 1_070);
}

#[test]
fn unknown_and_missing_keys_are_named() {
    refused("port = 694", "prot = 694", "prot", &["unknown key `prot`", "`port`"]);
    refused(LAN1, &LAN1.replace("address", "adress"), "nodes.master1.links.lan.adress", &["unknown key `adress`", "`address`"]);
    refused("link = \"lan\"\n", "", "witness", &["`link` is missing"]);
    refused("cluster = \"web\"\n", "", "cluster", &["`cluster` is missing"]);
    refused("failback = \"auto\"", "failback = { before = \"3s\" }", "groups[0].failback.before", &["unknown key `before`"]);
    refused("port = 694", "port = 0", "port", &["1 to 65535"]);
    refused("port = 694", "port = \"694\"", "port", &["wrong type: string \"694\"; allowed: a whole number"]);
    refused("port = 694", "port = = 694", "port", &["not valid TOML"]);
}

#[test]
fn an_ocf_agent_has_its_place_its_parameters_and_its_role() {
    let text =
        "{ ocf = \"ocf:heartbeat:nginx\", parameters = { configfile = \"/etc/nginx/nginx.conf\", port = 80, force = true } }";
    let kind = |config: &Config| match &config.groups[0].services[0].kind {
        ServiceKind::Ocf(ocf) => ocf.clone(),
        other => panic!("{other}"),
    };
    let nginx = kind(&accepted(SERVICE, text));
    assert_eq!(nginx.program, std::path::Path::new("/usr/lib/ocf/resource.d/heartbeat/nginx"));
    assert_eq!((nginx.provider.as_str(), nginx.agent.as_str(), nginx.promoted), ("heartbeat", "nginx", false));
    let given: Vec<_> = nginx.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(given, ["configfile=/etc/nginx/nginx.conf", "force=true", "port=80"]);
    assert_eq!(nginx.monitor_interval, Span::secs(10));
    let db = kind(&accepted(SERVICE, "{ ocf = \"/opt/x/resource.d/own/db\", role = \"promoted\", monitor_interval = \"2s\" }"));
    assert_eq!((db.root.to_str(), db.promoted, db.monitor_interval), (Some("/opt/x"), true, Span::secs(2)));

    let one = "groups[0].services[0]";
    let agent = "ocf = \"ocf:heartbeat:db\"";
    for (odd, key, what) in [
        ("{ ocf = \"heartbeat:nginx\" }".to_owned(), "ocf", "ocf:heartbeat:nginx"),
        (format!("{{ {agent}, lsb = \"b\" }}"), "", "more than one kind"),
        (format!("{{ {agent}, parameters = {{ port = 0.5 }} }}"), "parameters.port", "a text, a whole number, true or false"),
        (format!("{{ {agent}, parameters = {{ \"a b\" = 1 }} }}"), "parameters", "a parameter's name"),
        (format!("{{ {agent}, parameters = {{ CRM_meta_timeout = 1 }} }}"), "parameters", "set by twinbeat itself"),
        (format!("{{ {agent}, role = \"master\" }}"), "role", "\"promoted\""),
        (format!("{{ {agent}, role = \"promoted\", warm = true }}"), "role", "two would be promoted at once"),
        (format!("{{ {agent}, monitor_interval = \"10ms\" }}"), "monitor_interval", "1s"),
        (format!("{{ {agent}, arguments = [] }}"), "arguments", "only beside `lsb`"),
        ("{ systemd = \"a\", parameters = { a = 1 } }".to_owned(), "parameters", "only beside `ocf`"),
        ("{ systemd = \"a\", role = \"promoted\" }".to_owned(), "role", "only beside `ocf`"),
        ("{ lsb = \"a\", monitor_interval = \"2s\" }".to_owned(), "monitor_interval", "only beside `ocf`"),
    ] {
        let Err(error) = load(&changed(SERVICE, &odd)) else { panic!("accepted {odd}") };
        assert!(error.key.starts_with(one) && error.key.contains(key), "{odd}: {error}");
        assert!(error.to_string().contains(what), "{odd}: {error}");
    }
    // The same agent for two things is two services; the same thing twice is not.
    let twice = |a: &str, b: &str| {
        load(&changed(
            SERVICE,
            &format!("{{ {agent}, parameters = {{ dir = \"{a}\" }} }}, {{ {agent}, parameters = {{ dir = \"{b}\" }} }}"),
        ))
    };
    assert_eq!(twice("/a", "/b").unwrap().groups[0].services.len(), 2);
    assert!(twice("/a", "/a").unwrap_err().to_string().contains("ocf:heartbeat:db"));
}

#[test]
fn a_changed_parameter_is_said_in_words() {
    let with = |port: u16| {
        load(&changed(SERVICE, &format!("{{ ocf = \"ocf:heartbeat:nginx\", parameters = {{ port = {port} }} }}"))).unwrap()
    };
    let said: Vec<String> = with(80).differences(&with(81)).iter().map(ToString::to_string).collect();
    assert_eq!(said, ["groups.web.services.ocf:heartbeat:nginx.parameters.port: 80 -> 81"]);
}

#[test]
fn metrics_are_off_unless_a_place_is_named_and_it_is_each_nodes_own() {
    let plain = load(FAST).unwrap();
    assert_eq!(plain.metrics, MetricsConfig::default());
    let listen = |text: &str| load(&format!("{FAST}\n[metrics]\nlisten = {text}\n"));
    assert_eq!(load(&format!("{FAST}\n[metrics]\n")).unwrap().metrics.listen, None);
    for text in ["127.0.0.1:9469", "[::1]:9469", "0.0.0.0:1", "unix:/run/twinbeat/metrics.sock"] {
        let config = listen(&format!("\"{text}\"")).unwrap();
        assert_eq!(config.metrics.listen.unwrap().to_string(), text);
        assert_eq!(config.digest, plain.digest, "the nodes may differ in it");
    }
    let long = format!("\"unix:/{}\"", "x".repeat(107));
    for text in
        ["\"9469\"", "\":9469\"", "\"localhost:9469\"", "\"127.0.0.1\"", "\"127.0.0.1:0\"", "\"127.0.0.1:65536\"", "\"::1:9469\""]
            .into_iter()
            .chain(["\"224.0.0.1:9469\"", "\"unix:run/x.sock\"", "\"unix:\"", "\"unix:/run/\"", "\"/run/x.sock\"", "\"\"", &long])
    {
        let error = listen(text).unwrap_err();
        assert_eq!(error.key, "metrics.listen", "{text}");
        assert!(error.to_string().contains("an IP address and a port") && error.to_string().contains("unix:"), "{error}");
    }
    let error = listen("9469").unwrap_err().to_string();
    assert!(error.contains("wrong type") && error.contains("a text in quotes"), "{error}");
    let error = load(&format!("{FAST}\n[metrics]\nlisen = \"x\"\n")).unwrap_err().to_string();
    assert!(error.contains("did you mean `listen`"), "{error}");
}

#[test]
fn there_are_exactly_two_nodes_with_keys_of_their_own() {
    let start = FAST.find("[nodes.master2]").unwrap();
    let end = FAST.find("[witness]").unwrap();
    let second = &FAST[start..end];
    let error = load(&FAST.replace(second, "")).unwrap_err();
    assert!(error.to_string().contains("1 node(s) (master1); allowed: exactly two"), "{error}");
    let error = load(&format!("{FAST}\n{}", second.replace("master2", "master3"))).unwrap_err();
    assert!(error.to_string().contains("3 node(s) (master1, master2, master3)"), "{error}");
    let keys: Vec<&str> = FAST.lines().filter(|line| line.starts_with("public_key")).collect();
    refused(keys[1], keys[0], "nodes.master2.public_key", &["master1 has the same public key"]);
    refused(keys[0], "public_key = \"ed25519:AAAA\"", "nodes.master1.public_key", &["has not 32 bytes", "keygen"]);
    let error = load(&FAST.replace("[nodes.master1", "[nodes.\"../m\"")).unwrap_err().to_string();
    assert!(error.contains("nodes.../m: not a name for a node"), "{error}");
}

#[test]
fn a_private_key_in_the_wrong_place_is_not_shown() {
    let key = FAST.lines().find(|line| line.starts_with("public_key")).unwrap();
    let error = load(&changed(key, "public_key = \"ed25519-secret:SECRETSECRET\"")).unwrap_err().to_string();
    assert!(error.contains("this is the private key") && !error.contains("SECRETSECRET"), "{error}");
}

#[test]
fn links_are_two_or_more_on_interfaces_of_their_own_and_the_same_on_both_nodes() {
    let one = |n: u8| format!("heartbeat = {{ interface = \"eth1\", address = \"10.1.1.{n}\" }}\n");
    let two = |n: u8| format!("bond = {{ interface = \"eth2\", address = \"10.1.2.{n}\" }}\n");
    let single = FAST.replace(&one(1), "").replace(&one(2), "").replace(&two(1), "").replace(&two(2), "");
    let error = load(&single).unwrap_err().to_string();
    assert!(error.contains("nodes.master1") && error.contains("1 link(s); at least two"), "{error}");
    refused(LAN1, &LAN1.replace("eth0", "eth1"), "nodes.master1.links.lan.interface", &["link `heartbeat`", "same interface"]);
    refused(LAN1, &LAN1.replace("eth0", "eth0:1"), "nodes.master1.links.lan.interface", &["not an interface name"]);
    refused(LAN2, &LAN2.replacen("lan", "public", 1), "nodes.master1.links.lan", &["master2 has no link `lan`", "public"]);
    refused(
        LAN1,
        &format!("{LAN1}\nx = {{ interface = \"eth9\", address = \"10.9.9.9\" }}"),
        "nodes.master1.links.x",
        &["no link `x`"],
    );
    refused(LAN1, &LAN1.replacen("lan", "relay", 1), "nodes.master1.links.relay", &["`relay` is reserved"]);
}

#[test]
fn no_address_is_written_twice_and_families_agree() {
    let same = LAN2.replace("42.13", "42.12");
    refused(LAN2, &same, "nodes.master2.links.lan.address", &["link `lan` of master1"]);
    let twice = LAN1.replace("192.168.42.12", "10.1.1.1");
    refused(LAN1, &twice, "nodes.master1.links.lan.address", &["link `heartbeat` of master1"]);
    let v6 = LAN2.replace("192.168.42.13", "2001:db8::13");
    refused(LAN2, &v6, "nodes.master2.links.lan.address", &["link `lan` has 192.168.42.12 on master1", "one address family"]);
    for odd in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::ffff:192.168.42.12", "192.168.42.12/25", "x"] {
        refused(LAN1, &LAN1.replace("192.168.42.12", odd), "nodes.master1.links.lan.address", &["not a usable address"]);
    }
}

#[test]
fn a_vip_lies_in_the_network_of_both_nodes_or_of_none_of_them() {
    let key = "groups[0].vips[0].address";
    refused(
        LAN2,
        &LAN2.replace("42.13", "42.130"),
        key,
        &["192.168.42.0/25 does not hold 192.168.42.130", "master2", "or of none"],
    );
    for elsewhere in ["192.168.42.14/32", "192.168.42.200/25", "10.20.0.14/24", "10.20.0.14/32"] {
        let config = accepted(VIP, &VIP.replace("192.168.42.14/25", elsewhere));
        assert_eq!(config.groups[0].vips[0].to_string(), elsewhere);
    }
    refused(VIP, &VIP.replace("42.14/25", "42.14"), key, &["it has no prefix"]);
    refused(VIP, &VIP.replace("42.14/25", "42.14/33"), key, &["the prefix is not 1 to 32"]);
    refused(VIP, &VIP.replace("42.14/25", "42.127/25"), key, &["broadcast address"]);
    refused(VIP, &VIP.replace("42.14/25", "42.13/25"), key, &["a node's own address"]);
    refused(VIP, &VIP.replace("\"lan\"", "\"wan\""), "groups[0].vips[0].link", &["no such link", "bond, heartbeat, lan"]);
    refused(
        VIP,
        &VIP.replace("192.168.42.14/25\", link = \"lan", "10.1.1.9/24\", link = \"heartbeat"),
        key,
        &["guard", "link `lan`"],
    );
}

#[test]
fn an_ipv6_vip_may_stand_beside_an_ipv4_guard_but_not_be_it() {
    let second = "{ address = \"2001:db8::14/64\", link = \"lan\" }";
    let config = accepted(VIP, &format!("{VIP}, {second}"));
    assert_eq!(config.groups[0].vips[1].to_string(), "2001:db8::14/64");
    refused(VIP, second, "groups[0].vips[0].address", &["guard", "IPv4"]);
}

#[test]
fn labels_fit_the_kernel() {
    let key = "groups[0].vips[0].label";
    refused(VIP, &VIP.replace("\"0\"", "\"01234567890\""), key, &["`eth0:01234567890` on master1 has 16 bytes"]);
    refused(VIP, &VIP.replace("\"0\"", "\"eth0:0\""), key, &["not a label"]);
    refused(VIP, &VIP.replace("\"0\"", "\"\""), key, &["not a label"]);
    accepted(VIP, &VIP.replace("\"0\"", "\"0123456789\""));
}

#[test]
fn a_witness_is_a_third_machine_on_the_vips_network() {
    let key = "witness.targets[0]";
    refused(TARGETS, "targets = []", "witness.targets", &["three are better than one"]);
    refused(TARGETS, "targets = [\"192.168.42.13\"]", key, &["the address of master2 on link `lan`"]);
    refused(TARGETS, "targets = [\"192.168.42.14\"]", key, &["the VIP 192.168.42.14/25"]);
    refused(TARGETS, "targets = [\"2001:db8::1\"]", key, &["allowed: IPv4 targets"]);
    refused(TARGETS, "targets = [\"8.8.8.8\"]", key, &["not in the network of 192.168.42.14/25"]);
    refused(TARGETS, "targets = [\"192.168.42.1\", \"192.168.42.1\"]", "witness.targets[1]", &["target 192.168.42.1"]);
    refused("link = \"lan\"", "link = \"wan\"", "witness.link", &["no such link"]);
    refused(TARGETS, &format!("{TARGETS}\nisland = \"stay\""), "witness.island", &["\"release\", \"hold\""]);
    refused(TARGETS, &format!("{TARGETS}\nfall = 0"), "witness.fall", &["1 to 100"]);
    let config = accepted(TARGETS, &format!("{TARGETS}\nrelay = false\nisland = \"hold\""));
    assert_eq!((config.relay_link(), config.settings("master1").unwrap().links.len()), (None, 3));
    assert!(config.settings("master1").unwrap().witness.island_hold);
}

#[test]
fn a_witness_that_answers_no_echoes_may_stand_beside_one_that_does() {
    let by_arp = "{ address = \"192.168.42.1\", by = \"arp\" }";
    let config = accepted(TARGETS, &format!("targets = [{by_arp}, \"192.168.42.2\"]"));
    let settings = config.settings("master1").unwrap().witness;
    assert_eq!((settings.targets, settings.majority()), (2, 2), "both count for reachability");
    assert_eq!((settings.is_register(0), settings.is_register(1), settings.register_majority()), (false, true, 1));
    refused(TARGETS, &format!("targets = [{by_arp}]"), "witness.targets", &["asked by ARP alone", "answers echoes"]);
    refused(
        TARGETS,
        "targets = [\"192.168.42.2\", { address = \"192.168.42.1\", by = \"ping\" }]",
        "witness.targets[1].by",
        &["\"echo\", \"arp\""],
    );
    refused(TARGETS, "targets = [{ adress = \"192.168.42.1\" }]", "witness.targets[0].adress", &["`address` or `by`"]);
    refused(TARGETS, "targets = [{ by = \"arp\" }]", "witness.targets[0]", &["`address` is missing"]);
    let plain = load(FAST).unwrap().digest;
    assert_eq!(
        accepted(TARGETS, "targets = [{ address = \"192.168.42.1\", by = \"echo\" }]").digest,
        plain,
        "two ways to write one thing"
    );
    assert_ne!(config.digest, accepted(TARGETS, "targets = [\"192.168.42.1\", \"192.168.42.2\"]").digest);
}

#[test]
fn what_is_no_text_file_is_refused_at_once_and_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::write(at("binary"), b"cluster = \"web\"\n\xff\xfe\x00").unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("long"), "#".repeat(1024 * 1024 + 1)).unwrap();
    for (path, words) in [
        (at("fifo"), "not a regular file"),
        (dir.path().to_owned(), "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (at("binary"), "byte 17 is not UTF-8"),
        (at("long"), "more than 1048576 bytes"),
        (at("none"), "No such file"),
        (at("empty"), "`cluster` is missing here"),
    ] {
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains(words) && error.starts_with(&path.display().to_string()), "{error}");
    }
}

#[test]
fn odd_values_are_refused_in_the_words_of_the_file() {
    for (from, to, key, words) in [
        ("heartbeat = \"100ms\"", "heartbeat = 99999999999999999999", "timing.heartbeat", "a duration with its unit"),
        ("heartbeat = \"100ms\"", "heartbeat = \"99999999999999999999s\"", "timing.heartbeat", "a number and a unit"),
        ("heartbeat = \"100ms\"", "heartbeat = \"100\"", "timing.heartbeat", "a number and a unit"),
        ("heartbeat = \"100ms\"", "heartbeat = \"-5ms\"", "timing.heartbeat", "a number and a unit"),
        ("heartbeat = \"100ms\"", "heartbeat = \"\u{661}00ms\"", "timing.heartbeat", "a number and a unit"),
        ("port = 694", "port = 99999999999", "port", "1 to 65535"),
        ("port = 694", "port = 6.9", "port", "a whole number"),
        (TARGETS, "targets = \"192.168.42.1\"", "witness.targets", "a list in [ ]"),
        ("cluster = \"web\"", "cluster = \"w\u{e9}b\"", "cluster", "1 to 32 letters"),
        ("failback = \"auto\"", "failback = 3", "groups[0].failback", "\"auto\", \"manual\" or { after = \"30s\" }"),
    ] {
        refused(from, to, key, &[words]);
    }
}

/// As many groups as a pair may have, whatever their names' length: in parts where one frame has no room for all.
#[test]
fn a_heartbeat_about_all_links_and_groups_fits_into_an_echo_in_parts_where_one_does_not_do() {
    let many = |groups: usize| {
        let group = |n: usize| {
            let name = format!("{:x<32}", format!("g{n}-"));
            format!("\n[[groups]]\nname = \"{name}\"\nvips = [{{ address = \"192.168.42.{}/25\", link = \"lan\" }}]\n", 30 + n)
        };
        format!("{FAST}{}", (1..groups).map(group).collect::<String>())
    };
    for (groups, in_beat) in [(1, 1..=usize::MAX), (8, 8..=usize::MAX), (12, 8..=11), (64, 8..=11)] {
        let config = load(&many(groups)).unwrap();
        assert!(config.longest_frame() <= wire::MOST_IN_ECHO);
        assert!(in_beat.contains(&config.groups_in_beat()), "{}", config.groups_in_beat());
    }
    let error = load(&many(65)).unwrap_err().to_string();
    assert!(error.contains("65 groups; at most 64"), "{error}");
}

#[test]
fn two_names_that_a_heartbeat_could_not_tell_apart_are_refused() {
    let mut seen = std::collections::BTreeMap::new();
    let (one, other) = (0..1_000_000)
        .find_map(|n| {
            let name = format!("g{n}");
            seen.insert(wire::short(&name), name.clone()).map(|before| (before, name))
        })
        .unwrap();
    let group = |name: &str, n: u8| {
        format!("\n[[groups]]\nname = \"{name}\"\nvips = [{{ address = \"192.168.42.{n}/25\", link = \"lan\" }}]\n")
    };
    load(&format!("{FAST}{}", group(&one, 31))).unwrap();
    let error = load(&format!("{FAST}{}{}", group(&one, 31), group(&other, 32))).unwrap_err().to_string();
    assert!(error.contains(&format!("`{one}` and `{other}` are the same to a heartbeat")), "{error}");
}

#[test]
fn nothing_is_in_two_groups() {
    let group = |name: &str, vip: &str, service: &str| {
        format!(
            "{FAST}\n[[groups]]\nname = \"{name}\"\nvips = [{{ address = \"{vip}/25\", link = \"lan\" }}]\nservices = [{service}]\n"
        )
    };
    load(&group("b", "192.168.42.15", "{ systemd = \"b\" }")).unwrap();
    for (text, key, what) in [
        (group("web", "192.168.42.15", ""), "groups[1].name", "group `web` is at line"),
        (group("b", "192.168.42.14", ""), "groups[1].vips[0].address", "the VIP 192.168.42.14 is at line"),
        (group("b", "192.168.42.15", SERVICE), "groups[1].services[0]", "the service process nginx"),
        (
            group("b", "192.168.42.15", "{ systemd = \"x\" }, { systemd = \"x.service\" }"),
            "groups[1].services[1]",
            "systemd x.service",
        ),
    ] {
        let error = load(&text).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_group_names_existing_nodes_and_whole_services() {
    refused("preferred = \"master1\"", "preferred = \"m\"", "groups[0].preferred", &["no such node", "master1, master2"]);
    refused("failback = \"auto\"", "failback = \"never\"", "groups[0].failback", &["\"auto\", \"manual\""]);
    refused("failback = \"auto\"", "failback = { after = 30 }", "groups[0].failback.after", &["a number and a unit"]);
    refused(&format!("[{VIP}]"), "[]", "groups[0].name", &["no VIP"]);
    for odd in ["{ }", "{ systemd = \"a\", lsb = \"b\" }", "{ systemd = \"\" }", "{ process = [] }", "{ lsb = \"../x\" }"] {
        let Err(error) = load(&changed(SERVICE, odd)) else { panic!("accepted {odd}") };
        assert!(error.key.starts_with("groups[0].services[0]") && error.to_string().contains("allowed: one of"), "{error}");
    }
    let config = accepted("failback = \"auto\"", "failback = { after = \"30s\" }");
    assert_eq!(config.groups[0].failback, Failback::After(Span::secs(30)));
    let config = accepted(SERVICE, "{ lsb = \"nginx\", stop_timeout = \"5s\" }");
    let service = &config.groups[0].services[0];
    let lsb = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        ServiceKind::Lsb(LsbConfig { script: "/etc/init.d/nginx".into(), arguments })
    };
    assert_eq!(service.kind, lsb(&[]));
    let with = accepted(SERVICE, "{ lsb = \"nginx\", arguments = [\"a\", \"b c\"] }");
    assert_eq!(with.groups[0].services[0].kind, lsb(&["a", "b c"]));
    assert_ne!(with.digest, config.digest);
    assert_eq!((service.start_timeout, service.stop_timeout), (Span::secs(30), Span::secs(5)));
    assert_eq!(config.settings("master1").unwrap().groups[0].services, settings::Services::Cold);
}

#[test]
fn the_log_table_is_read() {
    let with = |lines: &str| load(&format!("{FAST}\n[log]\n{lines}\n"));
    let log = with("level = \"debug\"\nfile = \"/var/log/t\"\nsyslog = \"local0\"\njournald = true").unwrap().log;
    assert_eq!((log.level, log.syslog, log.journald), (tracing::Level::DEBUG, Some("local0"), Some(true)));
    for (line, key) in [("level = \"loud\"", "log.level"), ("file = \"t\"", "log.file"), ("syslog = \"x\"", "log.syslog")] {
        assert_eq!(with(line).unwrap_err().key, key);
    }
}

#[test]
fn the_journal_table_is_read() {
    let with = |lines: &str| load(&format!("{FAST}\n[journal]\n{lines}\n"));
    assert_eq!(with("keep = \"64MiB\"").unwrap().journal.keep, 64 << 20);
    assert_eq!(with("").unwrap().journal.keep, load(FAST).unwrap().journal.keep);
    for line in ["keep = \"64\"", "keep = \"1MiB\"", "keep = \"2000GiB\"", "keep = \"lots\""] {
        let error = with(line).unwrap_err();
        assert_eq!(error.key, "journal.keep", "{line}");
        assert!(error.to_string().contains("4MiB to 1024GiB"), "{error}");
    }
    assert!(with("kept = \"64MiB\"").unwrap_err().to_string().contains("allowed here: `keep`"));
}

#[test]
fn the_digest_is_of_what_both_must_agree_on() {
    let digest = load(FAST).unwrap().digest;
    assert_eq!(
        load(&format!("# note\n{FAST}\n[log]\nlevel = \"debug\"\n[journal]\nkeep = \"5MiB\"\n[realtime]\nnice = 0\n[[hooks]]\nrun = [\"x\"]\n"))
            .unwrap()
            .digest,
        digest
    );
    for (from, to) in [("dead = \"1s\"", "dead = \"1.1s\""), ("port = 694", "port = 695"), ("warm = true", "warm = false")] {
        assert_ne!(accepted(from, to).digest, digest, "{to}");
    }
    let config = load(FAST).unwrap();
    assert_eq!(config.settings("master1").unwrap().digest, config.settings("master2").unwrap().digest);
}

#[test]
fn a_host_name_with_a_domain_finds_its_node() {
    let config = load(FAST).unwrap();
    assert_eq!(config.node("master2.example.org").unwrap(), NodeId(1));
    let error = config.settings("other").unwrap_err().to_string();
    assert!(error.contains("master1, master2 (this machine is \"other\""), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic_the_loader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = load(&String::from_utf8_lossy(&bytes)).map_err(|e| e.to_string());
    }

    #[test]
    fn a_mutated_file_never_panics_the_loader(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..30, "[\\[\\]{}=\".,:/0-9a-z\n\u{e4}\u{1F600} -]{0,12}"), 1..6),
    ) {
        let mut text: Vec<char> = FAST.chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = load(&text) {
            prop_assert!(!error.to_string().is_empty());
            prop_assert!(error.line <= text.lines().count().max(1) + 1);
        }
    }

    #[test]
    fn any_timing_that_is_accepted_holds_its_relations(h in 1u64..3_000, warn in 1u64..9_000, lease in 1u64..9_000, dead in 1u64..40_000) {
        let lines = format!("heartbeat = \"{h}ms\"\nwarn = \"{warn}ms\"\nlease = \"{lease}ms\"\ndead = \"{dead}ms\"\ninit_dead = \"60s\"");
        if let Ok(config) = load(&RECIPE.replace("profile = \"classic\"", &lines)) {
            let t = config.timing;
            prop_assert!(t.heartbeat < t.warn && t.heartbeat < t.lease && t.init_dead >= t.dead && t.dead >= t.least_dead());
        }
    }
}

#[test]
fn the_errors_in_the_documentation_are_the_real_ones() {
    let documented = include_str!("../../docs/CONFIGURATION.md");
    let mut missing = Vec::new();
    for (from, to) in [
        ("heartbeat = \"100ms\"", "heartbeat = 100"),
        ("dead = \"1s\"", "dead = \"900ms\""),
        ("port = 694", "prot = 694"),
        (VIP, "{ address = \"192.168.42.14/33\", link = \"lan\", label = \"0\" }"),
    ] {
        let error = load(&changed(from, to)).unwrap_err().to_string();
        if !documented.contains(&error) {
            missing.push(error);
        }
    }
    assert!(missing.is_empty(), "docs/CONFIGURATION.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn the_realtime_table_is_read() {
    use crate::{Policy, Scheduling};
    let with = |lines: &str| load(&format!("{FAST}\n[realtime]\n{lines}\n"));
    let policy = |lines: &str| with(lines).unwrap().realtime.scheduling.policy;
    assert_eq!(with("").unwrap().realtime, load(FAST).unwrap().realtime);
    assert_eq!(policy("policy = \"rr\""), Policy::RoundRobin { priority: 1 });
    assert_eq!(policy("policy = \"fifo\"\npriority = 50"), Policy::Fifo { priority: 50 });
    assert_eq!(policy("nice = -5"), Policy::Other { nice: -5 });
    let placed = with("cpus = [0, 3]\nlock_memory = false").unwrap().realtime;
    assert_eq!((placed.scheduling.cpus, placed.lock_memory), (Some(vec![0, 3]), false));
    assert_eq!(with("").unwrap().realtime.scheduling, Scheduling::default());
    for (lines, key, said) in [
        ("policy = \"batch\"", "realtime.policy", "\"other\", \"rr\", \"fifo\""),
        ("policy = \"rr\"\nnice = -5", "realtime.nice", "it has `priority`"),
        ("priority = 5", "realtime.priority", "it has `nice`"),
        ("policy = \"fifo\"\npriority = 100", "realtime.priority", "from 1 to 99"),
        ("nice = 1", "realtime.nice", "from -20 to 0"),
        ("cpus = []", "realtime.cpus", "one CPU number or more"),
        ("cpus = [-1]", "realtime.cpus[0]", "from 0 to 1023"),
    ] {
        let error = with(lines).unwrap_err();
        assert!(error.key == key && error.to_string().contains(said), "{lines}: {error}");
    }
}

#[test]
fn hooks_are_read_and_what_is_wrong_with_one_is_named() {
    use crate::HookEvent;
    let with = |lines: &str| load(&format!("{FAST}\n[[hooks]]\n{lines}\n"));
    let hook = with("run = [\"/usr/local/sbin/notify\", \"a b\"]").unwrap().hooks.remove(0);
    assert_eq!(hook.run, ["/usr/local/sbin/notify", "a b"]);
    assert_eq!((hook.on.len(), hook.groups, hook.timeout), (4, None, Span::secs(10)));
    let hook = with("run = [\"x\"]\non = [\"role\", \"role\"]\ngroups = [\"web\"]\ntimeout = \"5m\"").unwrap().hooks.remove(0);
    assert_eq!(hook.on.into_iter().collect::<Vec<_>>(), [HookEvent::Role]);
    assert_eq!((hook.groups, hook.timeout), (Some(vec!["web".into()]), Span::secs(300)));
    for (lines, key, said) in [
        ("run = []", "hooks[0].run", "an absolute path, or a name in PATH"),
        ("run = [\"\"]", "hooks[0].run", "an absolute path, or a name in PATH"),
        ("run = [\"hooks/mail\"]", "hooks[0].run", "an absolute path, or a name in PATH"),
        ("run = [\"a\", \"b\\u0000\"]", "hooks[0].run", "without zero bytes"),
        ("run = \"notify web\"", "hooks[0].run", "a list in [ ]"),
        ("on = [\"role\"]", "hooks[0]", "`run` is missing"),
        ("run = [\"x\"]\non = []", "hooks[0].on", "\"role\", \"health\""),
        ("run = [\"x\"]\non = [\"roles\"]", "hooks[0].on[0]", "\"role\", \"health\""),
        ("run = [\"x\"]\ngroups = [\"web\", \"db\"]", "hooks[0].groups[1]", "the groups \"web\""),
        ("run = [\"x\"]\ngroups = []", "hooks[0].groups", "the groups \"web\""),
        ("run = [\"x\"]\ntimeout = \"500ms\"", "hooks[0].timeout", "1s to 300s"),
        ("run = [\"x\"]\ntimeout = 10", "hooks[0].timeout", "a number and a unit"),
        ("run = [\"x\"]\nshell = true", "hooks[0].shell", "allowed here: `run`, `on`, `groups`, `timeout`"),
        ("run = [\"x\"]\n[[hooks]]\nrun = [\"x\"]", "hooks[1].run", "the hook x is at line"),
    ] {
        let error = with(lines).unwrap_err();
        assert!(error.key == key && error.to_string().contains(said), "{lines}: {error}");
    }
    let many: String = (0..16).map(|n| format!("[[hooks]]\nrun = [\"{n}\"]\n")).collect();
    assert_eq!(load(&format!("{FAST}\n{many}")).unwrap().hooks.len(), 16);
    let error = load(&format!("{FAST}\n{many}[[hooks]]\nrun = [\"16\"]")).unwrap_err().to_string();
    assert!(error.contains("17 hooks; at most 16"), "{error}");
    let error = load(&format!("{FAST}\n[hooks]\nrun = [\"x\"]\n")).unwrap_err();
    assert!(error.key == "hooks" && error.to_string().contains("a list"), "{error}");
}

#[test]
fn a_slip_is_answered_with_what_was_meant_and_where_it_began() {
    let refused = |from: &str, to: &str| {
        let text = include_str!("../../scenarios/pairs/fast.toml");
        assert!(text.contains(from), "{from}");
        Config::load(Path::new("t.toml"), &text.replacen(from, to, 1)).unwrap_err()
    };
    let error = refused("cluster =", "clsuter =").to_string();
    assert!(error.contains("unknown key `clsuter` (did you mean `cluster`?)"), "{error}");
    let error = refused("cluster =", "colour =").to_string();
    assert!(!error.contains("did you mean"), "{error}");
    // The bracket that is open, and not the line where that was noticed.
    let text = include_str!("../../scenarios/pairs/fast.toml");
    let line = text.lines().position(|line| line.starts_with("vips = [")).unwrap() + 1;
    let whole = text.lines().nth(line - 1).unwrap();
    let error = refused(whole, whole.trim_end().strip_suffix(']').unwrap());
    assert!(error.line == line && error.to_string().contains("this bracket is not closed"), "{error}");
    let error = refused("cluster =", "cluster = \"first\"\ncluster =");
    let first = text.lines().position(|line| line.starts_with("cluster")).unwrap() + 1;
    assert!(error.to_string().contains(&format!("the first one is in line {first}")), "{error}");
    let error = refused("\"192.168.42.12\"", "\"192.168.042.12\"").to_string();
    assert!(error.contains("leading zero"), "{error}");
    let error =
        Config::load(Path::new("ha.cf"), "keepalive 2\ndeadtime 30\nnode master1\nnode master2\n").unwrap_err().to_string();
    assert!(error.contains("ha.cf of heartbeat"), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text in "[a-z=\"'\\[\\]{}#\\\\ \n.,]{0,120}") {
        let _ = Config::load(Path::new("t.toml"), &text);
    }
}

#[test]
fn how_a_node_is_turned_off_is_read_and_what_makes_no_sense_is_refused() {
    let with = |lines: &str| {
        load(&FAST.replacen("[nodes.master1.links]", &format!("[nodes.master1.fence]\n{lines}\n[nodes.master1.links]"), 1))
    };
    let config =
        with("agent = \"fence_ipmilan\"\nparameters = { ip = \"10.0.0.1\", port = 623, lanplus = true }\ndelay = \"0s\"")
            .unwrap();
    let fence = config.nodes[0].fence.as_ref().unwrap();
    let FenceBy::Agent { agent, parameters } = &fence.by else { panic!("{fence:?}") };
    let given: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!((agent.as_str(), given), ("fence_ipmilan", vec!["ip=10.0.0.1".into(), "lanplus=true".into(), "port=623".into()]));
    assert_eq!((fence.timeout, fence.retries), (Span::secs(20), 1));
    // It is the other node's affair.
    assert!(config.settings("master1").unwrap().fencing.is_none());
    assert_eq!(config.settings("master2").unwrap().fencing.unwrap().delay, Span::ZERO);
    let command = with("command = [\"/usr/local/sbin/off\", \"master1\"]\nretries = 0").unwrap();
    assert!(matches!(&command.nodes[0].fence.as_ref().unwrap().by, FenceBy::Command(argv) if argv.len() == 2));
    assert_eq!(command.digest, config.digest, "each node turns the other one off in its own way");
    for (lines, key, words) in [
        ("", "nodes.master1.fence", "one of `command` and `agent`"),
        ("agent = \"a\"\ncommand = [\"b\"]", "nodes.master1.fence", "one of `command` and `agent`"),
        ("agent = \"\"", "nodes.master1.fence.agent", "an agent's name"),
        ("agent = \"sbin/a\"", "nodes.master1.fence.agent", "an absolute path"),
        ("command = []", "nodes.master1.fence.command", "a program"),
        ("command = [\"a\"]\nparameters = { a = 1 }", "nodes.master1.fence.parameters.a", "no parameters with a command"),
        ("agent = \"a\"\nparameters = { \"a b\" = 1 }", "nodes.master1.fence.parameters", "letters, digits"),
        ("agent = \"a\"\nparameters = { a = \"1\\n2\" }", "nodes.master1.fence.parameters.a", "one line"),
        ("agent = \"a\"\ntimeout = \"0s\"", "nodes.master1.fence.timeout", "1s"),
        ("agent = \"a\"\nretries = 11", "nodes.master1.fence.retries", "0 to 10"),
        ("agent = \"a\"\ndelay = \"1h\"", "nodes.master1.fence.delay", "300s"),
    ] {
        let error = with(lines).unwrap_err();
        assert!(error.key.starts_with(key) && error.to_string().contains(words), "{lines}: {}: {error}", error.key);
    }
    assert!(with("agnt = \"a\"").unwrap_err().to_string().contains("allowed here: `command`"));
}
