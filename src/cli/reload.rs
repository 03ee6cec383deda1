//! `twinbeat reload`: take up the changed file without a move and without a gap.

use std::time::{Duration, Instant};

use clap::Args;

use super::{Daemon, std_time};
use twinbeat_config::duration;
use twinbeat_control::client::{Unreachable, ask_blocking};
use twinbeat_control::protocol::{PATIENCE, Reload, Request, Response};
use twinbeat_core::time::Span;
use twinbeat_core::view::View;
use twinbeat_core::words::GroupRole;
use twinbeat_say::say;

/// Take up the changed configuration (and key) without moving an address and without a gap
///
/// Says what differs. What cannot be taken up in place is refused, with the way that can; nothing is changed then.
///
/// Exit codes: 0 taken up, or nothing differs, or (--plan) it would be; 3 not in place: a move or a restart is needed; 1 the file cannot be used,
/// or the daemon cannot be reached
#[derive(Args, Clone, Debug)]
pub struct ReloadArgs {
    /// Only say what differs and whether it can be taken up in place
    #[arg(long)]
    pub plan: bool,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
    /// How long to wait for the daemon's next life
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub timeout: Span,
}

/// It cannot be taken up in place.
const NOT_IN_PLACE: u8 = 3;

/// Runs it; the exit code.
pub fn run(args: &ReloadArgs) -> u8 {
    let (dir, until) = (&args.daemon.run_dir, Instant::now() + std_time(args.timeout));
    let said = match ask_blocking(dir, &Request::Reload { plan: args.plan }, std_time(args.timeout)) {
        Ok(Response::Reload(said)) => said,
        Ok(Response::Refused(why)) => {
            eprintln!("refused: {why}");
            return 1;
        }
        Ok(_) => {
            eprintln!("the daemon answered something else than was asked");
            return 1;
        }
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    show(&said);
    if !said.hindrances.is_empty() {
        return NOT_IN_PLACE;
    }
    if !said.begun {
        return 0;
    }
    // The next life answers at the same socket.
    let begun = Instant::now();
    loop {
        match ask_blocking(dir, &Request::Status {}, PATIENCE) {
            Ok(Response::View(view)) if view.incarnation > said.incarnation => return came_back(&said, &view, begun.elapsed()),
            Ok(Response::View(_)) | Err(Unreachable::NoDaemon { .. } | Unreachable::Lost(_)) if Instant::now() < until => {
                std::thread::sleep(LOOK);
            }
            Ok(_) => {
                eprintln!("the daemon did not come back within {}: its log says why", args.timeout);
                return 1;
            }
            Err(error) => {
                eprintln!("the daemon did not come back: {error}");
                return 1;
            }
        }
    }
}

fn show(said: &Reload) {
    for line in &said.differences {
        say!("{line}");
    }
    for note in &said.notes {
        say!("note: {note}");
    }
    for hindrance in &said.hindrances {
        say!("not in place: {hindrance}");
    }
    match (said.differences.is_empty(), said.hindrances.is_empty(), said.begun) {
        (true, ..) => say!("nothing differs from what the daemon has read"),
        (_, false, _) => say!("nothing was changed: the daemon goes on with what it has read before"),
        (_, true, false) => say!("`twinbeat reload` takes this up in place: nothing moves"),
        (_, true, true) => {}
    }
}

/// The next life is there: does it serve what the last one did?
fn came_back(said: &Reload, view: &View, took: Duration) -> u8 {
    let lost: Vec<&str> = said.held.iter().map(String::as_str).filter(|name| !serves(view, name)).collect();
    if lost.is_empty() {
        say!("taken up after {} ms", took.as_millis());
        return 0;
    }
    eprintln!("taken up, but {} is not served by this node any more: `twinbeat status`", lost.join(", "));
    1
}

/// A group that went with the file is not missed.
fn serves(view: &View, name: &str) -> bool {
    view.groups.iter().find(|group| group.name == name).is_none_or(|group| group.role != GroupRole::Standby)
}

/// Between two looks for the next life.
const LOOK: Duration = Duration::from_millis(20);
