//! Where in a JSON text an element of a list stands, for errors that name a line.

/// The line, counted from 1, on which element number `index` of the list under the top-level key `key` begins; none when there is no such element.
pub fn line(text: &str, key: &str, index: usize) -> Option<usize> {
    let (mut depth, mut string, mut escaped) = (0_usize, None, false);
    let (mut last, mut inside, mut count, mut fresh) = ("", false, 0, false);
    for (at, byte) in text.bytes().enumerate() {
        if let Some(start) = string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    last = &text[start..at];
                    string = None;
                }
                _ => {}
            }
            continue;
        }
        if inside && depth == 2 && fresh && !byte.is_ascii_whitespace() && byte != b']' {
            fresh = false;
            if count == index {
                return Some(1 + text[..at].matches('\n').count());
            }
        }
        match byte {
            b'"' => string = Some(at + 1),
            b'[' | b'{' => {
                depth += 1;
                if depth == 2 && byte == b'[' && last == key {
                    (inside, fresh) = (true, true);
                }
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                inside &= depth >= 2;
            }
            b',' if inside && depth == 2 => {
                count += 1;
                fresh = true;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_whatever_stands_in_strings_and_between_them() {
        let text = "{\n \"about\": \"timeline\\\": [,\",\n \"timeline\": [\n  {\"at\": [1, 2]},\n  {\"b\": \"],\"}, {\"c\": 1}\n ],\n \"expect\": [ \"x\",\n\"y\" ]\n}";
        assert_eq!(line(text, "timeline", 0), Some(4));
        assert_eq!(line(text, "timeline", 1), Some(5));
        assert_eq!(line(text, "timeline", 2), Some(5));
        assert_eq!(line(text, "timeline", 3), None);
        assert_eq!(line(text, "expect", 1), Some(8));
        assert_eq!(line("", "expect", 0), None);
    }
}
