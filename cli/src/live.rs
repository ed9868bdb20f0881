//! Views that poll every few seconds: drawn in place on a terminal, a line for each change elsewhere.

mod layout;
mod screen;

use std::{io, time::Duration};

use clap::Args;
use leasehold_client::fetch::FetchError;
use leasehold_operate::{failure::Failure, format::Format, output::forgiven, stop, text::shown};
use serde::Serialize;
use tokio::time::sleep;

pub use self::layout::{capped, span, with_strips};
use self::screen::Screen;

/// Failed polls in a row before watching ends.
const MOST_FAILURES: u32 = 10;
/// Longest backoff between two polls, in seconds.
const LONGEST_PAUSE: u64 = 60;

#[derive(Args, Clone, Copy, Debug)]
pub struct LiveArgs {
    /// Seconds between two polls, at least 1.
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub interval: u64,
}

/// Rows and columns of a terminal that can be drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    pub columns: usize,
}

/// One poll of something that is watched.
pub trait Frame: Serialize {
    /// Data whose change counts as a change: everything but clocks.
    type Facts: Serialize;

    fn facts(&self) -> &Self::Facts;

    /// For a terminal of this size.
    fn draw(&self, size: Size) -> String;

    /// In one line, for a log.
    fn line(&self) -> String;

    /// True if it is the last.
    fn is_last(&self) -> bool;
}

/// Shows polls until the last one, until Ctrl-C, or until too many in a row fail.
pub async fn watch<F: Frame>(
    output: Format,
    args: LiveArgs,
    read: impl AsyncFnMut() -> Result<F, Failure>,
) -> Result<(), Failure> {
    let mut screen = Screen::new(output);
    stop::hear().map_err(|_| Failure::Interrupted)?;
    tokio::select! {
        done = follow(args.interval, read, |told| screen.show(told)) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

/// Output while something is watched.
enum Told<'a, F> {
    Frame(&'a F),
    /// A poll failed and is retried.
    Failed(String),
}

async fn follow<F: Frame>(
    interval: u64,
    mut read: impl AsyncFnMut() -> Result<F, Failure>,
    mut show: impl FnMut(Told<F>) -> io::Result<()>,
) -> Result<(), Failure> {
    let (mut seen, mut failures) = (false, 0u32);
    loop {
        match read().await {
            Ok(frame) => {
                (seen, failures) = (true, 0);
                let written = show(Told::Frame(&frame));
                // A closed pipe ends it.
                if written.is_err() || frame.is_last() {
                    return forgiven(written);
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                if !seen || !is_passing(&error) || failures >= MOST_FAILURES {
                    return Err(error);
                }
                let secs = pause(interval, failures);
                let text = shown(&format!("leasehold: {error}; retry in {}", span(secs)));
                // Watching goes on if the error can't be printed.
                let _ = show(Told::Failed(text));
            }
        }
        sleep(Duration::from_secs(pause(interval, failures))).await;
    }
}

/// True if a retry may succeed: the RPC node failed, not the request.
fn is_passing(error: &Failure) -> bool {
    matches!(error, Failure::Chain(FetchError::Rpc(_) | FetchError::Clock))
}

/// Backoff until the next poll, in seconds: doubles with each failure.
fn pause(interval: u64, failures: u32) -> u64 {
    let grown = interval.saturating_mul(2u64.saturating_pow(failures));
    grown.min(LONGEST_PAUSE.max(interval))
}

#[cfg(test)]
pub mod tests {
    use leasehold_client::account::DecodeError;
    use solana_pubkey::Pubkey;

    use super::*;

    /// Something that is watched.
    #[derive(Serialize)]
    pub struct Count {
        pub fact: u32,
        pub clock: u32,
    }

    impl Frame for Count {
        type Facts = u32;

        fn facts(&self) -> &u32 {
            &self.fact
        }

        fn draw(&self, _: Size) -> String {
            String::new()
        }

        fn line(&self) -> String {
            format!("fact {}", self.fact)
        }

        fn is_last(&self) -> bool {
            self.fact == 9
        }
    }

    fn lost() -> Failure {
        Failure::Chain(FetchError::Clock)
    }

    /// Frames and failures shown for these polls.
    async fn followed(readings: Vec<Result<u32, Failure>>) -> (Vec<u32>, usize, Result<(), Failure>) {
        let mut readings = readings.into_iter();
        let (mut frames, mut failures) = (Vec::new(), 0);
        let read = async || readings.next().unwrap().map(|fact| Count { fact, clock: 0 });
        // No pause at all: nothing to wait for in a test.
        let done = follow(0, read, |told| {
            match told {
                Told::Frame(frame) => frames.push(frame.fact),
                Told::Failed(text) => {
                    assert!(text.contains("retry in"), "{text}");
                    failures += 1;
                }
            }
            Ok(())
        });
        let done = done.await;
        (frames, failures, done)
    }

    #[tokio::test]
    async fn watching_ends_with_the_last_frame() {
        let (frames, failures, done) = followed(vec![Ok(1), Ok(1), Ok(9)]).await;
        assert!(done.is_ok() && frames == [1, 1, 9] && failures == 0);
    }

    #[tokio::test]
    async fn failures_are_reported_and_the_tenth_in_a_row_ends_the_view() {
        let in_a_row = |count: usize| std::iter::repeat_with(|| Err(lost())).take(count);
        let nine = std::iter::once(Ok(1)).chain(in_a_row(9)).chain([Ok(2)]).chain(in_a_row(9)).chain([Ok(9)]);
        let (frames, failures, done) = followed(nine.collect()).await;
        assert!(done.is_ok() && frames == [1, 2, 9] && failures == 18);
        let ten = std::iter::once(Ok(1)).chain(in_a_row(10)).collect();
        let (frames, failures, done) = followed(ten).await;
        assert!(matches!(done, Err(Failure::Chain(_))) && frames == [1] && failures == 9);
    }

    #[tokio::test]
    async fn what_no_patience_mends_ends_it_at_once() {
        let (_, failures, done) = followed(vec![Err(lost())]).await;
        assert!(done.is_err() && failures == 0, "the node may be the wrong one");
        let missing = Failure::Chain(FetchError::Missing { address: Pubkey::default() });
        let decode = Failure::Decode(DecodeError::Kind { expected: "lease" });
        for fatal in [missing, decode] {
            let (_, failures, done) = followed(vec![Ok(1), Err(fatal)]).await;
            assert!(done.is_err() && failures == 0);
        }
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_ends_it() {
        let read = async || Ok(Count { fact: 1, clock: 0 });
        let gone = |_: Told<Count>| Err(io::ErrorKind::BrokenPipe.into());
        assert!(follow(0, read, gone).await.is_ok());
        let full = |_: Told<Count>| Err(io::ErrorKind::StorageFull.into());
        assert_eq!(follow(0, read, full).await.unwrap_err().code(), 2);
    }

    #[test]
    fn pauses_grow_up_to_a_minute_and_never_below_the_interval() {
        assert_eq!([0, 1, 2, 3, 4, 9].map(|failures| pause(5, failures)), [5, 10, 20, 40, 60, 60]);
        assert_eq!((pause(600, 3), pause(1, u32::MAX)), (600, 60));
    }
}
