//! keepalived.conf, of one node or of both.
//!
//! `lines` makes statements of a text (conditions, definitions, includes), `tree` makes blocks of them, `conf` takes what is VRRP's out of the
//! blocks, `routes` reads what moves beside addresses, `pair` puts the two nodes together. What is not VRRP's (virtual servers, checkers) stays keepalived's.

mod address;
mod conf;
mod left_out;
mod lines;
mod pair;
mod routes;
mod tree;
mod watched;

pub use self::lines::Open;
use crate::text::{Source, Wrong};
use crate::{Import, Options, verify};

/// Makes twinbeat.toml of the files of one node or of both. `ids` are the configuration ids (keepalived's -i) of the nodes, for files with `@id`
/// lines; one file with two ids is the file of both nodes.
///
/// # Errors
/// Everything in the files that cannot be read, with its line; nothing is written then.
pub fn import(files: &[Source], ids: &[String], open: &mut Open<'_>, options: &Options) -> Result<Import, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let views = files.len().max(ids.len().min(2)).min(2);
    let mut nodes = Vec::new();
    for n in 0..views {
        let Some(file) = files.get(n).or(files.first()) else { continue };
        let statements = lines::read(file, ids.get(n).map(String::as_str), open, &mut wrong);
        let blocks = tree::build(statements, &mut wrong);
        nodes.push(conf::read(file, &blocks, &mut wrong));
    }
    // One file for both nodes says each thing twice.
    wrong.dedup();
    let mut seen: Vec<Wrong> = Vec::new();
    wrong.retain(|one| {
        !seen.contains(one) && seen.len() < 50 && {
            seen.push(one.clone());
            true
        }
    });
    if !wrong.is_empty() {
        return Err(wrong);
    }
    match pair::draft(&nodes, options, &mut wrong) {
        Some(draft) if wrong.is_empty() => Ok(verify::finish(draft)),
        _ => Err(wrong),
    }
}
