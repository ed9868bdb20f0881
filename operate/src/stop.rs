//! What stops a command from outside.

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

/// What Ctrl-C does: it ends the process, as at its start.
const ENDS: u8 = 0;
/// A command hears it.
const HEARD: u8 = 1;
/// It ends the process, which may have sent something that can't be taken back.
const ENDS_LATE: u8 = 2;
/// It is ending the process.
const ENDING: u8 = 3;

static DOES: AtomicU8 = AtomicU8::new(ENDS);

/// From here on, Ctrl-C ends the process with the exit code that is told for it, also while it waits for an answer
/// to a question, until a command hears it. To be called where the runtime runs.
pub fn end_until_heard() {
    #[cfg(unix)]
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
    tokio::spawn(async move {
        #[cfg(unix)]
        let interrupted = interrupt.recv().await.is_some();
        #[cfg(not(unix))]
        let interrupted = tokio::signal::ctrl_c().await.is_ok();
        if let Some((code, text)) = ending(&DOES).filter(|_| interrupted) {
            // What stands there is a question, or the terminal's echo of the key.
            let line_break = if io::stderr().is_terminal() { "\n" } else { "" };
            print_stderr(format!("{line_break}leasehold: {text}"));
            exit(code.into());
        }
    });
}

/// How Ctrl-C ends the process; nothing where a command hears it. No command begins to hear it afterwards.
fn ending(does: &AtomicU8) -> Option<(u8, String)> {
    let ends = |does| (does != HEARD).then_some(ENDING);
    let did = does.fetch_update(Ordering::SeqCst, Ordering::SeqCst, ends).ok()?;
    Some(match did {
        ENDS_LATE => (UNCERTAIN, "stopped, and what was signed may have been sent".to_owned()),
        _ => (INTERRUPTED, Failure::Interrupted.to_string()),
    })
}

/// From here on Ctrl-C ends the process by itself no more: whoever calls this hears it. Fails where it has already
/// ended it.
pub fn hear() -> io::Result<()> {
    turn(&DOES, HEARD)
}

/// From here on Ctrl-C ends the process with word that something may have been sent.
pub fn sends() -> io::Result<()> {
    turn(&DOES, ENDS_LATE)
}

fn turn(does: &AtomicU8, to: u8) -> io::Result<()> {
    let turned = |does| (does != ENDING).then_some(to);
    let turned = does.fetch_update(Ordering::SeqCst, Ordering::SeqCst, turned);
    turned.map(|_| ()).map_err(|_| io::ErrorKind::Interrupted.into())
}

/// Ctrl-C, and where the system has them, the end of the session or of the process: from here on they end
/// nothing by themselves.
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
        // Where it can't be waited for, it ends the process.
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
        assert!(ending(&heard).is_none(), "whoever hears it knows what was sent");
        let late = AtomicU8::new(ENDS);
        turn(&late, ENDS_LATE).unwrap();
        let (code, text) = ending(&late).unwrap();
        assert!(code == 5 && text.contains("may have been sent"), "{text}");
    }
}
