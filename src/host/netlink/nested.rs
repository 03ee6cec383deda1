//! Attributes within attributes of nftables messages, looked through before they are parsed.
//!
//! `netlink-packet-netfilter` takes the value of some attributes for an attribute without looking whether it is one, and a
//! shorter one ends the process. Each such place is named here; a message with anything else there is left out.

/// The subsystem in the upper byte of a message's type (include/uapi/linux/netfilter/nfnetlink.h).
const NFTABLES: u16 = 10;
/// `struct nfgenmsg`: family, version, resource (the same file).
const FAMILY_HEADER: usize = 4;
/// `struct nlattr`: length and type.
const ATTRIBUTE_HEADER: usize = 4;
const TYPE_MASK: u16 = 0x3fff;

// Message types and attributes: include/uapi/linux/netfilter/nf_tables.h
const RULES: [u16; 3] = [6, 7, 8];
const SETS: [u16; 3] = [9, 10, 11];
const ELEMENTS: [u16; 3] = [12, 13, 14];
const RULE_EXPRESSIONS: u16 = 4;
const SET_EXPRESSION: u16 = 17;
const SET_EXPRESSIONS: u16 = 18;
const ELEMENT_LIST: u16 = 3;
const ELEMENT_DATA: [u16; 2] = [1, 2];
const ELEMENT_EXPRESSION: u16 = 7;
const ELEMENT_EXPRESSIONS: u16 = 11;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

/// Whether a message's body (behind the netlink header) can be parsed; those of other subsystems are not looked at.
pub(super) fn whole(kind: u16, body: &[u8]) -> bool {
    let [message, subsystem] = kind.to_le_bytes();
    if u16::from(subsystem) != NFTABLES {
        return true;
    }
    let Some(body) = body.get(FAMILY_HEADER..) else { return false };
    let message = u16::from(message);
    row(body, |kind, value| match kind {
        RULE_EXPRESSIONS if RULES.contains(&message) => expressions(value),
        SET_EXPRESSION if SETS.contains(&message) => one(value) && expression(value),
        SET_EXPRESSIONS if SETS.contains(&message) => expressions(value),
        ELEMENT_LIST if ELEMENTS.contains(&message) => row(value, |_, element| row(element, part_of_element)),
        _ => true,
    })
}

fn part_of_element(kind: u16, value: &[u8]) -> bool {
    match kind {
        ELEMENT_EXPRESSION => one(value) && expression(value),
        ELEMENT_EXPRESSIONS => expressions(value),
        kind if ELEMENT_DATA.contains(&kind) => one(value),
        _ => true,
    }
}

fn expressions(list: &[u8]) -> bool {
    row(list, |_, each| expression(each))
}

/// A name and its data; the data of some hold data again.
fn expression(parts: &[u8]) -> bool {
    let mut name: &[u8] = &[];
    let named = row(parts, |kind, value| {
        if kind == EXPRESSION_NAME {
            name = value;
        }
        true
    });
    let held: &[u16] = match name.strip_suffix(&[0]).unwrap_or(name) {
        b"cmp" => &[3],
        b"bitwise" => &[4, 5, 7],
        b"immediate" => &[2],
        _ => &[],
    };
    named && row(parts, |kind, data| kind != EXPRESSION_DATA || row(data, |kind, value| !held.contains(&kind) || one(value)))
}

/// Whether this is one attribute at least, whole.
fn one(value: &[u8]) -> bool {
    first(value).is_some()
}

/// Whether these are attributes, one behind the other, and each of them passes.
fn row<'a>(mut rest: &'a [u8], mut passes: impl FnMut(u16, &'a [u8]) -> bool) -> bool {
    while !rest.is_empty() {
        let Some((kind, value)) = first(rest) else { return false };
        if !passes(kind, value) {
            return false;
        }
        let length = value.len().saturating_add(ATTRIBUTE_HEADER).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
    }
    true
}

/// Type and value of the first attribute.
fn first(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let ([a, b, c, d], _) = bytes.split_first_chunk::<ATTRIBUTE_HEADER>()?;
    let length = usize::from(u16::from_ne_bytes([*a, *b]));
    Some((u16::from_ne_bytes([*c, *d]) & TYPE_MASK, bytes.get(ATTRIBUTE_HEADER..length)?))
}
