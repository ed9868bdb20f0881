//! Ctrl-C and other signals that stop a command.

use std::{
    io::{self, IsTerminal},
    process::exit,
    sync::atomic::{AtomicU8, Ordering},
};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    failure::{Failure, INTERRUPTED, UNCERTAIN},
    text::print_stderr,
};

/// Ctrl-C ends the process: the state at the start.
const ENDS: u8 = 0;
/// A command handles Ctrl-C.
const HEARD: u8 = 1;
/// Ctrl-C ends the process, which may have sent something.
const ENDS_LATE: u8 = 2;
/// Ctrl-C is ending the process.
const ENDING: u8 = 3;

static DOES: AtomicU8 = AtomicU8::new(ENDS);

/// From here on, Ctrl-C ends the process with its exit code, also while it asks for confirmation, until a command
/// handles it. Call it within the runtime.
pub fn end_until_heard() {
    #[cfg(unix)]
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
    tokio::spawn(async move {
        #[cfg(unix)]
        let interrupted = interrupt.recv().await.is_some();
        #[cfg(not(unix))]
        let interrupted = tokio::signal::ctrl_c().await.is_ok();
        if let Some((code, text)) = ending(&DOES).filter(|_| interrupted) {
            // A question or the terminal's echo of the key is on this line.
            let line_break = if io::stderr().is_terminal() { "\n" } else { "" };
            print_stderr(format!("{line_break}leasehold: {text}"));
            exit(code.into());
        }
    });
}

/// How Ctrl-C ends the process, `None` if a command handles it. Afterwards no command can start to handle it.
fn ending(does: &AtomicU8) -> Option<(u8, String)> {
    let ends = |does| (does != HEARD).then_some(ENDING);
    let did = does.fetch_update(Ordering::SeqCst, Ordering::SeqCst, ends).ok()?;
    Some(match did {
        ENDS_LATE => (UNCERTAIN, "stopped, but signed transactions may have been sent".to_owned()),
        _ => (INTERRUPTED, Failure::Interrupted.to_string()),
    })
}

/// From here on the caller handles Ctrl-C. Fails if Ctrl-C is ending the process already.
pub fn hear() -> io::Result<()> {
    turn(&DOES, HEARD)
}

/// From here on Ctrl-C ends the process with a message that something may have been sent.
pub fn sends() -> io::Result<()> {
    turn(&DOES, ENDS_LATE)
}

fn turn(does: &AtomicU8, to: u8) -> io::Result<()> {
    let turned = |does| (does != ENDING).then_some(to);
    let turned = does.fetch_update(Ordering::SeqCst, Ordering::SeqCst, turned);
    turned.map(|_| ()).map_err(|_| io::ErrorKind::Interrupted.into())
}

/// Handles Ctrl-C, and on Unix SIGTERM and SIGHUP.
pub struct Stop {
    #[cfg(unix)]
    signals: [Signal; 3],
}

impl Stop {
    pub fn listen() -> io::Result<Self> {
        hear()?;
        Ok(Stop {
            #[cfg(unix)]
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for the next of them.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// Waits for the next of them.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        // If it can't be waited for, it ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stopped_before_a_command_hears_it_sends_nothing() {
        let does = AtomicU8::new(ENDS);
        assert_eq!(ending(&does).map(|(code, _)| code), Some(130));
        assert!(turn(&does, HEARD).is_err() && turn(&does, ENDS_LATE).is_err());
        let heard = AtomicU8::new(ENDS);
        turn(&heard, HEARD).unwrap();
        assert!(ending(&heard).is_none(), "the command that handles it knows what was sent");
        let late = AtomicU8::new(ENDS);
        turn(&late, ENDS_LATE).unwrap();
        let (code, text) = ending(&late).unwrap();
        assert!(code == 5 && text.contains("may have been sent"), "{text}");
    }
}
