//! `[metrics]`: where this node answers questions about itself over HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::error::{ConfigError, Problem};
use super::raw::RawMetrics;
use super::source::Source;

/// `[metrics]`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MetricsConfig {
    /// Where HTTP is spoken; none: nowhere.
    pub listen: Option<Listen>,
}

/// Where HTTP is spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listen {
    /// At an address and a port, 1 to 65535.
    Tcp(SocketAddr),
    /// At a Unix socket; the path is absolute and at most 107 bytes long.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    /// As in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a socket's path must be shorter than (`sun_path`, unix(7)).
const MOST_PATH: usize = 108;

const ALLOWED: &str = "an IP address and a port, as in \"127.0.0.1:9469\" or \"[::1]:9469\", or a Unix socket, \"unix:\" and an absolute path of at most 107 bytes";

/// The conversion of the table.
pub(super) fn convert(source: &Source, raw: Option<&RawMetrics>) -> Result<MetricsConfig, ConfigError> {
    let Some(value) = raw.and_then(|raw| raw.listen.as_ref()) else { return Ok(MetricsConfig::default()) };
    match listen(value.get_ref()) {
        Some(listen) => Ok(MetricsConfig { listen: Some(listen) }),
        None => Err(source.error(value.span(), Problem::Allowed(ALLOWED.to_owned()))),
    }
}

fn listen(text: &str) -> Option<Listen> {
    if let Some(path) = text.strip_prefix("unix:") {
        let usable = path.starts_with('/') && !path.ends_with('/') && path.len() < MOST_PATH && !path.contains('\0');
        return usable.then(|| Listen::Unix(path.into()));
    }
    text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0 && !address.ip().is_multicast()).map(Listen::Tcp)
}
