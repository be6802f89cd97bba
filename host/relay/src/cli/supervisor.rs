//! What the service manager is told: systemd's notify protocol (`sd_notify(3)`), for units of `Type=notify`.
//!
//! Without `NOTIFY_SOCKET` in the environment all of it does nothing. A message that cannot be sent is no reason not to serve.

use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState::{self, Custom, Ready, Reloading, Status, Stopping, Watchdog};
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

/// What the end may take beyond `shutdownTimeout`: cursors are written, exporters freed.
const END: Duration = Duration::from_secs(5);

/// It serves: units that are ordered after this one may start.
pub(super) fn ready(address: Option<SocketAddr>) {
    let status = address.map_or_else(|| "running".to_owned(), |address| format!("listening on {address}"));
    tell(&[Ready, Status(&status)]);
}

/// It reads its configuration again. systemd wants to know since when, by the machine's clock.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell(&[Reloading, since, Status("reading the configuration")]),
        Err(error) => tracing::debug!(%error, "the machine has no clock for the service manager"),
    }
}

/// It has; with the new one, or with the one before.
pub(super) fn reloaded(address: Option<SocketAddr>, taken: bool) {
    let mut status = address.map_or_else(|| "running".to_owned(), |address| format!("listening on {address}"));
    if !taken {
        status.push_str("; the configuration that is there was refused");
    }
    tell(&[Ready, Status(&status)]);
}

/// It ends, and may take `shutdown_timeout` for it, whatever the unit's `TimeoutStopSec` says.
pub(super) fn stopping(shutdown_timeout: Duration) {
    // The crate's own variant ends at an hour.
    let extend = format!("EXTEND_TIMEOUT_USEC={}", shutdown_timeout.saturating_add(END).as_micros());
    tell(&[Stopping, Status("delivering what waits"), Custom(&extend)]);
}

/// Says from the runtime that answers requests that it lives, twice in the time that the unit allows (`WatchdogSec`): when all its threads
/// hang, nothing is said. The task ends with the runtime.
pub(super) fn watchdog(door: &Handle) {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else { return };
    door.spawn(async move {
        let mut ticks = interval(within / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            tell(&[Watchdog]);
        }
    });
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told (NOTIFY_SOCKET)");
    }
}
