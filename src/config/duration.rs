//! Durations as people write them, in the file, on the command line and in scenarios: a number and a unit, never a bare number.

use twinbeat_core::time::Span;

/// The longest duration that the file may hold: a day. Far above any sense, far below any overflow.
pub const LONGEST: Span = Span::secs(24 * 60 * 60);

/// What a duration looks like, for messages.
pub const ALLOWED: &str = "a number and a unit: us, ms, s, m, h or d, as in \"200ms\" or \"1.5s\"; at most 1440m";

/// Reads what the file may hold: `any` up to `LONGEST`.
pub fn parse(text: &str) -> Option<Span> {
    any(text).filter(|span| *span <= LONGEST)
}

/// Reads `200ms`, `1.5s`, `90us`, `2m`, `1 h`, `2d`; `None` for everything else, a bare number included. The file, the command line and
/// scenarios have this one grammar.
///
/// Digits below a nanosecond are refused, not rounded.
pub fn any(text: &str) -> Option<Span> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let number = number.strip_suffix(' ').unwrap_or(number);
    let unit: u64 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        "d" => 24 * 3600 * 1_000_000_000,
        _ => return None,
    };
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, span) in [
            ("200ms", Span::millis(200)),
            ("2s", Span::secs(2)),
            ("11.5s", Span::millis(11_500)),
            ("90us", Span::micros(90)),
            ("2m", Span::secs(120)),
            ("0.5m", Span::secs(30)),
            ("2 s", Span::secs(2)),
            ("1h", Span::secs(3600)),
            ("1d", Span::secs(86_400)),
            ("0s", Span::ZERO),
        ] {
            assert_eq!(parse(text), Some(span), "{text}");
        }
    }

    #[test]
    fn a_bare_number_and_everything_odd_is_refused() {
        for text in [
            "",
            "2",
            "200",
            "s",
            "-2s",
            "+2s",
            "2.s",
            ".5s",
            "1e3s",
            "2S",
            "2w",
            "25h",
            "2ss",
            "2s ",
            " 2s",
            "2  s",
            "25000m",
            "99999999999999999999s",
            "0.0000000001s",
            "1.2.3s",
            "２s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_a_span_prints_in_whole_units_is_read_back(ms in 0u64..86_400_000) {
            let span = Span::millis(ms);
            proptest::prop_assert_eq!(parse(&span.to_string()), Some(span));
        }
    }
}
