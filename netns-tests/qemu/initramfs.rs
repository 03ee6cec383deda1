//! A machine's disk: an archive that the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// What `ldd` lists for a program.
pub fn libraries(program: &Path) -> Result<Vec<String>> {
    let done = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&done.stdout);
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// An archive in cpio's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
pub struct Cpio {
    data: Vec<u8>,
    made: BTreeSet<String>,
}

impl Cpio {
    pub fn directory(&mut self, name: &str) {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        self.bytes(name, &[], 0o040_755);
    }

    /// With its permissions; the directories above are made.
    pub fn file(&mut self, name: &str, from: &Path) -> Result<()> {
        let data = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        let mode = fs::metadata(from)?.permissions().mode() & 0o777;
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        self.bytes(name, &data, 0o100_000 | mode);
        Ok(())
    }

    /// A program under this name, without its symbols, and its libraries where it looks for them.
    pub fn program(&mut self, name: &str, from: &Path, scratch: &Path) -> Result<()> {
        let stripped = scratch.join("stripped");
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(from).status();
        self.file(name, if strip.is_ok_and(|done| done.success()) { &stripped } else { from })?;
        for library in libraries(from)? {
            self.file(library.strip_prefix('/').unwrap_or(&library), Path::new(&library))?;
        }
        Ok(())
    }

    /// All files below a directory, under the same names below `to`.
    pub fn tree(&mut self, to: &str, from: &Path) -> Result<()> {
        for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
            let path = entry?.path();
            let name = format!("{to}/{}", path.file_name().and_then(|n| n.to_str()).context("a file's name")?);
            if path.is_dir() { self.tree(&name, &path)? } else { self.file(&name, &path)? }
        }
        Ok(())
    }

    pub fn bytes(&mut self, name: &str, data: &[u8], mode: u32) {
        if !self.made.insert(name.to_owned()) {
            return;
        }
        let number = self.made.len();
        let (size, long) = (data.len(), name.len() + 1);
        let header = [number, mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, long, 0].map(|field| format!("{field:08x}")).concat();
        self.data.extend(b"070701");
        self.data.extend(header.as_bytes());
        self.data.extend(name.as_bytes());
        self.data.push(0);
        self.pad();
        self.data.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.data.resize(self.data.len().next_multiple_of(4), 0);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes("TRAILER!!!", &[], 0);
        self.data
    }
}
