//! One client's TCP connection to the VIP that stays open and asks for the page again and again: does it outlive a restart?

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::lab::Lab;

/// Between two questions on the connection.
pub const PERIOD: Duration = Duration::from_millis(25);
/// An answer that takes longer than this is the end of the connection: no client would wait so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Kept {
    /// How many answers came.
    pub answers: u64,
    /// The longest time between a question and its answer.
    pub slowest: Duration,
    /// How it broke, if it did.
    pub broken: Option<String>,
}

/// The open connection; dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    kept: Arc<Mutex<Kept>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Connection {
    /// Connects from the client behind the gateway, and begins to ask.
    pub fn open(lab: &Lab, vip: IpAddr, page: u16) -> Result<Connection> {
        let stream = lab.client.run(|| {
            let stream = TcpStream::connect_timeout(&SocketAddr::new(vip, page), PATIENCE).context("connect to the VIP")?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        })?;
        let (kept, stop) = (Arc::new(Mutex::new(Kept::default())), Arc::new(AtomicBool::new(false)));
        let (mine, over) = (Arc::clone(&kept), Arc::clone(&stop));
        let thread = thread::Builder::new().name("connection".into()).spawn(move || ask(stream, &mine, &over))?;
        Ok(Connection { kept, stop, thread: Some(thread) })
    }

    /// What became of it up to now.
    pub fn kept(&self) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(mut stream: TcpStream, kept: &Mutex<Kept>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\n\r\n").and_then(|()| answer(&mut stream));
        let took = asked.elapsed();
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(()) => {
                kept.answers += 1;
                kept.slowest = kept.slowest.max(took);
            }
            Err(error) => {
                kept.broken = Some(format!("after {} answers: {error}", kept.answers));
                return;
            }
        }
        drop(kept);
        thread::sleep(PERIOD.saturating_sub(took));
    }
}

/// Reads one answer with a `Content-Length` (RFC 9112, 6.2) and nothing behind it.
fn answer(stream: &mut impl Read) -> std::io::Result<()> {
    let mut text = Vec::new();
    let mut part = [0_u8; 1024];
    loop {
        if let Some(end) = text.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
            if head.split_whitespace().nth(1) != Some("200") {
                return Err(std::io::Error::other(format!("not a page: {}", head.lines().next().unwrap_or_default())));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            let length = length.ok_or_else(|| std::io::Error::other("no Content-Length"))?;
            if text.len() >= end + 4 + length {
                return Ok(());
            }
        }
        match stream.read(&mut part)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => text.extend_from_slice(&part[..count]),
        }
        if text.len() > 64 * 1024 {
            return Err(std::io::Error::other("too long an answer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_a_torn_one_is_an_error() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nmaster1\n";
        assert!(answer(&mut &whole[..]).is_ok());
        assert!(answer(&mut &whole[..whole.len() - 1]).is_err());
        assert!(answer(&mut &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..]).is_err());
        assert!(answer(&mut &b"HTTP/1.1 200 OK\r\n\r\nmaster1\n"[..]).is_err());
    }
}
