//! `twinbeat keygen`: a key pair for this node.

use std::path::PathBuf;
use std::process::ExitCode;

use twinbeat_config::keys;
use twinbeat_say::say;

/// A key pair for this node: the private key goes to a file, the public key is printed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the private key goes (mode 0600, never overwritten); the daemon looks for NAME.key beside the configuration
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Makes the pair and prints the line for `[nodes.NAME]`.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let public = keys::generate(&args.out)?;
    say!("public_key = \"{}\"", keys::public_text(&public));
    Ok(ExitCode::SUCCESS)
}
