//! Pairs that `explore` draws by the words of their name, and the configuration file that says the same.

use super::pair::{Builder, named};
use super::rng::Rng;
use twinbeat_core::settings::{Failback, Services};

/// The name of the pair of a seed: profile, links, witnesses, groups, services and failback, each from a stream of its own.
pub fn draw_pair(seed: u64) -> String {
    let pick = |aspect: u64, words: &[&'static str]| Rng::stream(seed, 2000 + aspect).pick(words).copied().unwrap_or("");
    // The default, and what most people run, more often than the rest.
    let words = [
        pick(0, &["", "", "", "", "fast", "fast", "fast", "fast", "classic"]),
        pick(1, &["", "", "", "norelay", "bare"]),
        pick(2, &["", "", "", "cold", "plain"]),
        pick(3, &["", "", "", "manual", "after30"]),
        pick(4, &["", "", "equal"]),
        pick(5, &["", "", "", "three"]),
        pick(6, &["", "", "", "two"]),
        // Many groups cost as much more time: seldom.
        pick(7, &["", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "eight-long"]),
        pick(8, &["", "", "", "", "", "", "", "second"]),
        pick(9, &["", "", "", "", "", "", "", "fenced"]),
        pick(10, &["", "", "", "", "", "", "", "", "", "further"]),
    ];
    let name: String = words.iter().filter(|word| !word.is_empty()).map(|word| format!("-{word}")).collect();
    format!("pairs/recipe{name}.toml")
}

/// The configuration file of a pair by its name, for `replay` and for people.
///
/// # Errors
/// An unknown word, with what is allowed.
pub fn text(reference: &str) -> Result<String, String> {
    let builder = named(reference)?;
    let t = &builder.timing;
    let timing: String = [
        ("heartbeat", t.heartbeat),
        ("warn", t.warn),
        ("lease", t.lease),
        ("dead", t.dead),
        ("init_dead", t.init_dead),
        ("delivery", t.delivery),
    ]
    .map(|(key, span)| format!("{key} = \"{}us\"\n", span.as_micros()))
    .concat();
    let links = |node: u8| {
        let address = |link: &str, n: u8| format!("{link} = {{ interface = \"eth{n}\", address = \"10.1.{n}.{node}\" }}\n");
        let mut lines: String = (1..).zip(&builder.links).map(|(n, link)| address(link, n)).collect();
        lines.push_str(&format!("lan = {{ interface = \"eth0\", address = \"192.168.42.{}\" }}\n", 11 + node));
        lines
    };
    let targets: Vec<String> = (1..=builder.targets).map(|n| format!("\"{}\"", builder.witness(n))).collect();
    let relay = if builder.relay { "" } else { "relay = false\n" };
    let groups: String = (0..builder.groups).map(|n| group(&builder, n)).collect();
    let [one, two] = builder.nodes;
    let fence = |node: &str| {
        if builder.fenced {
            format!("[nodes.{node}.fence]\ncommand = [\"/usr/local/sbin/off\", \"{node}\"]\ntimeout = \"1s\"\nretries = 0\n")
        } else {
            String::new()
        }
    };
    Ok(format!(
        "# A pair that `twinbeat explore` drew. The keys are for scenarios only: nobody has their private halves.\n\n\
         cluster = \"{}\"\nport = 694\n\n\
         [nodes.{one}]\npublic_key = \"{}\"\n{}[nodes.{one}.links]\n{}\n\
         [nodes.{two}]\npublic_key = \"{}\"\n{}[nodes.{two}.links]\n{}\n\
         [witness]\nlink = \"lan\"\ntargets = [{}]\n{relay}\n\
         [timing]\n{timing}{groups}",
        builder.cluster,
        KEYS[0],
        fence(one),
        links(1),
        KEYS[1],
        fence(two),
        links(2),
        targets.join(", "),
    ))
}

/// The public keys of `scenarios/pairs/`.
const KEYS: [&str; 2] =
    ["ed25519:EmRIap77Ag0r371OXcjG4jmcrMWKlG7lFCaYnqoYXcw=", "ed25519:h9RH5Ftx7hugvdnKqw7gEHpsJKAEkjSTJlbjlRPSKDA="];

fn group(builder: &Builder, n: u8) -> String {
    let name = builder.group_name(n);
    let vip = |(place, vip): (usize, &String)| {
        let label = if place == 0 { format!(", label = \"{n}\"") } else { String::new() };
        let link = match place {
            0 => "link = \"lan\"".to_string(),
            _ if builder.further => "interface = \"eth7\"".to_string(),
            _ if builder.second => format!("link = \"{}\"", builder.links[0]),
            _ => "link = \"lan\"".to_string(),
        };
        format!("{{ address = \"{vip}\", {link}{label} }}")
    };
    let vips = builder.vips(n).iter().enumerate().map(vip).collect::<Vec<_>>().join(", ");
    let preferred = builder.preferred.map(|machine| format!("preferred = \"{}\"\n", builder.nodes[usize::from(machine)]));
    let preferred = preferred.unwrap_or_default();
    let failback = match builder.failback {
        Failback::Auto => "\"auto\"",
        Failback::Manual => "\"manual\"",
        Failback::After(_) => "{ after = \"30s\" }",
    };
    let command = format!("process = [\"nginx\", \"-c\", \"/etc/nginx/{name}.conf\", \"-g\", \"daemon off;\"]");
    let services = match builder.services {
        Services::None => String::new(),
        Services::Warm => format!("services = [{{ {command}, warm = true }}]\n"),
        Services::Cold => format!("services = [{{ {command} }}]\n"),
    };
    format!(
        "\n[[groups]]\nname = \"{name}\"\n{preferred}failback = {failback}\n\
         vips = [{vips}]\n{services}"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::files::Files;
    use super::super::pair::{Builtin, Pairs};
    use super::*;

    #[test]
    fn the_file_of_a_drawn_pair_says_what_was_explored() {
        let folder = tempfile::tempdir().unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let names = ["", "-shop", "-alpha", "-omega", "-crossed", "-shop-omega"][seed as usize % 6];
            let reference = draw_pair(seed).replace(".toml", &format!("{names}.toml"));
            if !kinds.insert(reference.clone()) {
                continue;
            }
            let built = Builtin.pair(Path::new(""), &reference).unwrap();
            std::fs::write(folder.path().join("a.toml"), text(&reference).unwrap()).unwrap();
            let mut read = Files.pair(folder.path(), "a.toml").unwrap();
            for node in 0..2 {
                read.settings[node].digest = built.settings[node].digest;
                assert_eq!(read.settings[node], built.settings[node], "{reference}");
            }
        }
        assert!(kinds.len() > 50, "pairs are drawn: {kinds:?}");
    }
}
