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

/// SIGTERM and SIGINT. Install it first, so that a signal never ends a daemon that is at work.
#[derive(Debug)]
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Installs the handlers.
    ///
    /// # Errors
    /// [`SignalError`].
    pub fn install() -> Result<Self, SignalError> {
        Ok(Self {
            terminate: install("SIGTERM", SignalKind::terminate())?,
            interrupt: install("SIGINT", SignalKind::interrupt())?,
        })
    }

    /// Waits for either of them.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP.
#[derive(Debug)]
pub struct Reload(Signal);

impl Reload {
    /// Installs the handler.
    ///
    /// # Errors
    /// [`SignalError`].
    pub fn install() -> Result<Self, SignalError> {
        install("SIGHUP", SignalKind::hangup()).map(Self)
    }

    /// Waits for it.
    pub async fn requested(&mut self) {
        self.0.recv().await;
    }
}

fn install(name: &'static str, kind: SignalKind) -> Result<Signal, SignalError> {
    signal(kind).map_err(|source| SignalError { name, source })
}
