//! What an earlier life left under other names: in its record, and in the kernel.

use std::net::IpAddr;

use twinbeat_config::Config;
use twinbeat_core::io::Record;
use twinbeat_host::gate;

/// The record with the names that this life's file knows: a group that the last one did not know stands there without its name.
pub(super) fn record_here(config: &Config, record: &Record) -> Record {
    let mut record = record.clone();
    let names = config.names();
    for (name, _) in record.peer_file.iter_mut().flat_map(|file| &mut file.groups) {
        *name = names.known(name);
    }
    record
}

/// A table of another name goes on closing its addresses, whatever this one opens: a renamed cluster or node left it.
pub(super) fn remove_old_tables(own: &str, vips: &[Vec<IpAddr>]) {
    let all = match gate::foreign(own, &vips.concat()) {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!("tables of other names cannot be looked for: {error}");
            return;
        }
    };
    for old in all {
        let vips = old.vips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match gate::remove(&old) {
            Ok(()) => {
                tracing::warn!("the table {} of an earlier name of this cluster or node guarded {vips}: removed", old.table)
            }
            Err(error) => {
                tracing::error!("the table {} of an earlier name closes {vips} and cannot be removed: {error}", old.table)
            }
        }
    }
}
