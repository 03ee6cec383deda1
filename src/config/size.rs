//! Sizes as they are written in the file: a number and a unit, never a bare number.

/// What the journal keeps where the file does not say: about a day with the default timing (docs/OPERATIONS.md).
pub const DEFAULT_KEEP: u64 = 256 << 20;
/// The least.
pub const LEAST_KEEP: u64 = 4 << 20;
/// The most.
pub const MOST_KEEP: u64 = 1 << 40;
/// What a size looks like, for messages.
pub const ALLOWED: &str = "a whole number and a unit: KiB, MiB or GiB, as in \"64MiB\"; 4MiB to 1024GiB";

/// Reads `64MiB`, `2 GiB`; none for everything else, a bare number and an overflow included.
pub fn parse(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let unit: u64 = match unit.strip_prefix(' ').unwrap_or(unit) {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        for (text, bytes) in [("64MiB", Some(64 << 20)), ("5 GiB", Some(5 << 30)), ("0KiB", Some(0))] {
            assert_eq!(parse(text), bytes, "{text}");
        }
        for text in ["", "64", "MiB", "64MB", "-1MiB", "1.5GiB", "64  MiB", "99999999999999999999MiB", "99999999999GiB", "６4MiB"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
