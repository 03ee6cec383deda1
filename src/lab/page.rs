//! A page server for machines without nginx: one page, the node's name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

/// Serves `name` at every path of `listen`, each connection on a thread of its own, until it is killed.
pub fn serve(name: &str, listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    serve_on(&listener, name)
}

fn serve_on(listener: &TcpListener, name: &str) -> Result<()> {
    let page: Arc<str> = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", name.len() + 1).into();
    let (name, open) = (Arc::<str>::from(name), Arc::new(()));
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if Arc::strong_count(&open) > CONNECTIONS {
            continue;
        }
        let (page, name, seat) = (Arc::clone(&page), Arc::clone(&name), Arc::clone(&open));
        let _ = std::thread::Builder::new().name("page".into()).spawn(move || {
            attend(stream, &page, &name);
            drop(seat);
        });
    }
    Ok(())
}

/// Answers what one client asks, one question after the other, until it is silent for too long or wants the connection closed.
fn attend(mut stream: TcpStream, head: &str, name: &str) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.set_write_timeout(Some(PATIENCE));
    // Whatever is asked, there is one page. The question is read to its end: closing before that resets the connection.
    while let Some(request) = asked(&mut stream) {
        let last = !request.contains("http/1.1") || request.contains("connection: close");
        let close = if last { "Connection: close\r\n" } else { "" };
        if stream.write_all(format!("{head}{close}\r\n{name}\n").as_bytes()).is_err() || last {
            return;
        }
    }
}

/// A whole request, of at most 4 KiB, in small letters.
fn asked(stream: &mut impl Read) -> Option<String> {
    let mut request: Vec<u8> = Vec::new();
    let mut part = [0_u8; 512];
    while request.len() < 4096 {
        match stream.read(&mut part) {
            Ok(length) if length > 0 => request.extend(part.iter().take(length)),
            _ => return None,
        }
        if request.windows(4).any(|w| w == b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&request).to_ascii_lowercase());
        }
    }
    None
}

/// A client that is silent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// More clients at a time than a drill has.
const CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_node() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve_on(&listener, "master1"));
        let page = crate::probe::fetch(address, Duration::from_secs(2));
        assert_eq!(page.as_deref(), Some("master1\n"));

        let mut stream = TcpStream::connect(address).unwrap();
        for _ in 0..3 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut part = [0; 512];
            let length = stream.read(&mut part).unwrap();
            assert!(part[..length].ends_with(b"master1\n"), "a connection that is kept open is answered again");
        }
    }
}
