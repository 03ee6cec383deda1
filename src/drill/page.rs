//! A page server for machines without nginx: one page, the node's name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result};

/// Serves `name` at every path of `listen`, one connection after the other, until it is killed.
pub fn serve(name: &str, listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    serve_on(&listener, name)
}

fn serve_on(listener: &TcpListener, name: &str) -> Result<()> {
    let page = format!("{name}\n");
    let head =
        format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        // Whatever is asked, there is one page. The question is read to its end: closing before that resets the connection.
        if asked(&mut stream) {
            let _ = stream.write_all(format!("{head}{page}").as_bytes());
        }
    }
    Ok(())
}

/// Whether a whole request came, of at most 4 KiB.
fn asked(stream: &mut impl Read) -> bool {
    let mut request: Vec<u8> = Vec::new();
    let mut part = [0_u8; 512];
    while request.len() < 4096 && !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut part) {
            Ok(length) if length > 0 => request.extend(part.iter().take(length)),
            _ => return false,
        }
    }
    true
}

const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_node() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve_on(&listener, "master1"));
        let page = crate::drill::probe::fetch(address, Duration::from_secs(2));
        assert_eq!(page.as_deref(), Some("master1\n"));
    }
}
