//! authkeys: which method is in use. Secrets are neither kept nor shown: twinbeat signs with a key pair for each node.

use crate::text::{Place, Source, Wrong, enough};

/// What is said of it.
pub(crate) struct Auth {
    pub place: Place,
    /// `md5`, `sha1`, `crc`.
    pub method: String,
}

/// Reads it; what is wrong goes into `wrong`.
pub(crate) fn parse(source: &Source, wrong: &mut Vec<Wrong>) -> Option<Auth> {
    let (mut used, mut methods) = (None, Vec::new());
    for (n, line) in (1..).zip(source.text.lines()) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let place = source.at(n);
        if enough(wrong) {
            break;
        }
        match words.next() {
            None => {}
            Some("auth") => match words.next().and_then(|id| id.parse::<u32>().ok()) {
                Some(id) => used = Some((id, place)),
                None => wrong.push(Wrong::new(place, "`auth` without the number of a method")),
            },
            Some(word) => match (word.parse::<u32>(), words.next()) {
                (Ok(id), Some(method @ ("crc" | "md5" | "sha1"))) => methods.push((id, method.to_owned())),
                (Ok(_), _) => wrong.push(Wrong::new(place, "a key whose method is not crc, md5 or sha1")),
                // The line may be a secret that ran into the next one: it is not shown.
                (Err(_), _) => wrong.push(Wrong::new(place, "neither `auth N` nor `N METHOD KEY`: not a line of authkeys")),
            },
        }
    }
    let Some((id, place)) = used else {
        // The sample that the package brings has comments only.
        if !methods.is_empty() {
            wrong.push(Wrong::new(Place::file(&source.name), "no `auth N` line: not an authkeys file"));
        }
        return None;
    };
    match methods.into_iter().find(|(other, _)| *other == id) {
        Some((_, method)) => Some(Auth { place, method }),
        None => {
            wrong.push(Wrong::new(place, format!("`auth {id}`, and no line `{id} METHOD KEY`")));
            None
        }
    }
}
