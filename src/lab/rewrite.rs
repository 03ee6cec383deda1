//! A configuration as the lab runs it: the file's own nodes, links, witness, timing and groups, with throw-away keys and the lab's own services.
//!
//! Only tables that the lab understands are kept. Whatever else a file holds (hooks, fencing, logs, metrics) reaches outside the lab and is left out;
//! [`Rewritten::said`] names each thing that was replaced or left out.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The configuration for the lab, and the services that it names.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The file's new text.
    pub text: String,
    /// What was replaced or left out, for a person.
    pub said: Vec<String>,
    /// The lab's services, in the order of the file.
    pub services: Vec<Service>,
}

/// A service of the lab: a script that both nodes have under the same path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// The script's name.
    pub name: String,
    /// Its group's place in the file.
    pub group: usize,
    /// Its group's name.
    pub group_name: String,
    /// Where it listens.
    pub port: u16,
    /// nginx, or the built-in page server.
    pub nginx: bool,
    /// An init script (which can refuse to stop), or a program in the foreground.
    pub init: bool,
    /// What it stands for.
    pub instead_of: String,
}

/// Rewrites a configuration. `keys` are each node's public key by the node's name; `here` is the folder under which a node finds its scripts;
/// the groups of `init` (by place) get init scripts.
///
/// # Errors
/// A text that is not TOML, or not of the shape that [`Config`](twinbeat_config::Config) demands.
pub fn rewrite(text: &str, keys: &[(String, String)], here: &Path, nginx: bool, init: &BTreeSet<usize>) -> Result<Rewritten> {
    let mut table: Table = text.parse().context("the configuration is not TOML")?;
    let mut said = Vec::new();
    let foreign: Vec<String> = table.keys().filter(|key| !KEPT.contains(&key.as_str())).cloned().collect();
    for key in foreign {
        table.remove(&key);
        said.push(format!("[{key}] is left out"));
    }
    let nodes = table.get_mut("nodes").and_then(Value::as_table_mut).context("no [nodes]")?;
    for (name, key) in keys {
        let node = nodes.get_mut(name).and_then(Value::as_table_mut).with_context(|| format!("no [nodes.{name}]"))?;
        let foreign: Vec<String> = node.keys().filter(|key| !KEPT_OF_NODES.contains(&key.as_str())).cloned().collect();
        for key in foreign {
            node.remove(&key);
            said.push(format!("{key} of node {name} is left out"));
        }
        node.insert("public_key".into(), Value::String(key.clone()));
    }
    let mut services = Vec::new();
    let groups = table.get_mut("groups").and_then(Value::as_array_mut).context("no [[groups]]")?;
    for (place, group) in groups.iter_mut().enumerate() {
        let group = group.as_table_mut().context("[[groups]] is no table")?;
        let name = group.get("name").and_then(Value::as_str).unwrap_or("group").to_owned();
        let foreign: Vec<String> = group.keys().filter(|key| !KEPT_OF_GROUPS.contains(&key.as_str())).cloned().collect();
        for key in foreign {
            group.remove(&key);
            said.push(format!("{key} of group {name} is left out"));
        }
        if let Some(vips) = group.get_mut("vips").and_then(Value::as_array_mut) {
            let all = vips.len();
            vips.retain(|vip| vip.get("interface").is_none());
            if vips.len() < all {
                let number = all.saturating_sub(vips.len());
                said.push(format!("{number} of the addresses of group {name}, on interfaces without heartbeats, are left out"));
            }
        }
        let Some(listed) = group.get_mut("services").and_then(Value::as_array_mut) else { continue };
        for (number, service) in listed.iter_mut().enumerate() {
            let service = service.as_table_mut().context("a service is no table")?;
            let what = kind(service);
            let init = init.contains(&place);
            let ours = Service {
                name: format!("service-{name}-{}", number + 1),
                group: place,
                group_name: name.clone(),
                port: port(place, number),
                nginx: nginx && what.contains("nginx"),
                init,
                instead_of: what,
            };
            service.retain(|key, _| ["warm", "start_timeout", "stop_timeout"].iter().any(|kept| **kept == *key));
            let script = here.join(&ours.name).display().to_string();
            let (key, value) =
                if init { ("lsb", Value::String(script)) } else { ("process", Value::Array(vec![Value::String(script)])) };
            service.insert(key.into(), value);
            services.push(ours);
        }
    }
    for service in &services {
        let by = if service.nginx { "an nginx with one page" } else { "a small page server" };
        said.push(format!("{} of group {} is replaced by {by} on port {}", service.instead_of, service.group_name, service.port));
    }
    let text = toml::to_string(&table).context("write the configuration")?;
    Ok(Rewritten { text, said, services })
}

impl Service {
    /// Its script, for one node. `command` is what it runs in the end.
    pub fn script(&self, here: &Path, command: &[String]) -> String {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        let (command, here, name, group) = (words.join(" "), quoted(&here.display().to_string()), &self.name, &self.group_name);
        let head = format!(
            "#!/bin/sh\n# The drill's own service in the place of: {}\nhere={here}\n",
            self.instead_of.replace('\n', " ")
        );
        let refuse = format!("[ -e \"$here/start-fails-{group}\" ] && {{ echo 'the drill told it to fail' >&2; exit 1; }}");
        if !self.init {
            return format!("{head}{refuse}\necho $$ > \"$here/{name}.pid\"\nexec {command}\n");
        }
        format!(
            "{head}alive() {{ [ -s \"$here/{name}.pid\" ] && kill -0 \"$(cat \"$here/{name}.pid\")\" 2> /dev/null; }}\n\
             case \"$1\" in\n\
             start)\n  {refuse}\n  alive && exit 0\n  setsid {command} < /dev/null > /dev/null 2>&1 &\n  echo $! > \"$here/{name}.pid\"\n  ;;\n\
             stop)\n  [ -e \"$here/stop-fails-{group}\" ] && {{ echo 'the drill told it to go on' >&2; exit 1; }}\n  \
             alive && kill \"$(cat \"$here/{name}.pid\")\"\n  n=0\n  while alive && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done\n  \
             alive && exit 1\n  rm -f \"$here/{name}.pid\"\n  ;;\n\
             status)\n  alive || exit 3\n  ;;\n\
             esac\nexit 0\n"
        )
    }
}

/// What a service is, in the file's words.
fn kind(service: &Table) -> String {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let kinds = ["systemd", "process", "lsb", "ocf"];
    kinds.into_iter().find_map(|k| Some(format!("{k} {}", words(service.get(k)?)))).unwrap_or_else(|| "a service".to_owned())
}

/// The first service of the first group has the web's own port.
fn port(group: usize, number: usize) -> u16 {
    match (group, number) {
        (0, 0) => 80,
        (group, number) => 8000 + 100 * group.min(100) as u16 + number.min(99) as u16,
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The tables that stay.
const KEPT: [&str; 6] = ["cluster", "port", "nodes", "witness", "timing", "groups"];
/// What stays of a node: no second key, and nothing that turns a real machine off.
const KEPT_OF_NODES: [&str; 2] = ["public_key", "links"];
/// What stays of a group: nothing that reboots a real machine.
const KEPT_OF_GROUPS: [&str; 5] = ["name", "preferred", "failback", "vips", "services"];

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
cluster = "c"
[nodes.a]
public_key = "old"
fence = { command = ["plug", "off"] }
[nodes.b]
public_key = "old"
[witness]
targets = ["10.0.0.1"]
[hooks]
owner = "/usr/local/bin/tell-the-world"
[[groups]]
name = "web"
fencing = { command = ["power-off"] }
stop_failure = "reboot"
vips = []
services = [{ systemd = "nginx", warm = true }, { lsb = "postfix", arguments = ["a"] }, { ocf = "ocf:heartbeat:pgsql", parameters = { secret = "x" }, role = "promoted", monitor_interval = "2s" }]
"#;

    fn keys() -> [(String, String); 2] {
        [("a".into(), "new-a".into()), ("b".into(), "new-b".into())]
    }

    #[test]
    fn nothing_that_reaches_outside_survives_and_each_thing_is_said() {
        let done = rewrite(TEXT, &keys(), Path::new("/tmp/x/here"), true, &BTreeSet::new()).unwrap();
        for gone in [
            "hooks",
            "tell-the-world",
            "fencing",
            "power-off",
            "fence",
            "plug",
            "reboot",
            "systemd",
            "postfix",
            "old",
            "ocf",
            "parameters",
            "role",
            "interval",
            "arguments",
        ] {
            assert!(!done.text.contains(gone), "{gone}: {}", done.text);
        }
        for said in [
            "[hooks]",
            "fencing of group web",
            "stop_failure of group web",
            "fence of node a",
            "systemd nginx",
            "lsb postfix",
            "ocf ocf:heartbeat:pgsql",
        ] {
            assert!(done.said.iter().any(|line| line.contains(said)), "{said}: {:?}", done.said);
        }
        let table: Table = done.text.parse().unwrap();
        assert_eq!(table["nodes"]["b"]["public_key"].as_str(), Some("new-b"));
        assert_eq!(table["groups"][0]["services"][0]["process"][0].as_str(), Some("/tmp/x/here/service-web-1"));
        assert_eq!(table["groups"][0]["services"][0]["warm"].as_bool(), Some(true));
        assert!(done.services[0].nginx && !done.services[1].nginx);
        assert_eq!((done.services[0].port, done.services[1].port), (80, 8001));
    }

    #[test]
    fn a_group_that_must_refuse_to_stop_gets_init_scripts() {
        let done = rewrite(TEXT, &keys(), Path::new("/h"), false, &BTreeSet::from([0])).unwrap();
        assert!(done.text.contains("lsb = \"/h/service-web-1\""), "{}", done.text);
        assert!(done.services[0].script(Path::new("/h"), &["it's".into()]).contains("setsid 'it'\\''s'"));
    }

    #[test]
    fn a_text_without_the_nodes_is_an_error() {
        assert!(rewrite("cluster = 1", &keys(), Path::new("/h"), false, &BTreeSet::new()).is_err());
        assert!(rewrite("cluster = ", &keys(), Path::new("/h"), false, &BTreeSet::new()).is_err());
    }

    #[test]
    fn what_is_on_interfaces_without_heartbeats_is_left_out_and_said() {
        let text = include_str!("../../scenarios/pairs/fast-further-interfaces.toml");
        let keys = ["master1", "master2"].map(|name| (name.to_owned(), "ed25519:key".to_owned()));
        let done = rewrite(text, &keys, Path::new("/here"), true, &BTreeSet::new()).unwrap();
        let left: Vec<&String> = done.said.iter().filter(|line| line.contains("left out")).collect();
        assert!(left.iter().any(|line| **line == "track of group web is left out"), "{left:?}");
        assert!(left.iter().any(|line| line.starts_with("1 of the addresses of group web")), "{left:?}");
        assert!(!done.text.contains("eth7") && done.text.contains("192.168.42.14"), "{}", done.text);
    }
}
