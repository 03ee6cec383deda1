//! Turns the peer off (SAFETY R4b): a command, or an agent of the fence-agents package by its protocol. Never on the decision thread.
//!
//! Agents read their parameters from standard input, `name=value` in a line each, `action=off` among them, and end with 0 when the node is off
//! (FenceAgentAPI of the ClusterLabs fence-agents).

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::runner::{Ended, break_off, outcome};
use twinbeat_core::id::Attempt;
use twinbeat_core::io::Input;
use twinbeat_host::session::own_session;

/// By what the peer is turned off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FenceHow {
    /// A program with its arguments; exit code 0: the peer is off.
    Command(Vec<String>),
    /// An agent, and what it reads.
    Agent {
        /// The program.
        program: String,
        /// Name and value.
        parameters: Vec<(String, String)>,
    },
}

/// A device that turns the peer off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FenceSpec {
    /// By what.
    pub how: FenceHow,
    /// How long one try may take.
    pub timeout: Duration,
    /// So often it is tried again at once.
    pub retries: u32,
    /// For the command's environment: this node, and the one to be turned off.
    pub nodes: [String; 2],
}

/// The handle; dropping it ends no try that is under way.
#[derive(Debug)]
pub struct Fencer {
    orders: UnboundedSender<Attempt>,
}

impl Fencer {
    /// Starts its thread; nothing is run before the first order. What became of an order is told as an input of the decision.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(spec: FenceSpec, tell: impl Fn(Input) + Send + 'static) -> io::Result<Fencer> {
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("fence".into()).spawn(move || runtime.block_on(live(spec, inbox, tell)))?;
        Ok(Fencer { orders })
    }

    /// Turn the peer off; one order after the other.
    pub fn order(&self, attempt: Attempt) {
        let _ = self.orders.send(attempt);
    }
}

async fn live(spec: FenceSpec, mut orders: UnboundedReceiver<Attempt>, tell: impl Fn(Input)) {
    while let Some(attempt) = orders.recv().await {
        let mut failed = None;
        for again in 0..=spec.retries {
            let ended = spec.turn_off().await;
            failed = match ended {
                Ended::Exit(0, _) => None,
                ended => Some(ended.to_string()),
            };
            let Some(why) = &failed else { break };
            if again < spec.retries {
                tracing::warn!(target: "fence", "{}: {why}; tried again", spec.name());
                tokio::time::sleep(PAUSE).await;
            }
        }
        tell(Input::Fenced { attempt, failed: failed.map(|why| format!("{}: {why}", spec.name())) });
    }
}

impl FenceSpec {
    /// What is run, in a word.
    pub fn name(&self) -> &str {
        match &self.how {
            FenceHow::Command(argv) => argv.first().map_or("", String::as_str),
            FenceHow::Agent { program, .. } => program,
        }
    }

    /// Runs it once, to turn the peer off.
    async fn turn_off(&self) -> Ended {
        self.run("off").await
    }

    /// Asks an agent whether its device answers, without touching the peer; none for a command, which cannot be asked.
    ///
    /// # Errors
    /// What it said.
    pub async fn monitor(&self) -> Option<Result<(), String>> {
        let FenceHow::Agent { .. } = &self.how else { return None };
        Some(match self.run("monitor").await {
            Ended::Exit(0, _) => Ok(()),
            ended => Err(ended.to_string()),
        })
    }

    async fn run(&self, action: &str) -> Ended {
        let (mut command, input) = match &self.how {
            FenceHow::Command(argv) => {
                let Some((program, arguments)) = argv.split_first() else { return Ended::NotRun("no program".into()) };
                let mut command = Command::new(program);
                command.args(arguments);
                (command, String::new())
            }
            FenceHow::Agent { program, parameters } => {
                let own = parameters.iter().any(|(name, _)| name == "action") && action == "off";
                let action = (!own).then_some(("action", action)).into_iter();
                let given = parameters.iter().filter(|(name, _)| own || name != "action");
                let lines = action.chain(given.map(|(name, value)| (name.as_str(), value.as_str())));
                (Command::new(program), lines.map(|(name, value)| format!("{name}={value}\n")).collect())
            }
        };
        let [node, peer] = &self.nodes;
        command.env("TWINBEAT_NODE", node).env("TWINBEAT_PEER", peer).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        own_session(&mut command);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ended::NotRun(format!("cannot be run: {error}")),
        };
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let ended = {
            let write = async {
                // One that does not read its input says so by its exit code, if at all.
                if let Some(mut stdin) = stdin {
                    let _ = stdin.write_all(input.as_bytes()).await;
                }
            };
            let read = async {
                let mut said = Vec::new();
                if let Some(mut stderr) = stderr {
                    let mut buffer = [0; 1024];
                    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                        said.extend(buffer.iter().take(count.min(MOST_SAID.saturating_sub(said.len()))));
                    }
                }
                String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ")
            };
            let whole = async {
                let (status, (), said) = tokio::join!(child.wait(), write, read);
                outcome(status, said)
            };
            tokio::time::timeout(self.timeout, whole).await
        };
        match ended {
            Ok(ended) => ended,
            Err(_) => {
                break_off(&mut child, group).await;
                Ended::TimedOut(self.timeout)
            }
        }
    }
}

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How much of what it says is kept.
const MOST_SAID: usize = 1024;
