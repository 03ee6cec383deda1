//! What differs between two readings of the file, in the file's own words.

use std::collections::BTreeSet;
use std::fmt;

use toml::{Table, Value};

use super::checked::Config;

/// One key that differs. What has a name of its own stands by it: `groups.web.vips.192.168.42.14/25.label`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The key with its path.
    pub key: String,
    /// What it was, as TOML; none when it was not there.
    pub was: Option<String>,
    /// What it is.
    pub is: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { key, was, is } = self;
        match (was, is) {
            (Some(was), Some(is)) => write!(f, "{key}: {was} -> {is}"),
            (None, Some(is)) => write!(f, "{key}: new: {is}"),
            (Some(was), None) => write!(f, "{key}: gone: {was}"),
            (None, None) => write!(f, "{key}"),
        }
    }
}

impl Config {
    /// The keys in which `new` differs from this file; comments, order of keys and white space do not count. Sorted by key.
    pub fn differences(&self, new: &Config) -> Vec<Difference> {
        let read = |config: &Config| config.source.text().parse::<Table>().map_or(Value::Boolean(false), Value::Table);
        let mut found = Vec::new();
        compare("", Some(&read(self)), Some(&read(new)), &mut found);
        found
    }
}

fn compare(path: &str, was: Option<&Value>, is: Option<&Value>, found: &mut Vec<Difference>) {
    match (was, is) {
        (Some(Value::Table(was)), Some(Value::Table(is))) => {
            let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for key in keys {
                compare(&join(path, key), was.get(key), is.get(key), found);
            }
        }
        (Some(Value::Array(was)), Some(Value::Array(is))) if named(was) && named(is) => compare_named(path, was, is, found),
        // A list that is not there is an empty one.
        (None, Some(Value::Array(is))) if named(is) => compare_named(path, &[], is, found),
        (Some(Value::Array(was)), None) if named(was) => compare_named(path, was, &[], found),
        _ if was == is => {}
        _ => {
            let last = path.rsplit('.').next().unwrap_or_default();
            let words = |value: &Value| shown(last, value).to_string();
            found.push(Difference { key: path.to_owned(), was: was.map(words), is: is.map(words) });
        }
    }
}

/// As it may be said: what is to be known to nobody is left out, in the parameters of an agent.
fn shown(key: &str, value: &Value) -> Value {
    let key = key.to_ascii_lowercase();
    match value {
        Value::Table(table) => Value::Table(table.iter().map(|(key, value)| (key.clone(), shown(key, value))).collect()),
        Value::Array(all) => Value::Array(all.iter().map(|value| shown(&key, value)).collect()),
        _ if SECRET.iter().any(|word| key.contains(word)) && !key.ends_with("_script") => Value::String("***".into()),
        other => other.clone(),
    }
}

/// A list of tables that have names, or what stands for one: each by its own, then their order.
fn compare_named(path: &str, was: &[Value], is: &[Value], found: &mut Vec<Difference>) {
    let names = |list: &[Value]| -> Vec<String> { list.iter().filter_map(name).collect() };
    let (old, new) = (names(was), names(is));
    for (name, was) in old.iter().zip(was) {
        compare(&join(path, name), Some(was), new.iter().position(|n| n == name).and_then(|at| is.get(at)), found);
    }
    for (name, is) in new.iter().zip(is).filter(|(name, _)| !old.contains(name)) {
        compare(&join(path, name), None, Some(is), found);
    }
    let both =
        |list: &[String], other: &[String]| -> Vec<String> { list.iter().filter(|n| other.contains(n)).cloned().collect() };
    let (old, new) = (both(&old, &new), both(&new, &old));
    if old != new {
        let order = Difference { key: format!("{path} (order)"), was: Some(old.join(", ")), is: Some(new.join(", ")) };
        found.push(order);
    }
}

/// Each element is a table with a name that no other one has.
fn named(list: &[Value]) -> bool {
    let names: BTreeSet<String> = list.iter().filter_map(name).collect();
    !list.is_empty() && names.len() == list.len()
}

/// What people call it: a group's name, an address, a service's unit or program, a hook's program, where a route leads.
fn name(value: &Value) -> Option<String> {
    let table = value.as_table()?;
    NAMES.into_iter().find_map(|key| match table.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The keys by which the elements of the file's lists are known.
const NAMES: [&str; 9] = ["name", "address", "systemd", "process", "lsb", "ocf", "run", "to", "from"];

/// What is in the name of a parameter whose value is nobody's affair.
const SECRET: [&str; 4] = ["passw", "secret", "token", "community"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(was: &str, is: &str) -> Vec<String> {
        let read = |text: &str| Value::Table(text.parse().unwrap());
        let mut found = Vec::new();
        compare("", Some(&read(was)), Some(&read(is)), &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_password_is_not_said() {
        let with = |word: &str| format!("[nodes.a.fence]\nagent = \"x\"\nparameters = {{ ip = \"1\", password = \"{word}\" }}\n");
        assert_eq!(words(&with("hidden1"), &with("hidden2")), ["nodes.a.fence.parameters.password: \"***\" -> \"***\""]);
        let new = words("[nodes.a]\nb = 1\n", &format!("[nodes.a]\nb = 1\n{}", with("hidden"))).concat();
        assert!(new.contains("ip = \"1\"") && !new.contains("hidden"), "{new}");
        let script = |path: &str| format!("password_script = \"{path}\"\n");
        assert_eq!(words(&script("/a"), &script("/b")), ["password_script: \"/a\" -> \"/b\""]);
    }

    #[test]
    fn what_differs_is_said_by_the_names_of_the_file_and_nothing_else_counts() {
        let was = "a = 1\n[timing]\nlease = \"2s\"\n[[groups]]\nname = \"web\"\nvips = [{ address = \"192.0.2.1/24\", link = \"lan\" }]\n[[groups]]\nname = \"mail\"\n";
        let is = "# another comment\na =   1\n[timing]\nlease = \"3s\"\ndead = \"4s\"\n[[groups]]\nname = \"mail\"\n[[groups]]\nname = \"web\"\nvips = [{ link = \"lan2\", address = \"192.0.2.1/24\" }, { address = \"192.0.2.2/24\", link = \"lan\" }]\n";
        assert_eq!(
            words(was, is),
            [
                "groups.web.vips.192.0.2.1/24.link: \"lan\" -> \"lan2\"",
                "groups.web.vips.192.0.2.2/24: new: { address = \"192.0.2.2/24\", link = \"lan\" }",
                "groups (order): web, mail -> mail, web",
                "timing.dead: new: \"4s\"",
                "timing.lease: \"2s\" -> \"3s\"",
            ]
        );
        assert_eq!(words(is, is), Vec::<String>::new());
    }

    #[test]
    fn lists_without_names_differ_as_a_whole_and_a_list_that_is_not_there_is_empty() {
        assert_eq!(words("t = [\"a\", \"b\"]", "t = [\"b\", \"a\"]"), ["t: [\"a\", \"b\"] -> [\"b\", \"a\"]"]);
        let hook = "[[hooks]]\nrun = [\"/usr/bin/mail\", \"root\"]\ntimeout = \"5s\"\n";
        assert_eq!(words("", hook), ["hooks./usr/bin/mail root: new: { run = [\"/usr/bin/mail\", \"root\"], timeout = \"5s\" }"]);
        assert_eq!(
            words(hook, ""),
            ["hooks./usr/bin/mail root: gone: { run = [\"/usr/bin/mail\", \"root\"], timeout = \"5s\" }"]
        );
        // Two of one name cannot be told apart.
        let twice = "[[hooks]]\nrun = [\"a\"]\n[[hooks]]\nrun = [\"a\"]\n";
        assert_eq!(words(twice, twice), Vec::<String>::new());
        assert_eq!(words(twice, "[[hooks]]\nrun = [\"a\"]\n").len(), 1);
    }
}
