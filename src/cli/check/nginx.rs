//! Does nginx need the VIP to start (keepalived #731), and which ports does it take? Its configuration is read.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A `listen` directive on one address: where it stands, and the address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Listen {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) address: IpAddr,
}

/// The configuration file that an nginx with these arguments reads.
pub(super) fn file_of(argv: &[String]) -> PathBuf {
    let after = |flag: &str| argv.iter().position(|word| word == flag).and_then(|at| argv.get(at + 1));
    match (after("-c"), after("-p")) {
        (Some(file), Some(prefix)) => Path::new(prefix).join(file),
        (Some(file), None) => Path::new("/etc/nginx").join(file),
        (None, Some(prefix)) => Path::new(prefix).join("conf/nginx.conf"),
        (None, None) => PathBuf::from("/etc/nginx/nginx.conf"),
    }
}

/// Every `listen` on a single address, includes followed.
///
/// # Errors
/// The file that cannot be read, and why.
pub(super) fn listens(file: &Path) -> Result<Vec<Listen>, String> {
    let mut found: Vec<Listen> =
        all(file, single)?.into_iter().map(|(file, line, address)| Listen { file, line, address }).collect();
    found.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(found)
}

/// Every port that it listens on, once.
///
/// # Errors
/// The file that cannot be read, and why.
pub(super) fn ports(file: &Path) -> Result<Vec<u16>, String> {
    let mut found: Vec<u16> = all(file, port)?.into_iter().map(|(_, _, port)| port).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// What `read` makes of each `listen`, includes followed.
fn all<T>(file: &Path, read: fn(&str) -> Option<T>) -> Result<Vec<(PathBuf, usize, T)>, String> {
    let mut found = Vec::new();
    let base = file.parent().unwrap_or(Path::new("/")).to_owned();
    let mut waiting = vec![file.to_owned()];
    let mut seen: Vec<PathBuf> = Vec::new();
    while let Some(file) = waiting.pop() {
        if seen.contains(&file) || seen.len() >= MOST_FILES {
            continue;
        }
        let text = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let text = String::from_utf8_lossy(text.get(..MOST_BYTES).unwrap_or(&text)).into_owned();
        for (line, words) in directives(&text) {
            match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["listen", what, ..] => {
                    found.extend(read(what).map(|value| (file.clone(), line, value)));
                }
                ["include", pattern] => waiting.extend(matching(&base.join(pattern))),
                _ => {}
            }
        }
        seen.push(file);
    }
    Ok(found)
}

/// nginx's words: directives end with `;` or begin a block, `#` begins a comment, quotes hold words together.
fn directives(text: &str) -> Vec<(usize, Vec<String>)> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut quote, mut comment) = (1, None, false);
    for c in text.chars() {
        let ends = quote.is_none() && !comment && (c.is_whitespace() || matches!(c, ';' | '{' | '}'));
        if (ends || (c == '#' && quote.is_none() && word.is_empty())) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        match c {
            '\n' => (line, comment) = (line + 1, false),
            _ if comment => {}
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => word.push(c),
            '"' | '\'' => quote = Some(c),
            '#' if word.is_empty() => comment = true,
            ';' | '{' | '}' => {
                if !words.is_empty() {
                    all.push((line, std::mem::take(&mut words)));
                }
            }
            c if c.is_whitespace() => {}
            c => word.push(c),
        }
    }
    all
}

/// The address of `listen ADDRESS[:PORT]`; none for a port alone, a wildcard, a name, a socket file.
fn single(what: &str) -> Option<IpAddr> {
    let host = match what.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => what.rsplit_once(':').map_or(what, |(host, _)| host),
    };
    host.parse::<IpAddr>().ok().filter(|address| !address.is_unspecified())
}

/// The port of a `listen`; 80 when it names none; none for a socket file.
fn port(what: &str) -> Option<u16> {
    if what.starts_with("unix:") {
        return None;
    }
    match what.rsplit_once(':') {
        Some((_, port)) if !what.ends_with(']') => port.parse().ok(),
        _ => Some(what.parse().unwrap_or(80)),
    }
}

/// The files of an `include`, with `*` in its last part.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Some((head, tail)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let fits = |name: &str| {
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail) && !name.starts_with('.')
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(fits))
        .collect()
}

const MOST_FILES: usize = 200;
const MOST_BYTES: usize = 1024 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_on_the_vip_is_found_through_includes() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("nginx.conf");
        std::fs::create_dir(dir.path().join("sites")).unwrap();
        std::fs::write(&main, "events {} # listen 1.2.3.4;\nhttp {\n  include sites/*.conf;\n  include \"mime.types\";\n}\n")
            .unwrap();
        std::fs::write(dir.path().join("mime.types"), "types { text/html html; }\n").unwrap();
        let site = dir.path().join("sites/a.conf");
        let text = "server {\n  listen 80;\n  listen [::]:80;\n  listen *:81; listen unix:/x;\n  listen\n 192.168.42.14:443 ssl;\n  listen [fd42::14]:443;\n}\n";
        std::fs::write(&site, text).unwrap();
        std::fs::write(dir.path().join("sites/b.conf.bak"), "server { listen 9.9.9.9; }").unwrap();
        let found = listens(&main).unwrap();
        let at = |line, address: &str| Listen { file: site.clone(), line, address: address.parse().unwrap() };
        assert_eq!(found, [at(6, "192.168.42.14"), at(7, "fd42::14")]);
        assert_eq!(ports(&main).unwrap(), [80, 81, 443]);
    }

    #[test]
    fn a_file_that_is_not_there_is_said() {
        assert!(listens(Path::new("/nonexistent/nginx.conf")).unwrap_err().contains("/nonexistent/nginx.conf"));
    }

    #[test]
    fn the_file_is_the_one_that_nginx_would_read() {
        let argv = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (line, file) in [
            ("nginx -g daemon", "/etc/nginx/nginx.conf"),
            ("nginx -c /x/n.conf", "/x/n.conf"),
            ("nginx -c n.conf -p /srv", "/srv/n.conf"),
            ("nginx -p /srv", "/srv/conf/nginx.conf"),
        ] {
            assert_eq!(file_of(&argv(line)), Path::new(file), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-z0-9;{}#\"' \n.:*\\[\\]]{0,200}") {
            let _ = directives(&text);
        }
    }
}
