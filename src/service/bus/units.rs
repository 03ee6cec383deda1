//! What services of the kind `systemd` ask: the handle to the task that holds the connection.

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::ask::{Answer, Ask, Board, JobEnd, Known, Program, Trouble, Verb};
use super::link::Link;
use super::session::CALL;

/// The units of a group. The task ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct Units {
    asks: UnboundedSender<Ask>,
    board: watch::Receiver<Board>,
}

impl Units {
    /// Begins to follow the units of these names at that bus, on the runtime that this is called in.
    pub fn follow(address: String, group: String, names: Vec<String>) -> Units {
        let (asks, inbox) = unbounded_channel();
        let (tell, board) = watch::channel(Board::Unsettled);
        if !names.is_empty() {
            tokio::spawn(Link { address, group, names, asks: inbox, board: tell }.live());
        }
        Units { asks, board }
    }

    /// What signals have said of a unit; none while there is no connection.
    pub fn known(&self, at: usize) -> Option<Known> {
        match &*self.board.borrow() {
            Board::Up(known) => known.get(at).cloned(),
            Board::Unsettled | Board::Down(_) => None,
        }
    }

    /// Its ActiveState, asked for now.
    pub async fn look(&self, at: usize) -> Result<String, Trouble> {
        self.ask(|answer| Ask::Look(at, answer), true).await
    }

    /// A job, to its end. Dropping the future leaves the job to systemd.
    pub async fn job(&self, at: usize, verb: Verb) -> Result<JobEnd, Trouble> {
        self.ask(|answer| Ask::Job(at, verb, answer), false).await
    }

    /// A unit of this program, to the end of its start.
    pub async fn run(&self, at: usize, program: Program) -> Result<JobEnd, Trouble> {
        self.ask(|answer| Ask::Run(at, Box::new(program), answer), false).await
    }

    /// Has systemd drop a unit that failed, which is refused where there is none.
    pub async fn forgive(&self, at: usize) -> Result<(), Trouble> {
        self.ask(|answer| Ask::Forgive(at, answer), true).await
    }

    /// How the program of a service ended: its exit code, or the signal's number.
    pub async fn exit_status(&self, at: usize) -> Option<String> {
        self.ask(|answer| Ask::Word(at, "Service", "ExecMainStatus", answer), true).await.ok()
    }

    /// SIGKILL to all of the unit.
    pub async fn kill(&self, at: usize) -> Result<(), Trouble> {
        self.ask(|answer| Ask::Kill(at, answer), true).await
    }

    /// Why a service is not well, in systemd's one word.
    pub async fn result(&self, at: usize) -> Option<String> {
        self.ask(|answer| Ask::Word(at, "Service", "Result", answer), true).await.ok()
    }

    /// Waits until it is worth while to ask: at once where signals say that `ended` is so of the unit; at `due` where none are heard.
    pub async fn worth_asking(&self, at: usize, due: Instant, ended: impl Fn(&str) -> bool) {
        let mut board = self.board.clone();
        loop {
            let heard = match &*board.borrow_and_update() {
                Board::Up(known) => match known.get(at) {
                    Some(Ok(active)) if ended(active) => return,
                    Some(Ok(_)) => true,
                    Some(Err(_)) | None => false,
                },
                Board::Unsettled | Board::Down(_) => false,
            };
            tokio::select! {
                () = sleep_until(due), if !heard => return,
                changed = board.changed() => if changed.is_err() {
                    return sleep_until(due).await;
                },
            }
        }
    }

    async fn ask<T>(&self, question: impl FnOnce(Answer<T>) -> Ask, limited: bool) -> Result<T, Trouble> {
        self.connected().await?;
        let (answer, told) = oneshot::channel();
        let _ = self.asks.send(question(answer));
        let told = match limited {
            // The task counts as well; whatever it does, nobody waits longer.
            true => timeout(CALL, told).await.map_err(|_| Trouble::Away(format!("no answer within {CALL:?}")))?,
            false => told.await,
        };
        told.unwrap_or_else(|_| Err(Trouble::Away(self.why())))
    }

    /// Waits for the end of the first attempt to connect.
    async fn connected(&self) -> Result<(), Trouble> {
        let mut board = self.board.clone();
        let settled = timeout(CALL, board.wait_for(|board| *board != Board::Unsettled)).await;
        match settled {
            Ok(Ok(board)) if matches!(*board, Board::Up(_)) => Ok(()),
            _ => Err(Trouble::Away(self.why())),
        }
    }

    fn why(&self) -> String {
        match &*self.board.borrow() {
            Board::Down(why) => why.clone(),
            Board::Unsettled => format!("the bus: no answer within {CALL:?}"),
            Board::Up(_) => "the bus does not answer".into(),
        }
    }
}
