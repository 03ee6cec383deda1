//! Single values of the file: each in its range, or refused.

use std::net::IpAddr;

use toml::Spanned;

use super::duration::{LONGEST, parse};
use super::error::{ConfigError, Problem};
use super::parts::NodeConfig;
use super::raw_duration::RawDuration;
use super::source::Source;
use twinbeat_core::id::{LinkId, Name};
use twinbeat_core::time::Span;

/// A name, or the refusal.
pub(super) fn name(source: &Source, what: &'static str, text: &Spanned<String>) -> Result<Name, ConfigError> {
    let name = text.get_ref();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if starts && name.len() <= 32 && name.bytes().all(good) {
        return Ok(name.as_str().into());
    }
    Err(source.error(text.span(), Problem::BadName { what }))
}

/// A whole number within its range.
pub(super) fn whole(source: &Source, value: &Spanned<i64>, least: i64, most: i64) -> Result<i64, ConfigError> {
    let n = *value.get_ref();
    if (least..=most).contains(&n) {
        return Ok(n);
    }
    Err(source.error(value.span(), Problem::Allowed(format!("a whole number from {least} to {most}"))))
}

/// A duration within its range.
pub(super) fn duration(source: &Source, value: &Spanned<RawDuration>, least: Span, most: Span) -> Result<Span, ConfigError> {
    let span = parse(&value.get_ref().0).ok().filter(|span| *span <= LONGEST);
    let span = span.ok_or_else(|| source.error(value.span(), Problem::BadDuration))?;
    if (least..=most).contains(&span) {
        return Ok(span);
    }
    Err(source.error(value.span(), Problem::OutOfRange { least, most }))
}

/// The same where it may be left out.
pub(super) fn duration_or(
    source: &Source,
    value: Option<&Spanned<RawDuration>>,
    (least, most): (Span, Span),
    default: Span,
) -> Result<Span, ConfigError> {
    value.map_or(Ok(default), |value| duration(source, value, least, most))
}

/// A program that is run without a shell, with its arguments. Relative to what would a path be? Nobody knows where a daemon stands.
pub(super) fn program(source: &Source, argv: &Spanned<Vec<String>>) -> Result<Vec<String>, ConfigError> {
    let words = argv.get_ref();
    let good = words.first().is_some_and(|program| !program.is_empty() && (program.starts_with('/') || !program.contains('/')));
    if good && !words.iter().any(|word| word.contains('\0')) {
        return Ok(words.clone());
    }
    let allowed = "a program (an absolute path, or a name in PATH) and its arguments, without zero bytes, as in [\"/usr/local/sbin/notify\", \"web\"]";
    Err(source.error(argv.span(), Problem::Allowed(allowed.to_owned())))
}

/// An interface's name, as the kernel takes one.
pub(super) fn interface(source: &Source, text: &Spanned<String>) -> Result<Name, ConfigError> {
    interface_name(text.get_ref()).ok_or_else(|| source.error(text.span(), Problem::BadInterface))
}

/// The same of a text alone.
pub(super) fn interface_name(name: &str) -> Option<Name> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == ':';
    let bad = name.is_empty() || name.len() > 15 || name.contains(odd) || matches!(name, "." | "..");
    (!bad).then(|| name.into())
}

/// A link by its name.
pub(super) fn link_id(source: &Source, text: &Spanned<String>, nodes: &[NodeConfig; 2]) -> Result<LinkId, ConfigError> {
    let links = &nodes[0].links;
    match (0u8..).zip(links).find(|(_, link)| &*link.name == text.get_ref().as_str()) {
        Some((id, _)) => Ok(LinkId(id)),
        None => {
            let names = links.iter().map(|link| link.name.to_string()).collect::<Vec<_>>().join(", ");
            Err(source.error(text.span(), Problem::UnknownLink(names)))
        }
    }
}

/// A unicast address.
pub(super) fn address(source: &Source, text: &Spanned<String>) -> Result<IpAddr, ConfigError> {
    parse_address(text.get_ref()).map_err(|why| source.error(text.span(), Problem::BadAddress(why)))
}

/// The same of a text alone.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse::<IpAddr>().map_err(|_| no_address(text)).and_then(unicast)
}

/// What is wrong with it, where that can be told.
pub(super) fn no_address(text: &str) -> &'static str {
    let padded = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
    if text.contains('%') {
        "with a zone; the link's interface says it, leave out what begins with %"
    } else if text.contains('.') && text.split(['.', '/']).any(padded) {
        "a number with a leading zero, which some programs read as octal; write it without"
    } else if text.contains('/') {
        "with a prefix; here it is the address alone"
    } else {
        "not an IP address"
    }
}

/// Refuses what no single machine can have.
pub(super) fn unicast(address: IpAddr) -> Result<IpAddr, &'static str> {
    match address {
        _ if address.is_unspecified() => Err("the unspecified address"),
        _ if address.is_multicast() => Err("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Err("the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Err("in 0.0.0.0/8"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err("an IPv4 address in IPv6 clothes; write it as IPv4"),
        _ => Ok(address),
    }
}

/// For messages.
pub(super) fn family(v4: bool) -> &'static str {
    if v4 { "IPv4" } else { "IPv6" }
}
