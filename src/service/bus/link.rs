//! The task that holds the connection: makes it, lives with it, says so in the log, and makes it anew when it is lost.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zbus::Connection;
use zbus::connection::Builder;

use super::ask::{Ask, Board};
use super::session::{CALL, Over, Session};

pub struct Link {
    pub address: String,
    /// Whose services it is for.
    pub group: String,
    pub names: Vec<String>,
    pub asks: UnboundedReceiver<Ask>,
    pub board: watch::Sender<Board>,
}

impl Link {
    /// Until nobody asks any more.
    pub async fn live(mut self) {
        let mut pause = SHORTEST;
        loop {
            let begun = Instant::now();
            let over = match connect(&self.address).await {
                Ok(connection) => {
                    let mut session = Session::new(connection, &self.names);
                    let (address, group, board) = (&self.address, &self.group, &self.board);
                    let over = session.live(&mut self.asks, |known| up(board, known, group, address)).await;
                    // Before the session goes: whose question goes with it looks here for the reason.
                    if let Over::Lost(why) = &over {
                        self.down(why);
                    }
                    over
                }
                Err(why) => Over::Lost(why),
            };
            let Over::Lost(why) = over else { return };
            self.down(&why);
            while let Ok(ask) = self.asks.try_recv() {
                drop(ask);
            }
            if begun.elapsed() > LONGEST {
                pause = SHORTEST;
            }
            if !self.rest(pause).await {
                return;
            }
            pause = pause.saturating_mul(2).min(LONGEST);
        }
    }

    fn down(&self, why: &str) {
        let why = format!("{}: {why}", self.address);
        self.board.send_if_modified(|board| {
            let told = matches!(board, Board::Down(_));
            let changed = *board != Board::Down(why.clone());
            if !told {
                tracing::warn!(target: "service", "{}: units by systemctl, until the bus answers: {why}", self.group);
            }
            if changed {
                *board = Board::Down(why.clone());
            }
            changed
        });
    }

    /// Nobody is kept waiting meanwhile. Whether anybody is there still.
    async fn rest(&mut self, pause: Duration) -> bool {
        let over = sleep(pause);
        let mut over = std::pin::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                ask = self.asks.recv() => match ask {
                    Some(ask) => drop(ask),
                    None => return false,
                },
            }
        }
    }
}

fn up(board: &watch::Sender<Board>, known: Vec<super::ask::Known>, group: &str, address: &str) {
    board.send_if_modified(|board| {
        if !matches!(board, Board::Up(_)) {
            tracing::info!(target: "service", "{group}: units by D-Bus ({address})");
        }
        let now = Board::Up(known);
        let changed = *board != now;
        if changed {
            *board = now;
        }
        changed
    });
}

async fn connect(address: &str) -> Result<Connection, String> {
    let made = async { Builder::address(address)?.max_queued(QUEUE).build().await };
    match timeout(CALL, made).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {CALL:?}")),
    }
}

/// Whether a bus answers there; why not otherwise. For `twinbeat check`.
pub async fn answers(address: &str) -> Result<(), String> {
    connect(address).await.map(drop)
}

/// The first pause before another connection is tried for.
const SHORTEST: Duration = Duration::from_millis(250);
/// The longest one; a connection that lasted so long was a good one.
const LONGEST: Duration = Duration::from_secs(5);
/// So many messages may wait for the loop.
const QUEUE: usize = 256;
