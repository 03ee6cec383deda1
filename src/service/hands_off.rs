//! A pause by command (SAFETY R15): what falls is left as it is, told once, and looked at again when the pause ends.
//!
//! People work on the service meanwhile: they may stop it, start it, change its files. Its checks go on, so that `status` shows what they say.

use super::State;
use super::manager::{Gone, Manager};
use twinbeat_core::io::ServiceReport;

impl Manager {
    /// A pause begins, or ends: then each service that fell in it runs again by now, and is watched, or is dealt with as one that falls now.
    pub(super) async fn set_hands_off(&mut self, on: bool) -> Result<(), Gone> {
        self.hands_off = on;
        if on {
            return Ok(());
        }
        for index in 0..self.units.len() {
            let Some(how) = self.watched[index].left_alone.take() else { continue };
            if self.runs(index).await {
                // What its checks say is news again: a service that is still not well falls as ever.
                self.watch(index, true);
            } else {
                self.again(index, format!("does not run since the pause: {how}"), how).await?;
            }
        }
        Ok(())
    }

    /// A service fell in the pause.
    pub(super) fn leave_alone(&mut self, index: usize, what: String, how: String) -> Result<(), Gone> {
        let service = self.units[index].name.clone();
        let watch = &mut self.watched[index];
        // One that died is not looked at for its end again; its checks go on for those who work on it.
        watch.on = false;
        watch.monitor.begin(&self.env);
        let known = watch.left_alone.replace(how.clone()).is_some();
        if !known {
            tracing::warn!(target: "service", "{}/{service} {what}; left alone in the pause", self.env.group);
            self.report(ServiceReport::LeftAlone { service, reason: how });
        }
        Ok(())
    }

    /// What an earlier life started is watched; nothing is started.
    pub(super) async fn adopt(&mut self) -> Result<(), Gone> {
        for index in 0..self.units.len() {
            if self.runs(index).await {
                self.watch(index, true);
            } else {
                self.leave_alone(index, "does not run".into(), "does not run".into())?;
            }
        }
        Ok(())
    }

    async fn runs(&mut self, index: usize) -> bool {
        self.units[index].state(&self.env).await == State::Running
    }
}
