//! The thread, and a connection from its first byte to its last: one request each.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};

use twinbeat_config::Listen;

use super::answer::{self, Sources};
use super::ask::{Asker, Question};
use super::history::History;
use super::listen::{Listener, Stream};
use super::seats::{Asked, Seats};

/// The server. Dropped, a Unix socket's file goes; the thread ends with the process.
#[derive(Debug)]
pub struct Web {
    file: Option<PathBuf>,
    /// It listens: the file is its own.
    bound: Arc<AtomicBool>,
}

impl Drop for Web {
    fn drop(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|_| self.bound.load(Ordering::Relaxed)) {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Starts it, on a thread of its own. The command `history` prints the last hour of the flight recorder as JSON. `ask` takes a question to the daemon and returns at once; `told` hears the words of a problem while
/// nobody can connect, and none when it is over: an address that cannot be bound is tried again every second.
///
/// # Errors
/// No thread.
pub fn start(
    at: Listen,
    history: Vec<OsString>,
    ask: impl Fn(Question) + Send + Sync + 'static,
    told: impl Fn(Option<String>) + Send + 'static,
) -> io::Result<Web> {
    let file = match &at {
        Listen::Unix(path) => Some(path.clone()),
        Listen::Tcp(_) => None,
    };
    let sources = Arc::new(Sources { asker: Asker::new(ask), history: History::new(history) });
    let bound = Arc::new(AtomicBool::new(false));
    let binds = Arc::clone(&bound);
    std::thread::Builder::new().name("web".into()).spawn(move || {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(keep_serving(&at, &sources, &binds, told)),
            Err(error) => told(Some(problem(&at, &error))),
        }
    })?;
    Ok(Web { file, bound })
}

fn problem(at: &Listen, error: &io::Error) -> String {
    format!("[metrics] listen = \"{at}\": {error}; nobody can ask for metrics and health there until it is mended")
}

async fn keep_serving(at: &Listen, sources: &Arc<Sources>, bound: &AtomicBool, told: impl Fn(Option<String>)) {
    let mut said = None;
    let listener = loop {
        match Listener::bind(at).await {
            Ok(listener) => break listener,
            Err(error) => {
                let words = problem(at, &error);
                if said.as_ref() != Some(&words) {
                    tracing::warn!(target: "web", "{words}");
                    told(Some(words.clone()));
                    said = Some(words);
                }
                sleep(AGAIN).await;
            }
        }
    };
    bound.store(true, Ordering::Relaxed);
    tracing::info!(target: "web", "metrics and health at {at}");
    if said.is_some() {
        told(None);
    }
    serve(listener, sources).await;
}

/// Takes clients for ever.
pub(super) async fn serve(listener: Listener, sources: &Arc<Sources>) {
    let mut seats = Seats::default();
    loop {
        match listener.accept().await {
            Ok(stream) if seats.room() => {
                let asked = Asked::default();
                seats.take(asked.clone(), tokio::spawn(attend(stream, Arc::clone(sources), asked)));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(target: "web", "accept: {error}");
                sleep(AGAIN).await;
            }
        }
    }
}

/// One client. Whatever it does or does not do, it is over within [`WHOLE`].
async fn attend(stream: Box<dyn Stream>, sources: Arc<Sources>, asked: Asked) {
    let service = service_fn(|request: Request<Incoming>| {
        asked.note();
        let sources = Arc::clone(&sources);
        async move { Ok::<_, Infallible>(answer::to(&request, &sources).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(WHOLE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(target: "web", "a client: {error}"),
        Err(_) => tracing::debug!(target: "web", "a client took longer than {WHOLE:?}"),
    }
}

/// Until an address is tried again, and until clients are taken again after taking one failed.
const AGAIN: Duration = Duration::from_secs(1);
/// In this time a request's head must be there.
const HEAD: Duration = Duration::from_secs(5);
/// In this time all must be over.
const WHOLE: Duration = Duration::from_secs(10);
/// The most lines of a head.
const MOST_HEADERS: usize = 64;
/// The most bytes of a head; hyper takes no less.
const MOST_HEAD: usize = 8192;
