//! The samples of `dist/hooks`, with programs in the place of sendmail and curl that write down what they are given.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Output, Stdio};

use super::change::{Document, VERSION};
use super::tests::owner;
use super::*;

/// Runs a sample as a hook is run, with a fake in its PATH that ends with `code`; its end, and what the fake was given: arguments, then input.
fn sample(name: &str, arguments: &[&str], fake: &str, change: &Change, code: u8) -> (Output, String) {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let (program, said) = (dir.path().join(fake), dir.path().join("said"));
    let text = format!("#!/bin/sh\n{{ for a; do echo \"<$a>\"; done; cat; }} > {}\nexit {code}\n", said.display());
    // Written by another process: a program that one of this process's threads has open for writing while another one forks is busy.
    let write = ["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &text];
    assert!(Command::new("sh").args(write).arg(&program).status().unwrap().success());
    let from = Sender { cluster: "c".into(), node: "master1".into(), peer: "master2".into() };
    let document = Document { version: VERSION, change, from: &from, attempt: 1, skipped: 2 };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/hooks").join(name);
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(script);
    command.args(arguments).env("PATH", path).envs(document.variables().unwrap());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(document.text().unwrap().as_bytes());
    let output = child.wait_with_output().unwrap();
    (output, fs::read_to_string(said).unwrap_or_default())
}

#[test]
fn the_mail_names_the_change_in_its_subject_and_holds_the_document() {
    let (output, mail) = sample("mail", &["admin@example.org"], "sendmail", &owner("web", 12), 0);
    assert!(output.status.success(), "{output:?}");
    assert!(mail.starts_with("<-oi>\n<-t>\n"), "{mail}");
    assert!(mail.contains("\nTo: admin@example.org\nSubject: [twinbeat c] web: master1 is owner (was claiming)\n"), "{mail}");
    for words in ["the peer is dead", "epoch 12", "2 changes before this one", "\"event\":\"role\""] {
        assert!(mail.contains(words), "{words}: {mail}");
    }
    let what =
        What::Health { health: Health::Problems, was: Some(Health::Ok), problems: vec!["link bond: lost".into(), "b".into()] };
    let evil = Change { what, group: None, reason: "x\nBcc: all@example.org\n\n".into(), ..owner("", 0) };
    let (_, mail) = sample("mail", &["admin@example.org", "root"], "sendmail", &evil, 0);
    assert!(mail.contains("From: root\n") && mail.contains("Subject: [twinbeat c] master1: problems\n"), "{mail}");
    assert!(mail.contains("\nlink bond: lost\nb\n") && !mail.contains("\nBcc:"), "{mail}");
}

#[test]
fn the_webhook_posts_the_document_as_it_is() {
    let change = owner("web", 12);
    let (output, given) = sample("webhook", &["https://example.org/x"], "curl", &change, 0);
    assert!(output.status.success(), "{output:?}");
    let (arguments, body) = given.split_at(given.find('{').unwrap());
    assert!(arguments.ends_with("<--data-binary>\n<@->\n<-->\n<https://example.org/x>\n"), "{arguments}");
    assert!(arguments.contains("<--fail>\n") && arguments.contains("<Content-Type: application/json>\n"), "{arguments}");
    let document: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&document["role"], &document["epoch"]), (&"owner".into(), &12.into()));
    let (_, given) = sample("webhook", &["https://example.org/x", "/etc/twinbeat/my headers"], "curl", &change, 0);
    assert!(given.contains("<--header>\n<@/etc/twinbeat/my headers>\n"), "{given}");
}

#[test]
fn a_sample_whose_program_fails_or_that_lacks_its_argument_fails_too() {
    for (name, fake) in [("mail", "sendmail"), ("webhook", "curl")] {
        let (output, given) = sample(name, &["https://example.org/x"], fake, &owner("web", 1), 22);
        assert!(!output.status.success() && !given.is_empty(), "{name}: {output:?}");
        let (output, given) = sample(name, &[], fake, &owner("web", 1), 0);
        assert!(!output.status.success() && given.is_empty(), "{name}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the first argument is"), "{output:?}");
    }
}
