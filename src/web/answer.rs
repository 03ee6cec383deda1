//! A request and its answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::encoding::{prometheus_text, text};

use twinbeat_control::shown;

use super::ask::{Asker, Depth};
use super::history::History;
use super::{health, registry};

/// Where answers come from.
pub(super) struct Sources {
    /// The daemon.
    pub asker: Asker,
    /// The flight recorder.
    pub history: History,
}

type Answer = Response<Full<Bytes>>;

/// What is answered to a request.
pub(super) async fn to(request: &Request<Incoming>, sources: &Sources) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = words(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: nothing can be changed here\n");
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    if !request.body().is_end_stream() {
        return words(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body\n");
    }
    let asker = &sources.asker;
    match request.uri().path() {
        "/" => page(),
        "/history.json" => history(&sources.history).await,
        "/status.json" => status(asker).await,
        "/metrics" => scrape(request, asker).await,
        "/health" => ready(None, asker).await,
        path => match path.strip_prefix("/health/") {
            Some(group) => ready(Some(group), asker).await,
            None => words(
                StatusCode::NOT_FOUND,
                "not here; there are: / (a page), /status.json, /history.json, /metrics, /health and /health/GROUP\n",
            ),
        },
    }
}

fn page() -> Answer {
    let mut answer = of(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

async fn status(asker: &Asker) -> Answer {
    match asker.look(Depth::Whole).await {
        Ok(dated) => of(StatusCode::OK, "application/json", shown::json(&dated.seen.view)),
        Err(why) => words(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn history(history: &History) -> Answer {
    match history.told().await {
        Ok(told) => of(StatusCode::OK, "application/json", told),
        Err(why) => words(StatusCode::SERVICE_UNAVAILABLE, format!("the flight recorder cannot be read: {why}\n")),
    }
}

async fn scrape(request: &Request<Incoming>, asker: &Asker) -> Answer {
    let dated = match asker.look(Depth::Whole).await {
        Ok(dated) => dated,
        Err(why) => return words(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    let registry = registry::registry(dated.seen);
    let mut body = String::new();
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (kind, written) = if wants_openmetrics(accepted) {
        (OPENMETRICS, text::encode(&mut body, &registry))
    } else {
        (PROMETHEUS, prometheus_text::encode(&mut body, &registry))
    };
    match written {
        Ok(()) => of(StatusCode::OK, kind, body),
        Err(_) => words(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
    }
}

/// By `Accept`: OpenMetrics where it is named and Prometheus' own text is not liked better (RFC 9110, 12.4.2).
fn wants_openmetrics<'a>(accepted: impl Iterator<Item = &'a str>) -> bool {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for one in accepted.flat_map(|value| value.split(',')) {
        let mut parts = one.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let mut version = None;
        let mut weight = 1.0;
        for part in parts {
            match part.split_once('=').map(|(key, value)| (key.trim(), value.trim().trim_matches('"'))) {
                Some(("q", q)) => weight = q.parse().unwrap_or(0.0),
                Some(("version", named)) => version = Some(named),
                _ => {}
            }
        }
        if kind.eq_ignore_ascii_case("application/openmetrics-text") && version.is_none_or(|named| named.starts_with("1.")) {
            open = open.max(weight);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            plain = plain.max(weight);
        }
    }
    open > 0.0 && open >= plain
}

async fn ready(group: Option<&str>, asker: &Asker) -> Answer {
    let dated = match asker.look(Depth::Quick).await {
        Ok(dated) => dated,
        Err(why) => return words(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    match health::of(&dated.seen.view, group, millis(dated.asked.elapsed())) {
        None => words(StatusCode::NOT_FOUND, "there is no group of that name\n"),
        Some(health) if health.serves => words(StatusCode::OK, health.text),
        Some(health) => words(StatusCode::SERVICE_UNAVAILABLE, health.text),
    }
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn words(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    of(status, "text/plain; charset=utf-8", text)
}

fn of(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The page: nothing in it comes from elsewhere.
const PAGE: &str = include_str!("page.html");
/// What a browser lets it do: its own words and styles, and asking this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// OpenMetrics 1.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::wants_openmetrics;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, open) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", true),
            ("Application/OpenMetrics-Text;q=0.5", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
            ("application/openmetrics-text;version=0.0.1", false),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.7", false),
            (prometheus, true),
        ] {
            assert_eq!(wants_openmetrics([accept].into_iter()), open, "{accept}");
        }
    }
}
