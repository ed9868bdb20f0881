//! Signals of Unix that stop a daemon or reload its configuration.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signal handlers can't be installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot install a handler for {name}: {source}")]
pub struct SignalError {
    name: &'static str,
    source: io::Error,
}

/// SIGTERM and SIGINT. Install it first, so that a signal never ends a daemon that is at work. SIGHUP does not end it
/// either, as when the terminal is closed that it was started from.
#[derive(Debug)]
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if SIGHUP reloads.
    hangup: Option<Signal>,
}

impl Shutdown {
    /// Installs the handlers of a daemon without a configuration to reload.
    ///
    /// # Errors
    /// [`SignalError`].
    pub fn install() -> Result<Self, SignalError> {
        let (shutdown, Reload(hangup)) = Self::with_reload()?;
        Ok(Self { hangup: Some(hangup), ..shutdown })
    }

    /// Installs the handlers of a daemon that reloads its configuration.
    ///
    /// # Errors
    /// [`SignalError`].
    pub fn with_reload() -> Result<(Self, Reload), SignalError> {
        let shutdown = Self {
            terminate: install("SIGTERM", SignalKind::terminate())?,
            interrupt: install("SIGINT", SignalKind::interrupt())?,
            hangup: None,
        };
        Ok((shutdown, Reload(install("SIGHUP", SignalKind::hangup())?)))
    }

    /// Waits for either of them.
    pub async fn requested(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                () = heard(&mut self.hangup) => {
                    tracing::info!("SIGHUP is ignored: there is no configuration to reload; restart to change flags");
                }
            }
        }
    }
}

/// Waits for the signal, for ever if there is none.
async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// SIGHUP.
#[derive(Debug)]
pub struct Reload(Signal);

impl Reload {
    /// Waits for it.
    pub async fn requested(&mut self) {
        self.0.recv().await;
    }
}

fn install(name: &'static str, kind: SignalKind) -> Result<Signal, SignalError> {
    signal(kind).map_err(|source| SignalError { name, source })
}
