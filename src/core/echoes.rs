//! Echoes that no group sends for itself: from the node's own address, trials of the fast rate, negative controls.

use super::bite::{self, Clause};
use super::event::{Kind, Level};
use super::group::Group;
use super::id::WitnessId;
use super::io::{EchoKind, Output};
use super::node::Node;
use super::pace::Before;
use super::time::{Mono, Span};
use super::witness::Target;
use crate::prelude::*;

/// Negative controls, while all is well (SAFETY R2).
const CONTROL_EVERY: Span = Span::secs(10);
/// The same until enough of them have stayed away: a witness is counted on from the first moment, so it is tested at once.
const CONTROL_SOON: Span = Span::secs(1);

impl Node {
    pub(super) fn own_echoes(&mut self, now: Mono) {
        // Before it is asked whether anything is in doubt: a trial that is over excuses no loss.
        self.review_trials(now);
        let cx = &mut self.cx;
        let (echo_period, interval) = (cx.settings.timing.echo_period(), cx.settings.witness.interval);
        let fast = cx.fast || (cx.witness.doubt() && !cx.witness.targets.iter().any(|t| t.pace.tries()));
        if cx.witness.carrier {
            if fast {
                cx.witness.next = cx.witness.next.min(now + echo_period);
            }
            if fast && cx.echoed && now >= cx.witness.next && !cx.witness.put_off {
                // Not at the same instant as an echo from the VIP: of two that come together a witness with a limit answers the
                // first, and the other kind looks lost for good. Put off once, not for ever: a late machine does all at one time.
                cx.witness.next = now + echo_period / 2;
                cx.witness.put_off = true;
            }
            if now >= cx.witness.next || (!fast && cx.goes_along(cx.witness.next, now)) {
                let pressed = cx.pressed;
                let before = |t: &Target| Before {
                    overdue: pressed || t.own.before(now, echo_period).overdue,
                    ..t.own.before(now, echo_period)
                };
                let before: Vec<Before> = cx.witness.targets.iter().map(before).collect();
                let (number, asked) = cx.echo_all(EchoKind::Own, |target| before.get(target).copied().unwrap_or_default(), now);
                for target in asked {
                    cx.witness.targets.iter_mut().skip(target).take(1).for_each(|t| t.own.send(now, number));
                }
                cx.witness.next = now + if fast { cx.dithered(EchoKind::Own, now, echo_period) } else { interval };
                cx.witness.put_off = false;
            }
        }
        self.trials(fast, now);
    }

    /// Now and then, while all is well, each witness is tried at the fast rate: what is over is judged, and what is due begins.
    fn review_trials(&mut self, now: Mono) {
        let cx = &mut self.cx;
        let (delivery, period) = (cx.settings.timing.delivery, cx.settings.timing.echo_period());
        cx.apart |= !cx.peer.fresh(now, cx.settings.timing.warn);
        let calm = cx.is_calm();
        for target in 0..cx.witness.targets.len() {
            let Some(t) = cx.witness.targets.get_mut(target) else { continue };
            if !cx.settings.witness.is_register(target) {
                continue;
            }
            let news = t.pace.judge(&t.own, now, delivery, &cx.settings.witness);
            match calm && t.reachable {
                true => t.pace.begin(&t.own, u64::from(cx.settings.me.0), now, &cx.settings.witness),
                false => t.pace.abandon(now),
            }
            if news {
                let (slow, interval, which) = (t.pace.slow_only(), cx.settings.witness.interval, target.saturating_add(1));
                let text = if slow {
                    format!("witness {which} answers echoes {interval} apart and not those {period} apart: it is asked slowly")
                } else {
                    format!("witness {which} bears the fast echo rate again")
                };
                cx.note(if slow { Level::Warn } else { Level::Info }, None, Kind::Witness, text);
            }
        }
    }

    /// What goes out for them, and whether the witnesses are asked slowly while the nodes are apart.
    fn trials(&mut self, fast: bool, now: Mono) {
        let cx = &mut self.cx;
        let (period, apart) = (cx.settings.timing.echo_period(), cx.apart);
        for target in 0..cx.witness.targets.len() {
            let Some(t) = cx.witness.targets.get_mut(target) else { continue };
            if !cx.settings.witness.is_register(target) {
                continue;
            }
            if t.pace.ease(&t.own, fast, apart) {
                let which = target.saturating_add(1);
                let text = format!(
                    "witness {which} answers few of the echoes {period} apart at which both nodes ask: it is asked slowly"
                );
                cx.note(Level::Warn, None, Kind::Witness, text);
            }
            let Some(t) = cx.witness.targets.get_mut(target) else { continue };
            if t.pace.due(now) {
                let number = cx.number();
                cx.out.push_back(Output::Echo { witness: WitnessId(target as u8), kind: EchoKind::Own, number });
                cx.witness.targets.iter_mut().skip(target).take(1).for_each(|t| t.pace.sent(now, number, period));
            }
        }
    }

    /// Negative controls: a standby's VIP-sourced echo, unwritten, must not come back (SAFETY R2 †). One group's is enough: it
    /// is the witness that is tested. Not before the owner has been heard for a moment, so that its announcements are there.
    pub(super) fn controls(&mut self, now: Mono) {
        let cx = &self.cx;
        // What this node wrote is still in the table until the owner has announced again, and says so: before that a control comes
        // back from any witness.
        let announced = |g: &Group, ack: u64| ack >= g.data.table.challenged || bite::off(Clause::ControlAfterWrite);
        // By files that differ here the owner lives by another address or witness: this node's own old entry may stand for ever.
        let served = |g: &&Group| {
            g.quiet_standby()
                && cx.peer.group(&g.data.name).is_some_and(|b| b.gate_open && announced(g, b.challenge_ack))
                && cx.claim_forbidden(&g.data.name).is_none()
        };
        let good = cx.in_touch(now) && cx.witness.reachable && !bite::off(Clause::NoNegativeControl);
        // Nor before the owner's return path has come: where the network keeps its frames from the gateway the entry is still this node's.
        let arrived = |g: &Group| cx.peer.group(&g.data.name).is_none_or(|b| !b.unproven || bite::off(Clause::MoveUnproven));
        let asked = self.groups.iter().find(served).filter(|_| good).map(|g| (g.data.id, arrived(g)));
        let Some((group, arrived)) = asked else {
            self.controls_since = None;
            self.cx.witness.controls_end();
            return;
        };
        self.controls_since.get_or_insert(now);
        if !arrived || self.controls_at().is_none_or(|at| now < at) {
            return;
        }
        let (number, _) = self.cx.echo_all(EchoKind::Control(group), |_| Before::default(), now);
        for target in self.cx.witness.control_sent(now, number, &self.cx.settings.witness) {
            self.cx.counts_again(target);
        }
        self.next_control =
            now + if self.cx.witness.controlled(&self.cx.settings.witness) { CONTROL_EVERY } else { CONTROL_SOON };
    }

    /// When the next one is due; none while there is nobody to ask about.
    pub(super) fn controls_at(&self) -> Option<Mono> {
        Some(self.next_control.max(self.controls_since? + CONTROL_SOON))
    }
}
