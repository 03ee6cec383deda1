//! `check` of a service: what is asked, how often, and what a failure is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::parts::{CheckConfig, CheckKind, HttpCheck};
use super::place::At;
use super::raw_check::{RawCheck, RawChecks, RawStatus};
use super::raw_duration::RawDuration;
use super::source::Source;
use super::value::{duration_or, program, whole};
use twinbeat_core::time::Span;

/// Between two questions, when the file does not say.
const INTERVAL: Span = Span::secs(1);
/// The shortest and the longest interval and timeout.
const TIMES: (Span, Span) = (Span::millis(100), Span::secs(3_600));
/// Failures in a row, when the file does not say.
const FALL: u32 = 3;
/// Good answers in a row, when the file does not say.
const RISE: u32 = 1;
/// The most checks of a service.
const MOST: usize = 8;

/// All checks of a service, whose table is at `at`. `vips` are those of the file: only the node that has one can ask it of itself.
pub(super) fn convert(
    source: &Source,
    raw: Option<&Spanned<RawChecks>>,
    vips: &[IpAddr],
) -> Result<Vec<CheckConfig>, ConfigError> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let all = &raw.get_ref().0;
    if all.len() > MOST {
        return Err(source.error(raw.span(), Problem::TooMany { what: "checks", found: all.len(), most: MOST }));
    }
    // One that stands alone has the place of the whole.
    let at = |check: &Spanned<RawCheck>| if check.span().is_empty() { raw.span() } else { check.span() };
    all.iter().map(|check| one(source, check.get_ref(), at(check), vips)).collect()
}

fn one(source: &Source, raw: &RawCheck, at: At, vips: &[IpAddr]) -> Result<CheckConfig, ConfigError> {
    let refuse = |at: At, why: &str| source.error(at, Problem::Allowed(why.to_owned()));
    let (kind, target) = match (&raw.http, &raw.tcp, &raw.command) {
        (Some(url), None, None) => {
            let http = http(source, url, raw)?;
            let target = http.address.ip();
            (CheckKind::Http(http), Some(target))
        }
        (None, Some(text), None) => {
            let address = socket(text.get_ref(), None);
            let address = address.ok_or_else(|| refuse(text.span(), "an IP address and a port, as in \"127.0.0.1:80\""))?;
            (CheckKind::Tcp(address), Some(address.ip()))
        }
        (None, None, Some(argv)) => (CheckKind::Command(program(source, argv)?), None),
        _ => return Err(refuse(at, "exactly one of `http`, `tcp` and `command`")),
    };
    if raw.http.is_none() {
        let odd = [
            raw.status.as_ref().map(Spanned::span),
            raw.contains.as_ref().map(Spanned::span),
            raw.name.as_ref().map(Spanned::span),
        ];
        if let Some(at) = odd.into_iter().flatten().next() {
            return Err(refuse(at, "`status`, `contains` and `name` only beside `http`"));
        }
    }
    let span = |value: &Option<Spanned<RawDuration>>, default| duration_or(source, value.as_ref(), TIMES, default);
    let count = |value: &Option<Spanned<i64>>, default: u32| match value {
        Some(value) => whole(source, value, 1, 100).map(|n| n.try_into().unwrap_or(default)),
        None => Ok(default),
    };
    let interval = span(&raw.interval, INTERVAL)?;
    Ok(CheckConfig {
        kind,
        interval,
        timeout: span(&raw.timeout, interval)?,
        fall: count(&raw.fall, FALL)?,
        rise: count(&raw.rise, RISE)?,
        of_the_owner: target.is_some_and(|target| vips.contains(&target)),
    })
}

/// No name is looked up: a resolver that hangs is no fault of the service.
fn http(source: &Source, url: &Spanned<String>, raw: &RawCheck) -> Result<HttpCheck, ConfigError> {
    let bad = || {
        let allowed = "http:// or https://, an IP address or `localhost`, and a path, as in \"http://192.168.42.14/health\"; `name` has the name";
        source.error(url.span(), Problem::Allowed(allowed.to_owned()))
    };
    let text = url.get_ref();
    let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(bad()),
    };
    let (authority, path) = match rest.find('/') {
        Some(place) => rest.split_at(place),
        None => (rest, "/"),
    };
    let address = socket(authority, Some(if tls { 443 } else { 80 })).ok_or_else(bad)?;
    if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(bad());
    }
    let name = match &raw.name {
        None => authority.to_owned(),
        Some(name) => {
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            let text = name.get_ref();
            if text.is_empty() || text.len() > 253 || !text.bytes().all(good) {
                let allowed = "a host's name, as in \"www.example.org\"".to_owned();
                return Err(source.error(name.span(), Problem::Allowed(allowed)));
            }
            text.clone()
        }
    };
    // In the handshake a name has no port.
    let name = if tls && raw.name.is_none() { address.ip().to_string() } else { name };
    let status = raw.status.as_ref().map_or(Ok((200, 399)), |status| self::status(source, status))?;
    let contains = raw.contains.as_ref().map(|text| text.get_ref().clone());
    Ok(HttpCheck { address, tls, name, path: path.to_owned(), status, contains })
}

fn status(source: &Source, raw: &Spanned<RawStatus>) -> Result<(u16, u16), ConfigError> {
    let text = raw.get_ref().0.as_str();
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|n| (100..=599).contains(n));
    match (number(least), number(most)) {
        (Some(least), Some(most)) if least <= most => Ok((least, most)),
        _ => Err(source.error(raw.span(), Problem::Allowed("a status from 100 to 599, or a range as in \"200-299\"".to_owned()))),
    }
}

/// `127.0.0.1:80`, `[::1]:80`, `localhost:80`; without a port where there is a usual one.
fn socket(text: &str, port: Option<u16>) -> Option<SocketAddr> {
    let text = match text.strip_prefix("localhost") {
        Some(rest) => format!("{}{rest}", Ipv4Addr::LOCALHOST),
        None => text.to_owned(),
    };
    let alone = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let address = text.parse().ok().or_else(|| Some(SocketAddr::new(alone()?, port?)))?;
    (address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_the_usual_one() {
        let of = |text| socket(text, Some(80)).map(|address| address.to_string());
        assert_eq!(of("127.0.0.1").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(of("localhost:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(of("[fd00::1]:443").as_deref(), Some("[fd00::1]:443"));
        assert_eq!(of("[fd00::1]").as_deref(), Some("[fd00::1]:80"));
        for odd in [
            "",
            ":80",
            "example.org",
            "localhost.example.org",
            "127.0.0.1:0",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "127.0.0.1:65536",
            "user@127.0.0.1",
        ] {
            assert_eq!(of(odd), None, "{odd}");
        }
        assert_eq!(socket("127.0.0.1", None), None);
    }
}
