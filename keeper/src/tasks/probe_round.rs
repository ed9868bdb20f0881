//! Probes the machines of a board in the round that runs.

use std::time::Duration;

use leasehold_client::BoardRef;

use super::Tools;
use crate::prober::{ProbeReport, ProbeTiming, ProberError, RoundContext, Target};

/// Time for retries at the end of a round.
const RETRIES: Duration = Duration::from_secs(30);

pub(super) async fn run(
    tools: &Tools,
    board: &BoardRef,
    round: u32,
    cluster: [u8; 4],
    targets: &[Target],
    time: Duration,
) -> Result<ProbeReport, ProberError> {
    let (market, board) = (board.market.address, board.address);
    let context = RoundContext { program: leasehold::ID, market, board, round, cluster };
    tools.prober.probe_round(&context, targets, &timing(time)).await
}

/// First attempts are sent at random times: in a long round until half a minute before its end, so that no machine knows
/// when it is probed; in a short one in the first half.
fn timing(time: Duration) -> ProbeTiming {
    let rest = RETRIES.min(time / 2);
    let retries = ProbeTiming::within(rest.saturating_mul(2));
    ProbeTiming { window: time.saturating_sub(rest), deadline: time, ..retries }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_fit_behind_the_last_first_attempt() {
        for secs in [3, 10, 60, 600, 86_400] {
            let timing = timing(Duration::from_secs(secs));
            let waits = (1u32 << timing.attempts) - 1;
            assert!(timing.window + timing.attempt_timeout * waits <= timing.deadline, "{timing:?}");
            assert_eq!(timing.deadline, Duration::from_secs(secs));
            assert!(timing.window >= timing.deadline / 2);
        }
        assert_eq!(timing(Duration::from_secs(600)).window, Duration::from_secs(570));
        assert_eq!(timing(Duration::from_secs(10)), ProbeTiming::within(Duration::from_secs(10)));
    }
}
