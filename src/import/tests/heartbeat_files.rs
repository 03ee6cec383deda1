//! heartbeat's files.

use super::*;
use crate::heartbeat::Dir;
use twinbeat_core::settings::Failback;
use twinbeat_core::time::Span;

fn dir(name: &str) -> Dir {
    let file = |file: &str| input(&format!("heartbeat/{name}/{file}"));
    Dir { name: format!("/old/{name}"), ha_cf: file("ha.cf"), haresources: file("haresources"), authkeys: file("authkeys") }
}

fn text(ha_cf: &str, haresources: &str) -> Dir {
    let source = |name: &str, text: &str| Some(Source { name: name.to_owned(), text: text.to_owned() });
    Dir { name: ".".to_owned(), ha_cf: source("ha.cf", ha_cf), haresources: source("haresources", haresources), authkeys: None }
}

#[track_caller]
fn made(dirs: &[Dir], options: &Options) -> Import {
    let import = heartbeat::import(dirs, options).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    judge(&import);
    import
}

#[track_caller]
fn refused(dirs: &[Dir], options: &Options) -> Vec<String> {
    heartbeat::import(dirs, options).map(|import| import.text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_recipe_lacks_only_keys_and_public_addresses() {
    let import = made(&[dir("recipe/master1"), dir("recipe/master2")], &Options::default());
    has_line(&import, "heartbeat = \"2s\"    # heartbeat/recipe/master1/ha.cf:4");
    has_line(
        &import,
        "eth1 = { interface = \"eth1\", address = \"10.1.1.1\" }    # heartbeat/recipe/master1/ha.cf:9; heartbeat/recipe/master2/ha.cf:9",
    );
    has_line(&import, "    { lsb = \"nginx\" },    # heartbeat/recipe/master1/haresources:1");
    assert_eq!(placeholders(&import.text).len(), 4, "{}", import.text);
    tells(&import, Kind::LeftOut, "ha.cf:14: ipfail: not needed");
    tells(&import, Kind::LeftOut, "authkeys:1: md5");
    tells(&import, Kind::Assumed, "master1's files, since the directory is called so");
    assert!(!import.text.contains("Hello"), "a secret");
    let config = by_hand(
        &import,
        &[
            ("FILL IN: what `twinbeat keygen` prints on master1", KEYS[0]),
            ("FILL IN: what `twinbeat keygen` prints on master2", KEYS[1]),
            ("FILL IN: its own address there", "192.168.42.12"),
            ("FILL IN: its own address there", "192.168.42.13"),
        ],
    );
    let classic = Config::load(Path::new("c"), include_str!("../../../scenarios/pairs/recipe-classic.toml")).unwrap();
    assert_eq!(config.timing, classic.timing);
    assert_eq!(config.port, 694);
    let group = &config.groups[0];
    assert_eq!((group.vips[0].to_string().as_str(), group.vips[0].label.as_deref()), ("192.168.42.14/25", Some("0")));
    assert_eq!(group.services[0].kind, lsb("/etc/init.d/nginx", &[]));
    assert_eq!(&*config.nodes[group.preferred.unwrap().index()].name, "master1");
    assert_eq!(group.failback, Failback::Auto);
    assert_eq!(config.log.syslog, Some("local0"));
}

#[test]
fn one_nodes_files_give_the_other_nodes_address_and_a_unit_where_asked() {
    let options = Options { systemd: true, nodes: vec!["master2".to_owned()], ..Options::default() };
    let import = made(&[dir("recipe/master1")], &options);
    // Files of master2 would have said that master1 is 10.1.1.2: the option counts, not the directory.
    let node = import.text.split("[nodes.master1]").nth(1).unwrap();
    assert!(node.lines().nth(3).unwrap().contains("address = \"10.1.1.2\""), "{}", import.text);
    has_line(&import, "    { systemd = \"nginx\" },    # heartbeat/recipe/master1/haresources:1");
    // Without any word of whose they are, neither is taken.
    let mut nameless = dir("recipe/master1");
    nameless.name = "/etc/ha.d".to_owned();
    let import = made(&[nameless.clone()], &Options::default());
    assert!(!import.text.contains("address = \"10.1.1"), "{}", import.text);
    assert_eq!(import.text.matches("FILL IN: its own address; 10.1.1.2 is one of the two").count(), 4, "both ends, and told");
    let import = made(&[nameless], &Options { host: Some("master1.example.com".to_owned()), ..Options::default() });
    tells(&import, Kind::Assumed, "since this machine is called so");
    let wrong = refused(&[dir("recipe/master1")], &Options { nodes: vec!["web9".to_owned()], ..Options::default() });
    assert!(wrong[0].contains("no such node; it has: master1, master2"), "{wrong:?}");
}

#[test]
fn two_groups_crosswise_by_broadcast() {
    let import = made(&[dir("crosswise")], &Options::default());
    has_line(&import, "port = 695    # heartbeat/crosswise/ha.cf:7");
    has_line(
        &import,
        "lease = \"1750ms\"    # heartbeat has none: how long the owner may serve on one answer, 3.1 to 3.5 heartbeats",
    );
    has_line(&import, "failback = \"manual\"    # heartbeat/crosswise/ha.cf:9");
    has_line(&import, "    { address = \"10.20.0.11/24\", link = \"eth0\" },    # heartbeat/crosswise/haresources:3");
    tells(&import, Kind::LeftOut, "haresources:1: MailTo::root@example.com::web: tells people of a move");
    tells(&import, Kind::LeftOut, "haresources:3: 10.20.0.11: the broadcast address");
    tells(&import, Kind::Assumed, "ping_group: there one answer");
    tells(&import, Kind::LeftOut, "ha.cf:13: deadping");
    assert!(!import.text.contains("nobody-sees") && !format!("{:?}", import.findings).contains("nobody-sees"));
    let config = Config::load(Path::new("f"), &import.filled).unwrap();
    assert_eq!(config.groups.iter().map(|group| &*group.name).collect::<Vec<_>>(), ["apache2", "postfix"]);
    assert_eq!(config.groups[1].services.len(), 2);
    assert_eq!(config.witness.targets.len(), 4);
    assert_ne!(config.groups[0].preferred, config.groups[1].preferred);
}

#[test]
fn what_needs_fencing_is_left_out_and_said_so() {
    let import = made(&[dir("storage")], &Options::default());
    tells(&import, Kind::LeftOut, "drbddisk::r0: promotes a DRBD device, which must not happen on both nodes");
    tells(&import, Kind::LeftOut, "Filesystem::/dev/drbd0::/srv/nfs::ext3: a disk that moves");
    tells(&import, Kind::LeftOut, "ha.cf:12: stonith_host: how a node is turned off is not guessed");
    tells(&import, Kind::LeftOut, "ha.cf:2: serial");
    assert!(!import.text.contains("topsecret"));
    // Both ends in one file: which is whose nobody knows.
    assert!(import.text.contains("FILL IN: its own address: one of 172.16.1.11, 172.16.1.12"), "{}", import.text);
    assert!(import.text.contains("[nodes.\"nfs1.example.com\"]"));
    // It has no interface, but both addresses of eth0 are in its network.
    has_line(&import, "    { address = \"172.16.1.10/24\", link = \"eth0\" },    # heartbeat/storage/haresources:1");
}

#[test]
fn figures_that_twinbeat_refuses_come_with_the_least_that_it_takes() {
    let import = made(&[dir("hasty")], &Options::default());
    has_line(&import, "dead = \"1s\"    # heartbeat/hasty/ha.cf:3");
    tells(&import, Kind::Refused, "ha.cf:3: with these figures twinbeat cannot keep its promise");
    let all = told(&import, Kind::Refused);
    let least = all.iter().find_map(|text| text.split("least allowed `dead`: ").nth(1)).unwrap_or_else(|| panic!("{all:#?}"));
    let least = least.split(' ').next().unwrap();
    let mended = import.filled.replace("dead = \"1s\"", &format!("dead = \"{least}\""));
    assert!(Config::load(Path::new("f"), &mended).is_ok(), "{least}");
    tells(&import, Kind::LeftOut, "mcast: the multicast group");
}

fn lsb(script: &str, arguments: &[&str]) -> ServiceKind {
    let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
    ServiceKind::Lsb(LsbConfig { script: script.into(), arguments })
}

#[test]
fn a_script_that_calls_an_agent_becomes_the_agent_and_arguments_stay_as_they_are() {
    let mut small = dir("small");
    let text = "left 10.0.0.50/24/eth0 apache::/etc/apache2/own.conf rsync::a\"b::c db2::db2inst1 OCF::db::one ../x::y\n";
    small.haresources = Some(Source::of_bytes("haresources", text.as_bytes()).unwrap());
    assert!(refused(&[small.clone()], &Options::default()).iter().any(|why| why.contains("not the name of a script")));
    small.haresources = Some(Source::of_bytes("haresources", text.replace(" ../x::y", "").as_bytes()).unwrap());
    let import = made(&[small], &Options::default());
    has_line(
        &import,
        "    { ocf = \"ocf:heartbeat:apache\", parameters = { configfile = \"/etc/apache2/own.conf\" } },    # haresources:1",
    );
    has_line(&import, "    { ocf = \"ocf:heartbeat:db2\", parameters = { instance = \"db2inst1\" } },    # haresources:1");
    tells(&import, Kind::LeftOut, "OCF::db::one: an OCF agent, whose parameters are not in haresources");
    let config = Config::load(Path::new("f"), &import.filled).unwrap();
    assert_eq!(config.groups[0].services[1].kind, lsb("/etc/ha.d/resource.d/rsync", &["a\"b", "c"]));
    assert_eq!(&*config.groups[0].name, "apache");
}

#[test]
fn what_is_missing_is_open_and_what_has_no_address_is_told() {
    let import = made(&[dir("small")], &Options::default());
    tells(&import, Kind::LeftOut, "haresources:2: tomcat: moves without an address");
    has_line(
        &import,
        "    { lsb = \"/etc/ha.d/resource.d/vsftpd\", arguments = [\"extra\"] },    # heartbeat/small/haresources:1",
    );
    tells(&import, Kind::ByHand, "try `/etc/ha.d/resource.d/vsftpd extra status; echo $?` in both states");
    assert!(import.text.contains("FILL IN: the gateway's address"), "{}", import.text);
    assert!(import.text.contains("10.0.0.50/FILL IN the network's prefix"), "{}", import.text);
    has_line(&import, "init_dead = \"32s\"    # heartbeat's own default");
    let config = Config::load(Path::new("f"), &import.filled).unwrap();
    let kinds: Vec<_> = config.groups[0].services.iter().map(|service| service.kind.clone()).collect();
    assert_eq!(kinds, [lsb("/etc/ha.d/resource.d/vsftpd", &["extra"]), lsb("/etc/init.d/lighttpd", &[])]);
    assert_eq!(&*config.groups[0].name, "vsftpd");
    assert_eq!(config.timing.lease, Span::secs(7));
}

#[test]
fn ipv6_and_both_nodes_lack_only_keys() {
    let import = made(&[dir("six/north"), dir("six/south")], &Options::default());
    assert_eq!(placeholders(&import.text).len(), 2, "{}", import.text);
    has_line(&import, "    { address = \"2001:db8:7::80/64\", link = \"eth0\" },    # heartbeat/six/north/haresources:1");
    assert!(!import.text.contains("no interface there"));
    tells(&import, Kind::Assumed, "no interface: taken as on link eth0, whose addresses are in that network");
    let config = by_hand(
        &import,
        &[
            ("FILL IN: what `twinbeat keygen` prints on north", KEYS[0]),
            ("FILL IN: what `twinbeat keygen` prints on south", KEYS[1]),
        ],
    );
    assert_eq!(config.timing.dead, Span::secs(3));
    assert_eq!(config.groups[0].vips.len(), 2);
}

#[test]
fn no_haresources_at_all_leaves_a_group_to_be_filled_in() {
    let mut dir = text("node a b\nbcast eth0 eth1\nping 10.0.0.1\n", "");
    dir.haresources = None;
    let import = made(&[dir], &Options::default());
    tells(&import, Kind::ByHand, "haresources names no address");
    assert!(import.text.contains("FILL IN: the virtual address with its prefix"));
}

#[test]
fn all_that_is_wrong_is_told_with_its_line_and_nothing_is_written() {
    let wrong = refused(
        &[text(
            "node a\nnode b c\nkeepalive soon\nudpport 99999\nucast eth0\nfrobnicate 3\nauto_failback maybe\n",
            "a 10.0.0.300/24 nginx\nd 10.0.0.1/24\nb 10.0.0.1/99\na\n",
        )],
        &Options::default(),
    );
    for at in
        ["ha.cf:3: ", "ha.cf:4: ", "ha.cf:5: ", "ha.cf:6: ", "ha.cf:7: ", "haresources:1: ", "haresources:3: ", "haresources:4: "]
    {
        assert!(wrong.iter().any(|wrong| wrong.starts_with(at)), "{at} {wrong:#?}");
    }
    let wrong = refused(&[text("node a\nnode b c\n", "d 10.0.0.1/24\n")], &Options::default());
    assert!(wrong[0].starts_with("ha.cf:2: `c` is a third node"), "{wrong:#?}");
    let wrong = refused(&[text("node a b\n", "d 10.0.0.1/24\n")], &Options::default());
    assert_eq!(wrong, ["haresources:1: `d` is no node of ha.cf"]);
}

#[test]
fn what_is_no_ha_cf_is_said_to_be_none() {
    for other in ["", "# only comments\n", "[section]\nkey = value\n", "root:x:0:0:root:/root:/bin/bash\n"] {
        let wrong = refused(&[text(other, "")], &Options::default());
        assert!(wrong.len() == 1 && wrong[0].starts_with("ha.cf: not an ha.cf of heartbeat"), "{wrong:?}");
    }
    let mut none = text("", "");
    none.ha_cf = None;
    assert!(refused(&[none], &Options::default())[0].contains("no ha.cf there"));
    let mut keys = text("node a b\nbcast eth0\n", "a 10.0.0.5/24/eth0 x\n");
    keys.authkeys = Some(Source { name: "authkeys".to_owned(), text: "auth 2\n1 md5 secret\nnonsense secret2\n".to_owned() });
    let wrong = refused(&[keys], &Options::default());
    assert!(wrong.iter().any(|wrong| wrong.starts_with("authkeys:3: ")) && !format!("{wrong:?}").contains("secret"), "{wrong:?}");
}

#[test]
fn files_that_differ_between_the_nodes_are_told() {
    let one = text("node a b\nkeepalive 1\ndeadtime 20\nucast eth1 10.0.0.2\n", "a 10.1.0.5/24/eth0 x\n");
    let two = text("node a b\nkeepalive 2\ndeadtime 20\nucast eth2 10.0.0.1\n", "b 10.1.0.5/24/eth0 x\n");
    let import = made(&[one, two], &Options { nodes: vec!["a".to_owned()], ..Options::default() });
    tells(&import, Kind::ByHand, "another haresources than on the other node");
    tells(&import, Kind::ByHand, "keepalive differs");
    tells(&import, Kind::Assumed, "eth1 there and eth2 here taken as the two ends of one link");
    has_line(&import, "eth1 = { interface = \"eth1\", address = \"10.0.0.1\" }    # ha.cf:4");
    has_line(&import, "eth1 = { interface = \"eth2\", address = \"10.0.0.2\" }    # ha.cf:4");
}

#[test]
fn the_samples_of_debians_package() {
    let (Some(cf), Some(resources), Some(keys)) = (
        foreign("usr/share/doc/heartbeat/ha.cf"),
        foreign("usr/share/doc/heartbeat/haresources"),
        foreign("usr/share/doc/heartbeat/authkeys"),
    ) else {
        return;
    };
    // As they come they say next to nothing.
    let as_it_comes =
        Dir { name: ".".to_owned(), ha_cf: Some(cf.clone()), haresources: Some(resources.clone()), authkeys: Some(keys) };
    let import = made(&[as_it_comes], &Options::default());
    tells(&import, Kind::ByHand, "haresources names no address");
    // With every line that only waits for its comment to be taken away.
    let active = |text: &str| -> String {
        let line = |line: &str| match line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())) {
            Some(rest) => format!("{rest}\n"),
            None => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    };
    let (cf, resources) =
        (active(&cf.text), active(&resources.text).replace("just.linux-ha.org", "ken3").replace("node1", "kathy"));
    let resources: String =
        resources.lines().filter(|line| !line.starts_with("node-name")).map(|line| format!("{line}\n")).collect();
    let import = made(&[text(&cf, &resources)], &Options::default());
    tells(&import, Kind::LeftOut, "serial: no heartbeats over serial lines");
    tells(&import, Kind::LeftOut, "stonith: how a node is turned off is not guessed");
    assert!(import.text.contains("preferred = \"ken3\"") && !import.text.contains("mysecretpassword"), "{}", import.text);
}
