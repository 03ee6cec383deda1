//! Addresses that come and go, by if-watch: a second ear of the watcher of interfaces. A netlink socket whose buffer is full when
//! hundreds of addresses come at once loses events; two do not lose the same ones, and both say that they did.

use std::io;
use std::net::IpAddr;

use futures_util::StreamExt as _;
use if_watch::IfEvent;
use if_watch::tokio::IfWatcher;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Ends the listening when it is dropped.
pub(super) struct Ear(#[expect(dead_code, reason = "its end is what counts")] oneshot::Sender<()>);

/// Calls `heard` on a thread of its own for each address that came (`true`) or went, those that are there already included.
///
/// # Errors
/// When there is no netlink socket or no thread.
pub(super) fn listen(mut heard: impl FnMut(IpAddr, bool) + Send + 'static) -> io::Result<Ear> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut events = {
        let _inside = runtime.enter();
        IfWatcher::new()?
    };
    let (ear, mut dropped) = oneshot::channel::<()>();
    let work = async move {
        loop {
            tokio::select! {
                _ = &mut dropped => return,
                event = events.next() => match event {
                    Some(Ok(IfEvent::Up(net))) => heard(net.addr(), true),
                    Some(Ok(IfEvent::Down(net))) => heard(net.addr(), false),
                    // The watcher's own socket is left, and what it reads now and then.
                    Some(Err(error)) => return tracing::debug!("if-watch ends: {error}"),
                    None => return,
                },
            }
        }
    };
    std::thread::Builder::new().name("addresses".into()).spawn(move || runtime.block_on(work))?;
    Ok(Ear(ear))
}
