//! Who has a port, as /proc tells it (proc(5), net/tcp and net/udp): the socket by its inode, then the process that has it open.

use std::fmt;
use std::path::Path;

/// TCP that listens, or UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// A process.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Holder {
    /// Its short name; empty when nobody could be found.
    pub(super) name: String,
    pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => f.write_str("a process that this user may not see"),
            pid => write!(f, "{} (process {pid})", self.name),
        }
    }
}

/// The processes with a socket on that port, in this network namespace.
pub(super) fn holders(protocol: Protocol, port: u16) -> Vec<Holder> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let read = |table: &str| std::fs::read_to_string(table).unwrap_or_default();
    let inodes: Vec<u64> = tables.iter().flat_map(|table| inodes(&read(table), protocol, port)).collect();
    if inodes.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Holder> = numbers("/proc").filter_map(|pid| holds(pid, &inodes)).collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        found.push(Holder { name: String::new(), pid: 0 });
    }
    found
}

/// The inodes of the sockets on that port in one table.
fn inodes(table: &str, protocol: Protocol, port: u16) -> Vec<u64> {
    let one = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let listens = protocol == Protocol::Udp || *fields.get(3)? == "0A";
        (listens && u16::from_str_radix(local, 16).ok()? == port).then(|| fields.get(9)?.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(one).collect()
}

fn holds(pid: u32, inodes: &[u64]) -> Option<Holder> {
    let open = |fd: u32| {
        let link = std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    };
    numbers(format!("/proc/{pid}/fd")).filter_map(open).any(|inode| inodes.contains(&inode)).then(|| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        Holder { name, pid }
    })
}

/// The entries of a directory that are numbers.
fn numbers(dir: impl AsRef<Path>) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_port_names_its_process_and_only_what_listens_counts() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("[::1]:0").unwrap();
        for (protocol, port) in [(Protocol::Tcp, tcp.local_addr().unwrap()), (Protocol::Udp, udp.local_addr().unwrap())] {
            let found = holders(protocol, port.port());
            assert!(found.iter().any(|holder| holder.pid == std::process::id()), "{found:?}");
        }
        let line =
            "  sl  local\n   0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n";
        assert!(inodes(line, Protocol::Tcp, 8080).is_empty());
        assert_eq!(inodes(&line.replace(" 01 ", " 0A "), Protocol::Tcp, 8080), [4711]);
        assert!(inodes("garbage\n:\n1 2 3", Protocol::Tcp, 1).is_empty());
    }
}
