//! Checks of a service as its clients see it: an HTTP answer, a TCP connection, a command's exit code. One question at a time; what
//! comes of many of them is `tally.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::Command;

use super::attempt::Env;
use super::http;
pub use super::http::HttpProbe;
use super::runner::{Cancel, Ended, Speech, run};

/// A check of a service, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSpec {
    /// What is asked.
    pub probe: Probe,
    /// Between the beginnings of two questions.
    pub interval: Duration,
    /// What takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row are one of the service.
    pub fall: u32,
    /// So many good answers in a row end it.
    pub rise: u32,
    /// What is asked is an address that moves: only the node that has it can ask itself.
    pub of_the_owner: bool,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A GET, and what its answer has to be.
    Http(HttpProbe),
    /// Whether a connection comes about.
    Tcp(SocketAddr),
    /// A program with its arguments: exit code 0 is well.
    Command(Vec<String>),
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Probe::Http(http) => write!(f, "{}://{}{}", if http.tls { "https" } else { "http" }, http.address, http.path),
            Probe::Tcp(address) => write!(f, "tcp {address}"),
            Probe::Command(argv) => write!(f, "command {}", argv.first().map_or("", String::as_str)),
        }
    }
}

impl Probe {
    /// Asks once. What the answer was, in words; or what is wrong with it. What hangs is broken off after `limit`.
    pub(super) async fn ask(&self, limit: Duration, env: &Env) -> Result<String, String> {
        let begun = Instant::now();
        let asked = async {
            match self {
                Probe::Http(probe) => http::ask(probe).await,
                Probe::Tcp(address) => match TcpStream::connect(address).await {
                    Ok(_) => Ok("connected".to_owned()),
                    Err(error) => Err(error.to_string()),
                },
                Probe::Command(argv) => command(argv, limit, env).await,
            }
        };
        match tokio::time::timeout(limit.saturating_add(KILLING), within(asked, limit, self)).await {
            Ok(Ok(word)) => Ok(format!("{word} in {} ms", begun.elapsed().as_millis())),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }
}

/// A command has its limit from who runs it, and some time to be killed in.
async fn within(asked: impl Future<Output = Result<String, String>>, limit: Duration, probe: &Probe) -> Result<String, String> {
    match probe {
        Probe::Command(_) => asked.await,
        _ => tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}"))),
    }
}

/// Runs a program: exit code 0 is well.
pub(super) async fn command(argv: &[String], limit: Duration, env: &Env) -> Result<String, String> {
    let (program, arguments) = argv.split_first().ok_or("no program is configured")?;
    let mut command = Command::new(program);
    command.args(arguments).envs(env.pairs());
    match run(command, Speech::Keep, limit, &mut Cancel::never()).await {
        Ended::Exit(0, _) => Ok("exit code 0".to_owned()),
        ended => Err(format!("{program}: {ended}")),
    }
}

/// A command that ran into its limit is killed within this.
const KILLING: Duration = Duration::from_secs(3);
