//! What a check looks at: keepalived watches programs that it does not run, twinbeat those that it runs.

/// The program that a check's command line asks after, for the ways that people use: `killall -0 NAME`, `pidof NAME`, `pgrep NAME`,
/// `systemctl is-active NAME`.
pub(super) fn program(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let place = words.iter().position(|word| {
        let name = word.rsplit('/').next().unwrap_or(word);
        matches!(name, "killall" | "pidof" | "pgrep" | "systemctl" | "service")
    })?;
    let tool = words.get(place)?.rsplit('/').next()?;
    let mut rest = words.get(place.saturating_add(1)..)?.iter().filter(|word| !word.starts_with('-'));
    let name = match tool {
        "systemctl" => {
            rest.next().filter(|word| matches!(**word, "is-active" | "status" | "is-failed"))?;
            rest.next()?
        }
        _ => rest.next()?,
    };
    let name = name.rsplit('/').next()?.trim_end_matches(".service");
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    (!name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(good)).then(|| name.to_owned())
}
