//! `twinbeat status --watch` on a terminal: a screen that stays, with the lanes of the last minutes.
//!
//! One thread asks the daemon's socket once a second and waits for signals, one reads the flight recorder once, and this one draws and takes keys.
//! The terminal is given back however it ends: by a key, a signal, a panic or a terminal that is gone.

mod cells;
mod draw;
mod look;
mod news;
mod state;

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};

use twinbeat_control::client::{ask, ask_blocking};
use twinbeat_control::protocol::{PATIENCE, Request, Response};
use twinbeat_control::shown::Health;
use twinbeat_core::view::View;
use twinbeat_journal::past::{Past, look as look_back};
use twinbeat_say::Stamp;

use look::Look;
use state::State;

/// What the threads have to say.
enum Message {
    /// The daemon's answer, or why there is none.
    Answer(Result<Box<View>, String>),
    /// What was before.
    Before(Result<Past, String>),
    /// A signal asks to end.
    Leave,
}

/// Shows the screen until somebody leaves; the exit code of the newest answer. None: no screen can be made here.
pub fn run(run_dir: &Path) -> Option<u8> {
    if std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return None;
    }
    let mut screen = Screen::enter()?;
    let (tell, told) = channel();
    let (dir, answers) = (run_dir.to_owned(), tell.clone());
    std::thread::Builder::new().name("asks".into()).spawn(move || asks(&dir, &answers)).ok()?;
    Some(shown(&mut screen.0, run_dir, &tell, &told))
}

/// Draws, takes keys and messages.
fn shown(terminal: &mut DefaultTerminal, run_dir: &Path, tell: &Sender<Message>, told: &Receiver<Message>) -> u8 {
    let look = Look::of_environment();
    let mut state = State::new(now());
    let mut still: Option<State> = None;
    let (mut code, mut asked, mut drawn) = (1, false, None);
    loop {
        state.now = now();
        // Whatever happened, and the clock once a second.
        if drawn != Some(state.now / 1000) {
            let shown = still.as_ref().unwrap_or(&state);
            if terminal.draw(|frame| draw::draw(shown, look, frame.area(), frame.buffer_mut())).is_err() {
                return code;
            }
            drawn = Some(state.now / 1000);
        }
        let key = key(TICK);
        if !matches!(key, Ok(None)) {
            drawn = None;
        }
        match key {
            Ok(None | Some(Key::Other)) => {}
            Ok(Some(Key::Leave)) | Err(_) => return code,
            Ok(Some(Key::Zoom(more))) => {
                state.widen(more);
                if let Some(still) = &mut still {
                    still.zoom = state.zoom;
                }
            }
            Ok(Some(Key::Freeze)) => {
                still = match still {
                    Some(_) => None,
                    None => Some(state.still()),
                }
            }
        }
        loop {
            let message = told.try_recv();
            if message.is_ok() {
                drawn = None;
            }
            match message {
                Ok(Message::Answer(Ok(view))) => {
                    code = Health::of(&view).code();
                    state.saw(now(), *view);
                    if !asked {
                        asked = true;
                        remember(run_dir.to_owned(), tell.clone());
                    }
                }
                Ok(Message::Answer(Err(why))) => {
                    code = 1;
                    state.missed(now(), why);
                }
                Ok(Message::Before(past)) => state.remember(past),
                Ok(Message::Leave) | Err(TryRecvError::Disconnected) => return code,
                Err(TryRecvError::Empty) => break,
            }
        }
    }
}

/// What keys ask for.
enum Key {
    Leave,
    Zoom(bool),
    Freeze,
    /// Nothing; the screen may have another size.
    Other,
}

/// Waits for a key or another size of the terminal, at most so long.
fn key(patience: Duration) -> io::Result<Option<Key>> {
    if !event::poll(patience)? {
        return Ok(None);
    }
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event::read()? else { return Ok(Some(Key::Other)) };
    if kind == KeyEventKind::Release {
        return Ok(Some(Key::Other));
    }
    let control = modifiers.contains(KeyModifiers::CONTROL);
    Ok(Some(match code {
        KeyCode::Char('c' | 'd') if control => Key::Leave,
        _ if control => Key::Other,
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Key::Leave,
        KeyCode::Char('+' | '=') | KeyCode::Right | KeyCode::Up => Key::Zoom(true),
        KeyCode::Char('-' | '_') | KeyCode::Left | KeyCode::Down => Key::Zoom(false),
        KeyCode::Char('p' | 'P' | ' ') => Key::Freeze,
        _ => Key::Other,
    }))
}

/// Asks once a second, until nobody listens; ends the screen on a signal.
fn asks(run_dir: &Path, tell: &Sender<Message>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(tell.send(Message::Answer(Err(error.to_string())))),
    };
    runtime.block_on(async {
        let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        for kind in signals {
            let Ok(mut coming) = signal(kind) else { continue };
            let tell = tell.clone();
            tokio::spawn(async move {
                coming.recv().await;
                leave(&tell).await;
            });
        }
        loop {
            let begun = Instant::now();
            if terminal_is_gone() {
                leave(tell).await;
            }
            let answer = match ask(run_dir, &Request::Status {}, ANSWER).await {
                Ok(Response::View(view)) => Ok(view),
                Ok(Response::Refused(why)) => Err(why),
                Ok(_) => Err("the daemon answered something else than was asked".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            if tell.send(Message::Answer(answer)).is_err() {
                return;
            }
            tokio::time::sleep(EVERY.saturating_sub(begun.elapsed()).max(EVERY / 2)).await;
        }
    });
}

/// Ends the screen. Who waits for keys of a terminal that is gone may wait busily and for ever (an end of file is no key): it is not waited for long.
async fn leave(tell: &Sender<Message>) {
    let _ = tell.send(Message::Leave);
    tokio::time::sleep(LEAVES).await;
    let _ = ratatui::try_restore();
    std::process::exit(1);
}

/// Its window was closed, or the connection broke.
fn terminal_is_gone() -> bool {
    let stdin = std::io::stdin();
    let mut terminal = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    poll(&mut terminal, PollTimeout::ZERO).is_ok() && terminal[0].revents().is_some_and(|events| events.intersects(gone))
}

/// Reads the flight recorder, on a thread of its own.
fn remember(run_dir: PathBuf, tell: Sender<Message>) {
    let read = move || {
        let past = match ask_blocking(&run_dir, &Request::Why { last: 1 }, PATIENCE) {
            Ok(Response::Journal(dir)) => {
                std::thread::sleep(super::why::WRITTEN);
                Ok(look_back(&dir, now(), HOUR, PATIENCE))
            }
            Ok(Response::Refused(why)) => Err(why),
            Ok(_) => Err("the daemon answered something else than was asked".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let _ = tell.send(Message::Before(past));
    };
    // Without a thread it is not told; the lanes begin now.
    let _ = std::thread::Builder::new().name("remembers".into()).spawn(read);
}

/// The terminal while it is ours.
struct Screen(DefaultTerminal);

impl Screen {
    fn enter() -> Option<Screen> {
        match ratatui::try_init() {
            Ok(terminal) => Some(Screen(terminal)),
            Err(_) => {
                let _ = ratatui::try_restore();
                None
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        // What cannot be given back is gone.
        let _ = ratatui::try_restore();
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    Stamp::now().nanos() / 1_000_000
}

/// Between two looks at keys and messages.
const TICK: Duration = Duration::from_millis(200);
/// How long the screen has to end by itself.
const LEAVES: Duration = Duration::from_secs(1);
/// Between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// How long the daemon has for an answer.
const ANSWER: Duration = Duration::from_millis(2500);
/// What the flight recorder is asked for.
const HOUR: Duration = Duration::from_secs(3600);
