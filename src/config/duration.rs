//! Durations as people write them, in the file, on the command line and in scenarios: a number and a unit, never a bare number. Here is the one
//! grammar, with the one way to read it, to write it, and to say what it is.

use twinbeat_core::time::Span;

/// The longest duration that the file may hold: a day. Far above any sense, far below any overflow.
pub const LONGEST: Span = Span::secs(24 * 60 * 60);

/// What a duration looks like, for messages.
pub const ALLOWED: &str = "a number and a unit: us, ms, s, m, h or d, as in \"200ms\" or \"1.5s\"";

/// The same as a regular expression, for the schema of scenarios. What it takes and [`parse`] does not is too long, or finer than a nanosecond.
pub const PATTERN: &str = "^[0-9]+([.][0-9]+)? ?(us|ms|s|m|h|d)$";

/// The units, and the nanoseconds of each.
const UNITS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
    ("d", 24 * 3600 * 1_000_000_000),
];

/// Reads `200ms`, `1.5s`, `90us`, `2m`, `1 h`, `2d`; refuses everything else, a bare number included. Digits below a nanosecond are refused, not
/// rounded.
///
/// # Errors
/// The text, and what is allowed.
pub fn parse(text: &str) -> Result<Span, String> {
    read(text).ok_or_else(|| format!("{text:?} is not a duration; allowed: {ALLOWED}"))
}

fn read(text: &str) -> Option<Span> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let number = number.strip_suffix(' ').unwrap_or(number);
    let (_, unit) = *UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        if !place.is_multiple_of(10) {
            return None;
        }
        place /= 10;
        nanos = nanos.checked_add(place.checked_mul(u64::from(digit.saturating_sub(b'0')))?)?;
    }
    Some(Span(nanos))
}

/// Writes it in whole seconds, milliseconds or microseconds, the largest unit that it is a multiple of, so that [`parse`] reads the same again; what
/// is below a microsecond is cut off.
pub fn write(span: Span) -> String {
    match span.0 {
        n if n.is_multiple_of(1_000_000_000) => format!("{}s", n / 1_000_000_000),
        n if n.is_multiple_of(1_000_000) => format!("{}ms", n / 1_000_000),
        n => format!("{}us", n / 1_000),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Whatever reads durations goes by this table.
    const TABLE: &[(&str, Option<Span>)] = &[
        ("200ms", Some(Span::millis(200))),
        ("2s", Some(Span::secs(2))),
        ("11.5s", Some(Span::millis(11_500))),
        ("0.25s", Some(Span::millis(250))),
        ("90us", Some(Span::micros(90))),
        ("2m", Some(Span::secs(120))),
        ("30m", Some(Span::secs(1800))),
        ("0.5m", Some(Span::secs(30))),
        ("2 s", Some(Span::secs(2))),
        ("1h", Some(Span::secs(3600))),
        ("1.5h", Some(Span::secs(5400))),
        ("1d", Some(Span::secs(86_400))),
        ("25h", Some(Span::secs(90_000))),
        ("0s", Some(Span::ZERO)),
        ("", None),
        ("2", None),
        ("200", None),
        ("s", None),
        ("-2s", None),
        ("+2s", None),
        ("2.s", None),
        (".5s", None),
        ("1e3s", None),
        ("2S", None),
        ("2w", None),
        ("2ss", None),
        ("2s ", None),
        (" 2s", None),
        ("2  s", None),
        ("1.2.3s", None),
        ("２s", None),
        ("99999999999999999999d", None),
        ("0.0000000001s", None),
    ];

    #[test]
    fn a_duration_is_a_number_and_a_unit_and_nothing_else_is() {
        for (text, span) in TABLE {
            assert_eq!(parse(text).ok(), *span, "{text}");
        }
        assert_eq!(parse("30").unwrap_err(), format!("\"30\" is not a duration; allowed: {ALLOWED}"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(us in 0u64..86_400_000_000) {
            let span = Span::micros(us);
            proptest::prop_assert_eq!(parse(&write(span)), Ok(span));
        }

        #[test]
        fn what_a_span_prints_in_whole_units_is_read_back(ms in 0u64..86_400_000) {
            let span = Span::millis(ms);
            proptest::prop_assert_eq!(parse(&span.to_string()), Ok(span));
        }
    }
}
