//! A line of the log, as the daemon writes it and as the laboratory reads it: both ways stand here and nowhere else.

use std::time::Duration;

use super::Stamp;

/// Where a decision not to act is logged, so that it is found by a word.
pub const REFUSED: &str = "refused";

/// The field that names the group.
const GROUP: &str = "group";
const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// What a reader makes of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// The time of day, UTC.
    pub of_day: Duration,
    /// A decision not to act.
    pub refused: bool,
    /// The group that it is about.
    pub group: Option<String>,
    /// The words, without the group; other fields stand behind them.
    pub text: String,
}

/// The line, with its end. `place` is empty, or says where in the program it was said and ends in `: `.
pub fn write(at: Stamp, level: &str, place: &str, text: &str) -> String {
    format!("{at} {level:<5} {place}{text}\n")
}

/// What stands in front of the words of a line from this place.
pub fn place(target: &str) -> String {
    format!("{target}: ")
}

/// A field, as it stands behind the words.
pub fn field(name: &str, value: &str) -> String {
    format!(" {name}={value}")
}

/// Reads what [`write()`] wrote; none for what it did not.
pub fn read(line: &str) -> Option<LogLine> {
    let (stamp, rest) = line.split_once(' ')?;
    let (level, text) = rest.trim_start().split_once(' ')?;
    if !LEVELS.contains(&level) {
        return None;
    }
    let mut parts = stamp.split_once('T')?.1.trim_end_matches('Z').splitn(3, ':');
    let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    let of_hours = Duration::from_secs(hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?);
    let of_day = of_hours.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    let text = text.trim();
    let (refused, text) = text.strip_prefix(&place(REFUSED)).map_or((false, text), |text| (true, text));
    let (text, group) = match text.rsplit_once(&field(GROUP, "")) {
        Some((text, group)) => (text, Some(group.trim_matches('"').to_owned())),
        None => (text, None),
    };
    Some(LogLine { of_day, refused, group, text: text.to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let at = Stamp::of_nanos(1_700_000_000_250_000_000);
        let of_day = Duration::from_millis((1_700_000_000 % 86_400) * 1000 + 250);
        for (target, group) in [(None, None), (None, Some("web")), (Some(REFUSED), Some("web")), (Some(REFUSED), None)] {
            let words = "no claim: MAC answers = yes";
            let text = group.map_or(words.to_owned(), |group| words.to_owned() + &field(GROUP, &format!("{group:?}")));
            let line = write(at, "WARN", &target.map(place).unwrap_or_default(), &text);
            assert!(line.starts_with("2023-11-14T22:13:20.250Z WARN  "), "{line}");
            let wanted = LogLine { of_day, refused: target.is_some(), group: group.map(str::to_owned), text: words.into() };
            assert_eq!(read(&line), Some(wanted), "{line}");
        }
    }

    #[test]
    fn what_is_no_line_of_the_log_is_none() {
        for text in
            ["", "panicked", "thread 'main' panicked at x", "2023-11-14T22:13:20.250Z LOUD a", "noon WARN  a", "TT WARN a"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
