//! heartbeat's ha.cf, haresources and authkeys, of one node or of both.

mod authkeys;
mod ha_cf;
mod haresources;
mod links;
mod pair;
mod read;

use self::read::Read;
use crate::text::{Place, Source, Wrong};
use crate::{Import, Options, verify};

/// The files of one node.
#[derive(Clone, Debug)]
pub struct Dir {
    /// Its path as the caller gave it.
    pub name: String,
    /// Must be there.
    pub ha_cf: Option<Source>,
    /// What moves.
    pub haresources: Option<Source>,
    /// Only looked at; no secret of it is shown or kept.
    pub authkeys: Option<Source>,
}

/// Makes twinbeat.toml of the files of one node or of both.
///
/// # Errors
/// Everything in the files that cannot be read, with its line; nothing is written then.
pub fn import(dirs: &[Dir], options: &Options) -> Result<Import, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut read = Vec::new();
    for dir in dirs.iter().take(2) {
        let Some(source) = &dir.ha_cf else {
            wrong.push(Wrong::new(Place::file(&dir.name), "no ha.cf there: not a directory of heartbeat's"));
            continue;
        };
        let cf = ha_cf::parse(source, &mut wrong);
        let lines = dir.haresources.as_ref().map(|source| haresources::parse(source, &mut wrong)).unwrap_or_default();
        read.push(Read {
            name: dir.name.clone(),
            file: source.name.clone(),
            cf,
            lines,
            resources: dir.haresources.as_ref().map(|source| source.name.clone()),
            auth: dir.authkeys.as_ref().and_then(|source| authkeys::parse(source, &mut wrong)),
        });
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let draft = pair::draft(&read, options, &mut wrong);
    match draft {
        Some(draft) if wrong.is_empty() => Ok(verify::finish(draft)),
        _ => Err(wrong),
    }
}
