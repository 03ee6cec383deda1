//! What is read and refused of a service's `check`, `validate` and restarts.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::*;
use twinbeat_core::time::Span;

const FAST: &str = include_str!("../../scenarios/pairs/fast.toml");

/// The file with `check` at its service.
fn with_check(check: &str) -> Result<Config, ConfigError> {
    let text = FAST.replacen("warm = true", &format!("warm = true, {check}"), 1);
    Config::load(Path::new("t.toml"), &text)
}

#[test]
fn a_service_has_checks_one_or_many_with_their_defaults() {
    let config =
        with_check(r#"check = { http = "http://192.168.42.14/health" }, validate = ["nginx", "-t"], restarts = 3"#).unwrap();
    let service = &config.groups[0].services[0];
    let [check] = service.checks.as_slice() else { panic!("{:?}", service.checks) };
    let CheckKind::Http(http) = &check.kind else { panic!("{check:?}") };
    assert_eq!(
        (http.address.to_string().as_str(), http.name.as_str(), http.path.as_str()),
        ("192.168.42.14:80", "192.168.42.14", "/health")
    );
    assert_eq!(
        (http.status, check.fall, check.rise, check.interval, check.timeout),
        ((200, 399), 3, 1, Span::secs(1), Span::secs(1))
    );
    assert!(check.of_the_owner, "a VIP of this file");
    assert_eq!((service.restarts, service.restart_window), (3, Span::secs(60)));
    assert_eq!(service.validate.as_deref(), Some(["nginx".to_owned(), "-t".to_owned()].as_slice()));
    let many = r#"check = [{ tcp = "localhost:80", interval = "200ms" }, { command = ["true"], fall = 1 },
        { http = "https://[::1]:8443", name = "www.example.org", status = "200-204", contains = "ok", rise = 2 }]"#;
    let config = with_check(many).unwrap();
    let checks = &config.groups[0].services[0].checks;
    assert_eq!(checks.len(), 3);
    assert_eq!(checks[0].timeout, Span::millis(200), "the interval");
    assert!(checks.iter().all(|check| !check.of_the_owner));
    let CheckKind::Http(http) = &checks[2].kind else { panic!("{:?}", checks[2]) };
    assert_eq!((http.tls, http.name.as_str(), http.path.as_str(), http.status), (true, "www.example.org", "/", (200, 204)));
}

#[test]
fn a_check_that_makes_no_sense_is_refused_with_its_place() {
    let refused = |check: &str, words: &[&str]| {
        let error = with_check(check).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{check}: {error}");
        assert!(error.contains("services[0]"), "{error}");
    };
    refused(r#"check = { http = "http://www.example.org/" }"#, &["check.http", "an IP address or `localhost`"]);
    for url in ["ftp://127.0.0.1/", "http://", "http://127.0.0.1:0/", "http://127.0.0.1/a b", "http://u@127.0.0.1/", "127.0.0.1"]
    {
        refused(&format!("check = {{ http = \"{url}\" }}"), &["check.http", "allowed: http://"]);
    }
    refused(r#"check = { tcp = "127.0.0.1" }"#, &["check.tcp", "and a port"]);
    refused(r#"check = { command = [] }"#, &["check.command", "a program"]);
    refused(r#"check = { command = ["bin/ask"] }"#, &["check.command", "an absolute path, or a name in PATH"]);
    refused(r#"validate = ["./nginx", "-t"]"#, &["validate", "an absolute path, or a name in PATH"]);
    refused(r#"check = { interval = "1s" }"#, &["exactly one of `http`, `tcp` and `command`"]);
    refused(r#"check = { tcp = "127.0.0.1:80", command = ["true"] }"#, &["exactly one of"]);
    refused(r#"check = { tcp = "127.0.0.1:80", status = 200 }"#, &["check.status", "only beside `http`"]);
    refused(r#"check = { http = "http://127.0.0.1/", status = 99 }"#, &["check.status", "100 to 599"]);
    refused(r#"check = { http = "http://127.0.0.1/", status = "300-200" }"#, &["check.status", "100 to 599"]);
    refused(r#"check = { http = "http://127.0.0.1/", name = "a b" }"#, &["check.name", "a host's name"]);
    refused(r#"check = { tcp = "127.0.0.1:80", fall = 0 }"#, &["check.fall", "1 to 100"]);
    refused(r#"check = { tcp = "127.0.0.1:80", interval = "10ms" }"#, &["check.interval", "100ms to"]);
    refused(r#"check = { tpc = "127.0.0.1:80" }"#, &["unknown key `tpc`", "did you mean `tcp`"]);
    refused(r#"check = "http://127.0.0.1/""#, &["check", "or a list of them"]);
    refused(r#"validate = []"#, &["validate", "a program"]);
    refused(r#"restarts = -1"#, &["restarts", "0 to 100"]);
    refused(r#"restart_window = "10ms""#, &["restart_window", "1s to"]);
}
