//! Key pairs: the public key in the configuration file, the private key in `NAME.key` beside it.
//!
//! A private key is never overwritten, never printed, and never read while others may read it.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::{Zeroize, Zeroizing};

/// What a public key begins with in the file.
pub const PUBLIC_PREFIX: &str = "ed25519:";
/// What the private key file begins with.
pub const SECRET_PREFIX: &str = "ed25519-secret:";

/// What can be wrong with a private key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not there.
    #[error("{0}: no private key; make one with: twinbeat keygen --out {0}")]
    Missing(PathBuf),
    /// It, or its place, cannot be read or written.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It exists: a key is never overwritten.
    #[error("{0}: exists already; a private key is never overwritten: move it away, or name another file with --out")]
    Exists(PathBuf),
    /// Not a file.
    #[error("{0}: not a regular file")]
    NotAFile(PathBuf),
    /// Others may read it.
    #[error("{file}: mode {mode:04o} lets others at the private key; allowed: 0600 or stricter; type: chmod 0600 {file}")]
    Mode {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else owns it.
    #[error("{file}: belongs to user {owner}, who may change it; allowed: user {allowed} or root; type: chown {allowed} {file}")]
    Owner {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it may be.
        allowed: u32,
    },
    /// Not a private key.
    #[error(
        "{0}: not a private key; allowed: one line, `ed25519-secret:` and 32 bytes in base64, as `twinbeat keygen` writes it"
    )]
    Format(PathBuf),
    /// It belongs to another public key than the configured one.
    #[error(
        "{file}: the private key of another key pair: it belongs to {found}, but {node} has {configured} in the configuration; \
         is this {node}'s key file, and is the configuration the same on both nodes?"
    )]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// The node.
        node: String,
        /// The public key of the file.
        found: String,
        /// The public key in the configuration.
        configured: String,
    },
    /// No randomness.
    #[error("the kernel gives no randomness: {0}")]
    Random(String),
}

/// A public key as it stands in the file.
pub fn public_text(key: &VerifyingKey) -> String {
    format!("{PUBLIC_PREFIX}{}", BASE64_STANDARD.encode(key.as_bytes()))
}

/// Reads a public key; the error says what is wrong in a few words.
pub fn parse_public(text: &str) -> Result<VerifyingKey, &'static str> {
    if text.starts_with(SECRET_PREFIX) {
        return Err("this is the private key, which stays in its file; make a new pair, for this one may have been seen");
    }
    let body = text.strip_prefix(PUBLIC_PREFIX).ok_or("it does not begin with `ed25519:`")?;
    let bytes = BASE64_STANDARD.decode(body).map_err(|_| "it is not base64")?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| "it has not 32 bytes")?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| "it is no point of the curve")?;
    if key.is_weak() { Err("it is a weak key that anybody could sign for") } else { Ok(key) }
}

/// Where the private key of `node` is: beside the configuration file.
pub fn key_path(config_file: &Path, node: &str) -> PathBuf {
    config_file.with_file_name(format!("{node}.key"))
}

/// Reads the private key of `node` and makes sure that it belongs to one of `public`.
pub fn load(file: &Path, node: &str, public: impl IntoIterator<Item = VerifyingKey>) -> Result<SigningKey, KeyError> {
    let key = read(file)?;
    let public: Vec<VerifyingKey> = public.into_iter().collect();
    if public.contains(&key.verifying_key()) {
        return Ok(key);
    }
    Err(KeyError::Mismatch {
        file: file.to_owned(),
        node: node.to_owned(),
        found: public_text(&key.verifying_key()),
        configured: public.iter().map(public_text).collect::<Vec<_>>().join(" and "),
    })
}

/// Reads a private key file; mode and owner are those of the file that was opened, not of a later one.
pub fn read(file: &Path) -> Result<SigningKey, KeyError> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => KeyError::Missing(file.to_owned()),
        _ => KeyError::Io { file: file.to_owned(), error },
    };
    // Not blocking, so that a fifo in the place of the file does not hang the start.
    let mut open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file).map_err(io)?;
    let meta = open.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(KeyError::NotAFile(file.to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(KeyError::Mode { file: file.to_owned(), mode: meta.mode() & 0o7777 });
    }
    let me = nix::unistd::geteuid().as_raw();
    if meta.uid() != me && meta.uid() != 0 {
        return Err(KeyError::Owner { file: file.to_owned(), owner: meta.uid(), allowed: me });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(MOST_BYTES));
    (&mut open).take(MOST_BYTES as u64).read_to_end(&mut text).map_err(io)?;
    parse_secret(&text).ok_or_else(|| KeyError::Format(file.to_owned()))
}

/// Makes a key pair, writes the private key to `file` (0600, never over an existing file), and gives the public key.
pub fn generate(file: &Path) -> Result<VerifyingKey, KeyError> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists(file.to_owned()),
        _ => KeyError::Io { file: file.to_owned(), error },
    };
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(seed.as_mut()).map_err(|e| KeyError::Random(e.to_string()))?;
    let key = SigningKey::from_bytes(&seed);
    let mut line = Zeroizing::new(String::with_capacity(MOST_BYTES));
    line.push_str(SECRET_PREFIX);
    BASE64_STANDARD.encode_string(*seed, &mut line);
    line.push('\n');
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(io)?;
    let written = out.write_all(line.as_bytes()).and_then(|()| out.sync_all());
    if let Err(error) = written {
        // Half a key is of no use, and it is ours: this call made the file.
        let _ = std::fs::remove_file(file);
        return Err(io(error));
    }
    Ok(key.verifying_key())
}

fn parse_secret(text: &[u8]) -> Option<SigningKey> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let body = text.strip_prefix(SECRET_PREFIX.as_bytes())?;
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(body).ok()?);
    let mut seed: [u8; 32] = bytes.as_slice().try_into().ok()?;
    let key = SigningKey::from_bytes(&seed);
    seed.zeroize();
    Some(key)
}

/// More than a key file ever holds.
const MOST_BYTES: usize = 256;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_generated_key_is_read_back_and_belongs_to_the_printed_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("master1.key");
        let public = generate(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(parse_public(&public_text(&public)).unwrap(), public);
        assert_eq!(load(&file, "master1", [public]).unwrap().verifying_key(), public);
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k");
        std::fs::write(&file, "dear").unwrap();
        let error = generate(&file).unwrap_err();
        assert!(error.to_string().contains("never overwritten"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"dear");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_to_type() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k");
        let public = generate(&file).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = load(&file, "a", [public]).unwrap_err().to_string();
            assert!(error.contains(&format!("type: chmod 0600 {}", file.display())), "{error}");
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
        }
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
        load(&file, "a", [public]).unwrap();
    }

    #[test]
    fn the_key_of_another_pair_is_refused_with_both_public_keys() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("1"), dir.path().join("2"));
        let (first, second) = (generate(&one).unwrap(), generate(&two).unwrap());
        let error = load(&one, "master2", [second]).unwrap_err().to_string();
        assert!(error.contains(&public_text(&first)) && error.contains(&public_text(&second)), "{error}");
    }

    #[test]
    fn a_missing_key_names_the_command_that_makes_it() {
        let error = read(Path::new("/nonexistent/master1.key")).unwrap_err().to_string();
        assert!(error.contains("twinbeat keygen --out /nonexistent/master1.key"), "{error}");
    }

    #[test]
    fn odd_key_files_are_refused_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k");
        let long = format!("ed25519-secret:{}", "A".repeat(500));
        for text in ["", "x", "ed25519-secret:", "ed25519-secret:QUJD", "ed25519:AAAA", "ed25519-secret:!!!\n", long.as_str()] {
            let _ = std::fs::remove_file(&file);
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).unwrap().write_all(text.as_bytes()).unwrap();
            assert!(matches!(read(&file), Err(KeyError::Format(_))), "{text}");
        }
        assert!(matches!(read(dir.path()), Err(KeyError::NotAFile(_) | KeyError::Mode { .. })));
    }

    #[test]
    fn odd_public_keys_are_refused() {
        let zero = format!("ed25519:{}", BASE64_STANDARD.encode([0u8; 32]));
        for text in ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", "ed25519:???", zero.as_str(), "ed25519-secret:AAAA"] {
            assert!(parse_public(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_key_file_lies_beside_the_configuration() {
        assert_eq!(key_path(Path::new("/etc/twinbeat/twinbeat.toml"), "master1"), Path::new("/etc/twinbeat/master1.key"));
        assert_eq!(key_path(Path::new("twinbeat.toml"), "m"), Path::new("m.key"));
    }
}
