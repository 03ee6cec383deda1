//! keepalived's files.

use super::*;
use twinbeat_core::settings::Failback;
use twinbeat_core::time::Span;

fn conf(name: &str) -> Source {
    input(&format!("keepalived/{name}.conf")).unwrap()
}

fn text(text: &str) -> Source {
    Source { name: "k.conf".to_owned(), text: text.to_owned() }
}

fn nothing(_: &str, _: &str) -> Result<Vec<Source>, Wrong> {
    Ok(Vec::new())
}

#[track_caller]
fn made(files: &[Source], ids: &[&str]) -> Import {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let import = keepalived::import(files, &ids, &mut nothing, &Options::default()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    judge(&import);
    import
}

#[track_caller]
fn refused(files: &[Source]) -> Vec<String> {
    let made = keepalived::import(files, &[], &mut nothing, &Options::default());
    made.map(|import| import.text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn instance(inner: &str) -> Source {
    text(&format!("vrrp_instance V {{\ninterface eth0\n{inner}\nvirtual_ipaddress {{\n10.0.0.9/24\n}}\n}}\n"))
}

#[test]
fn the_usual_tutorial() {
    let import = made(&[conf("classic")], &[]);
    has_line(&import, "    { address = \"203.0.113.10/24\", link = \"ens3\", label = \"vip\" },    # keepalived/classic.conf:22");
    has_line(&import, "preferred = \"web1\"    # keepalived/classic.conf:12");
    has_line(
        &import,
        "# services = [{ systemd = \"nginx\", warm = true }]    # a proposal: keepalived/classic.conf:6 asks after it",
    );
    assert!(import.text.contains("profile = \"default\"    # keepalived/classic.conf:16: advert_int 1s"), "{}", import.text);
    tells(&import, Kind::Assumed, "router_id web1: taken as the node's name");
    tells(&import, Kind::Assumed, "state MASTER: web1 taken as the preferred one");
    tells(&import, Kind::ByHand, "notify_master /etc/keepalived/master.sh: not taken over");
    tells(&import, Kind::ByHand, "chk_nginx: asks after nginx");
    tells(&import, Kind::LeftOut, "authentication: the password is not taken over");
    assert!(!import.text.contains("s3cret42") && !import.text.contains("master.sh up"), "arguments may be secrets");
    let config = by_hand(
        &import,
        &[
            ("FILL IN: what `twinbeat keygen` prints on web1", KEYS[0]),
            ("FILL IN: what `twinbeat keygen` prints on node 2", KEYS[1]),
            ("FILL IN the host name of node 2", "web2"),
            ("FILL IN the host name of node 2", "web2"),
            ("FILL IN: its own address there", "203.0.113.11"),
            ("FILL IN: its own address there", "10.254.0.1"),
            ("FILL IN: its own address there", "203.0.113.12"),
            ("FILL IN: its own address there", "10.254.0.2"),
            ("FILL IN: interface of another path between the nodes: a cable of its own is best", "ens4"),
            ("FILL IN: interface of another path between the nodes: a cable of its own is best", "ens4"),
            ("FILL IN: the gateway's address", "203.0.113.1"),
        ],
    );
    assert_eq!(config.timing.dead, Span::secs(2));
}

#[test]
fn both_nodes_with_unicast_lack_only_keys_and_a_gateway() {
    let import = made(&[conf("unicast1"), conf("unicast2")], &[]);
    assert_eq!(placeholders(&import.text).len(), 3, "{}", import.text);
    has_line(&import, "failback = \"manual\"    # keepalived/unicast1.conf:15: nopreempt");
    has_line(
        &import,
        "preferred = \"lb1\"    # priority 150 (keepalived/unicast1.conf:18) and 100 (keepalived/unicast2.conf:18)",
    );
    has_line(&import, "    { to = \"0.0.0.0/0\", via = \"198.51.100.14\", link = \"eth0\" },    # keepalived/unicast1.conf:28");
    tells(&import, Kind::LeftOut, "10.9.0.1: brd 10.9.0.255");
    tells(&import, Kind::ByHand, "group lb: notify /usr/local/bin/changed.sh");
    let config = Config::load(Path::new("f"), &import.filled).unwrap();
    assert_eq!(config.groups.len(), 1, "a sync group is one group");
    assert_eq!(
        config.groups[0].vips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["198.51.100.1/28", "2001:db8:1::1/64", "10.9.0.1/24"]
    );
    assert_eq!(config.nodes[0].links[0].address.to_string(), "198.51.100.2");
    assert_eq!(config.nodes[1].links[1].address.to_string(), "10.9.0.3");
    assert_eq!(config.groups[0].failback, Failback::Manual);
}

#[test]
fn one_file_for_both_nodes_told_apart_by_the_configuration_id() {
    let import = made(&[conf("shared")], &["node-a", "node-b"]);
    assert!(
        import.text.contains("bond0-77 = { interface = \"bond0.77\", address = \"10.77.0.11\" }    # keepalived/shared.conf:16; keepalived/shared.conf:24"),
        "{}",
        import.text
    );
    has_line(&import, "failback = { after = \"60s\" }    # keepalived/shared.conf:23: preempt_delay");
    assert!(import.text.contains("profile = \"fast\"") && import.text.contains("[nodes.node-b]"), "{}", import.text);
    has_line(
        &import,
        "# services = [{ systemd = \"haproxy\", warm = true }]    # a proposal: keepalived/shared.conf:11 asks after it",
    );
    let config = Config::load(Path::new("f"), &import.filled).unwrap();
    assert_eq!(config.groups[0].vips.len(), 2);
    // Without ids nothing is guessed.
    let wrong = refused(&[conf("shared")]);
    assert!(
        wrong.iter().any(|wrong| wrong.contains("lines depend on the configuration id (@node-a, @node-b): --id NAME")),
        "{wrong:#?}"
    );
}

#[test]
fn what_twinbeat_refuses_of_it_is_told_with_its_line() {
    let import = made(&[conf("two-masters")], &[]);
    // A group of the other family alone; a second network on an interface is none of it.
    tells(&import, Kind::Refused, "keepalived/two-masters.conf:26");
    tells(&import, Kind::Refused, "the first VIP of a group is its guard");
    tells(&import, Kind::Assumed, "B: state BACKUP: node 2 taken as the preferred one");
    tells(&import, Kind::Assumed, "advert_int 12s and 1s");
    tells(&import, Kind::LeftOut, "virtual_server 192.168.1.100: IPVS");
}

#[test]
fn keywords_without_a_counterpart_and_unknown_ones() {
    let import = made(&[conf("vmac")], &[]);
    tells(&import, Kind::LeftOut, "gateway: use_vmac: the address keeps no MAC address");
    tells(&import, Kind::LeftOut, "vrrp_garp_master_refresh: twinbeat announces");
    tells(&import, Kind::LeftOut, "172.20.0.1 a second time");
    tells(&import, Kind::LeftOut, "172.20.0.5: scope link");
    tells(&import, Kind::Assumed, "172.20.0.5: was not in the advertisements");
    tells(&import, Kind::ByHand, "`a_new_keyword`: the import does not know this");
    tells(&import, Kind::ByHand, "`something_new`: the import does not know this");
    assert!(import.text.contains("profile = \"classic\""), "{}", import.text);
    assert!(
        import.text.contains("\"172.20.0.1/FILL IN the network's prefix\", link = \"eth2\", label = \"1\""),
        "{}",
        import.text
    );
    assert!(import.text.contains("eth2 = { interface = \"eth2\", address = \"172.20.0.3\" }"), "{}", import.text);
    tells(&import, Kind::ByHand, "web: asks after nginx");
}

#[test]
fn includes_are_followed_and_have_an_end() {
    let main = text("global_defs {\nrouter_id a\n}\ninclude conf.d/*.conf\n");
    let mut open = |pattern: &str, from: &str| {
        assert_eq!((pattern, from), ("conf.d/*.conf", "k.conf"));
        let text = "vrrp_instance V {\ninterface eth0\nvirtual_ipaddress { 10.0.0.9/24 }\n}\n".to_owned();
        Ok(vec![Source { name: "conf.d/v.conf".to_owned(), text }])
    };
    let import = keepalived::import(std::slice::from_ref(&main), &[], &mut open, &Options::default()).unwrap();
    judge(&import);
    has_line(&import, "    { address = \"10.0.0.9/24\", link = \"eth0\" },    # conf.d/v.conf:3");
    let mut itself = |_: &str, _: &str| Ok(vec![main.clone(), main.clone()]);
    let wrong = keepalived::import(std::slice::from_ref(&main), &[], &mut itself, &Options::default())
        .map(|import| import.text)
        .unwrap_err();
    assert!(wrong.iter().any(|wrong| wrong.words.contains("includes itself") || wrong.words.contains("64 files")), "{wrong:?}");
    let mut none = |_: &str, _: &str| Err(Wrong::new(Place::file("conf.d"), "cannot be read"));
    let wrong = keepalived::import(std::slice::from_ref(&main), &[], &mut none, &Options::default())
        .map(|import| import.text)
        .unwrap_err();
    assert!(wrong[0].to_string().starts_with("k.conf:4: include conf.d/*.conf: "), "{wrong:?}");
}

#[test]
fn quotes_comments_and_braces_as_keepalived_reads_them() {
    let source = text(
        "vrrp_script c { script \"pidof -x nginx # no comment\" ! one\n}\nvrrp_instance 'V 1'\n{ interface eth0 # public\n\
         notify_master \"/bin/x 'a b' !\"\ntrack_script { c }\nvirtual_ipaddress { 10.0.0.9/24 label eth0:a\n 10.0.0.10/24 } }\n",
    );
    let import = made(&[source], &[]);
    tells(&import, Kind::ByHand, "V 1: notify_master /bin/x: not taken over");
    has_line(&import, "name = \"V-1\"    # k.conf:3");
    has_line(&import, "    { address = \"10.0.0.9/24\", link = \"eth0\", label = \"a\" },    # k.conf:7");
    tells(&import, Kind::ByHand, "c: asks after nginx");
}

#[test]
fn definitions_without_end_have_one() {
    for bomb in [
        "$A=$A\nvrrp_instance V {\n$A\n}\n".to_owned(),
        "$A= \\\n$A \\\n$A\n$A\n".to_owned(),
        format!(
            "$A={}\n{}",
            "x ".repeat(1_000),
            (0..30).map(|n| format!("$B{n}=${{B{}}}${{B{}}}\n", n + 1, n + 1)).collect::<String>() + "$B30=$A\n$B0\n"
        ),
    ] {
        let wrong = refused(&[text(&bomb)]);
        assert!(!wrong.is_empty() && wrong.iter().all(|wrong| wrong.len() < 1_000), "{wrong:?}");
    }
}

#[test]
fn all_that_is_wrong_is_told_with_its_line_and_nothing_is_written() {
    let wrong = refused(&[instance("priority 300\nadvert_int x\nstate LEADER\nunicast_src_ip 10.0.0\npreempt_delay 9999")]);
    for at in ["k.conf:3: ", "k.conf:4: ", "k.conf:5: ", "k.conf:6: ", "k.conf:7: "] {
        assert!(wrong.iter().any(|wrong| wrong.starts_with(at)), "{at} {wrong:#?}");
    }
    let wrong = refused(&[instance("unicast_peer {\n10.0.0.2\n10.0.0.3\n}")]);
    assert_eq!(wrong, ["k.conf:5: 10.0.0.3 is a third node; twinbeat is for exactly two"]);
    for (body, words) in [
        ("vrrp_instance V {\ninterface eth0\n", "k.conf:1: this `{` is not closed"),
        ("vrrp_instance V {\n}\n}\n", "k.conf:3: `}` without a `{`"),
        ("{\n}\nvrrp_instance V {\n}\n", "k.conf:1: `{` without a name"),
        ("vrrp_instance V {\nnotify \"x\n}\n", "k.conf:2: a quote is not closed"),
        ("vrrp_instance V {\nvirtual_ipaddress {\n10.0.0/24\n}\n}\n", "k.conf:3: `10.0.0/24` is no IP address"),
        ("vrrp_instance V {\ninterface eth0\n}\n", "no vrrp_instance has a virtual address"),
        ("vrrp_instance V {\n~SEQ(X, 1, 3)\n}\n", "k.conf:2: ~SEQ and ~LST"),
    ] {
        let wrong = refused(&[text(body)]);
        assert!(wrong.iter().any(|wrong| wrong.contains(words)), "{words}: {wrong:#?}");
    }
}

#[test]
fn what_is_no_keepalived_conf_is_said_to_be_none() {
    for other in ["", "# only a comment\n", "root:x:0:0::/root:/bin/sh\n", "[nodes]\na = 1\n", "server {\n listen 80;\n}\n"] {
        let wrong = refused(&[text(other)]);
        assert!(wrong.len() == 1 && wrong[0].starts_with("k.conf: not a keepalived.conf"), "{wrong:?}");
    }
    let wrong = refused(&[text("virtual_server 10.0.0.1 80 {\n}\n")]);
    assert!(wrong[0].contains("nothing in this file moves"), "{wrong:?}");
}

#[test]
fn the_samples_of_debians_package() {
    let samples = "usr/share/doc/keepalived/samples";
    for name in [
        "vrrp",
        "vrrp.sync",
        "vrrp.scripts",
        "vrrp.rules",
        "vrrp.routes",
        "vrrp.localcheck",
        "track_interface",
        "vrrp.static_ipaddress",
    ] {
        let Some(source) = foreign(&format!("{samples}/keepalived.conf.{name}")) else { continue };
        made(&[source], &[]);
    }
    for name in ["sample", "SSL_GET", "vrrp.lvs_syncd"] {
        let Some(source) = foreign(&format!("{samples}/keepalived.conf.{name}")) else { continue };
        made(&[source], &[]);
    }
    if let Some(source) = foreign(&format!("{samples}/keepalived.conf.conditional_conf")) {
        made(&[source], &["high", "low"]);
    }
    if let Some(source) = foreign(&format!("{samples}/keepalived.conf.HTTP_GET.port")) {
        assert!(refused(&[source])[0].contains("nothing in this file moves"));
    }
}

#[test]
fn routes_and_rules_that_move_are_taken_over_each_with_its_line_and_what_cannot_be_is_named() {
    let import = made(
        &[text(
            "vrrp_instance V {\ninterface eth0\nvirtual_ipaddress {\n192.168.200.9/24\n}\n\
             virtual_routes {\n\
             src 192.168.200.9 to 192.168.109.0/24 via 192.168.200.254 dev eth0\n\
             192.168.110.0/24 via 192.168.200.254 dev eth7 table 5 metric 10 onlink\n\
             default via inet 192.168.200.254 scope global no_track\n\
             blackhole 192.168.112.0/24\n\
             192.168.113.0/24 via 192.168.200.254 table small\n\
             192.168.114.0/24 nexthop via 192.168.200.1 nexthop via 192.168.200.2\n\
             via 192.168.200.254\n}\n\
             virtual_rules {\n\
             from 192.168.200.9 lookup 5 prio 1000\n\
             from all to 192.168.29.0/24 fwmark 0x10/0xff table main\n\
             from 192.168.200.9 iif eth0 table 5\n\
             from 192.168.200.9 blackhole\n}\n}\n",
        )],
        &[],
    );
    for line in [
        "    { source = \"192.168.200.9\", to = \"192.168.109.0/24\", via = \"192.168.200.254\", link = \"eth0\" },    # k.conf:7",
        "    { to = \"192.168.110.0/24\", via = \"192.168.200.254\", table = 5, metric = 10, onlink = true, interface = \"eth7\" },    # k.conf:8",
        "    { to = \"default\", via = \"192.168.200.254\", link = \"eth0\" },    # k.conf:9",
        "    { from = \"192.168.200.9\", table = 5, priority = 1000 },    # k.conf:16",
        "    { to = \"192.168.29.0/24\", fwmark = 16, fwmask = 255, table = 254, priority = 32764 },    # k.conf:17",
    ] {
        has_line(&import, line);
    }
    tells(&import, Kind::Assumed, "k.conf:9: a route without `dev`");
    tells(&import, Kind::Assumed, "k.conf:17: a rule without a priority: 32764 taken");
    tells(&import, Kind::ByHand, "k.conf:10: virtual_routes: blackhole 192.168.112.0/24: not taken over: `blackhole`");
    tells(&import, Kind::ByHand, "`table small`, which is a name of /etc/iproute2/rt_tables");
    tells(&import, Kind::ByHand, "k.conf:12");
    tells(&import, Kind::ByHand, "it leads nowhere");
    tells(&import, Kind::ByHand, "k.conf:18: virtual_rules: from 192.168.200.9 iif eth0 table 5: not taken over: `iif`");
    tells(&import, Kind::ByHand, "k.conf:19");
    let config = Config::load(Path::new("f"), &import.filled).unwrap();
    assert_eq!((config.groups[0].routes.len(), config.groups[0].rules.len()), (3, 2));
}

#[test]
fn interfaces_that_are_tracked_go_on_being_tracked() {
    let import = made(&[instance("track_interface {\neth0\neth5 weight 10\neth6\n}\n")], &[]);
    for line in ["track = [", "    \"eth5\",    # k.conf:5", "    \"eth6\",    # k.conf:6"] {
        has_line(&import, line);
    }
    tells(&import, Kind::LeftOut, "k.conf:4: V: track_interface eth0: the public link is watched by itself");
    tells(&import, Kind::Assumed, "k.conf:5: V: track_interface eth5: no weights");
    let config = Config::load(Path::new("f"), &import.filled).unwrap();
    assert_eq!(config.groups[0].track.len(), 2);
}
