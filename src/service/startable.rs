//! Whether the services could start here, asked without a start, on both nodes: a command of the file (`nginx -t`), and for a warm one that
//! runs although nobody ordered it here, its checks; an OCF agent's own `validate-all` where the file has no command. Beside the manager: a command that hangs keeps no order.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::attempt::Env;
use super::check::{CheckSpec, command};
use super::letter::Letter;
use super::unit::instance;
use super::{AgentSpec, GroupServices, Kind, NamedState, Report, ServiceSpec, State, ocf};
use twinbeat_core::id::GroupId;

/// What is asked of one service.
struct Question {
    validate: Option<Validate>,
    /// Of a warm one; those of an address that moves are not among them.
    checks: Vec<CheckSpec>,
}

/// What says whether it could start.
enum Validate {
    /// A program of the file.
    Program(Vec<String>),
    /// The agent's own validate-all.
    Agent(AgentSpec),
}

impl Validate {
    fn of(service: &ServiceSpec) -> Option<Validate> {
        match (&service.validate, &service.kind) {
            (Some(argv), _) => Some(Validate::Program(argv.clone())),
            (None, Kind::Ocf(ocf)) => Some(Validate::Agent(ocf.agent.clone())),
            (None, _) => None,
        }
    }

    async fn ask(&self, name: &str, env: &Env) -> Result<(), String> {
        match self {
            Validate::Program(argv) => command(argv, LIMIT, env).await.map(|_| ()),
            Validate::Agent(agent) => ocf::validate(agent, &instance(&env.group, name), LIMIT, env).await,
        }
    }
}

/// Asks for as long as the manager lives.
pub(super) struct Startable {
    group: GroupId,
    questions: Vec<Question>,
    env: Env,
    letters: WeakUnboundedSender<Letter>,
    reports: UnboundedSender<Report>,
    /// Between two rounds.
    pub pause: Duration,
}

impl Startable {
    /// None where there is nothing to ask.
    pub fn of(
        group: &GroupServices,
        letters: WeakUnboundedSender<Letter>,
        reports: UnboundedSender<Report>,
    ) -> Option<Startable> {
        let questions: Vec<Question> = group
            .services
            .iter()
            .map(|service| Question {
                validate: Validate::of(service),
                checks: service.checks.iter().filter(|check| service.warm && !check.of_the_owner).cloned().collect(),
            })
            .collect();
        let env = Env { group: group.name.clone(), node: group.node.clone(), epoch: None, ending: false };
        let any = questions.iter().any(|q| q.validate.is_some() || !q.checks.is_empty());
        any.then_some(Startable { group: group.group, questions, env, letters, reports, pause: PAUSE })
    }

    /// Asks again and again, and tells what is another than before. At first nothing is known against a start.
    pub async fn live(self) {
        let mut told = None;
        while let Some(states) = self.states().await {
            let mut obstacle = self.look(&states).await;
            // Once may be chance: a machine that has much to do.
            if obstacle.is_some() && told.is_none() {
                sleep(AGAIN).await;
                obstacle = self.look(&states).await;
            }
            if obstacle != told {
                told.clone_from(&obstacle);
                let _ = self.reports.send(Report::Startable { group: self.group, obstacle });
            }
            sleep(self.pause).await;
        }
    }

    /// What the services do; none when the manager is gone.
    async fn states(&self) -> Option<Vec<NamedState>> {
        let (answer, states) = oneshot::channel();
        self.letters.upgrade()?.send(Letter::State(answer)).ok()?;
        states.await.ok()
    }

    /// The first obstacle.
    async fn look(&self, states: &[NamedState]) -> Option<String> {
        for (question, named) in self.questions.iter().zip(states) {
            if let Some(validate) = &question.validate
                && let Err(why) = validate.ask(&named.name, &self.env).await
            {
                return Some(format!("{}: {why}", named.name));
            }
            if named.watched || named.state != State::Running {
                continue;
            }
            for check in &question.checks {
                if let Some(why) = self.falls(check).await {
                    return Some(format!("{} runs here, and check {}: {why}", named.name, check.probe));
                }
            }
        }
        None
    }

    /// What a check said when it had failed so many times in a row as it may.
    async fn falls(&self, check: &CheckSpec) -> Option<String> {
        let mut last = None;
        for _ in 0..check.fall.max(1) {
            match check.probe.ask(check.timeout, &self.env).await {
                Ok(_) => return None,
                Err(why) => last = Some(why),
            }
            sleep(check.interval).await;
        }
        last
    }
}

/// A command may take so long.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(30);
/// Before an obstacle that is new is asked about once more.
const AGAIN: Duration = Duration::from_secs(1);
