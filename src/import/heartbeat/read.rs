//! The files of one node, read.

use super::{authkeys, ha_cf, haresources};

/// One directory of files, read.
pub(crate) struct Read {
    pub name: String,
    pub file: String,
    pub cf: ha_cf::HaCf,
    pub lines: Vec<haresources::Line>,
    pub resources: Option<String>,
    pub auth: Option<authkeys::Auth>,
}
