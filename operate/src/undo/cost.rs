//! How long an undo takes, and what cancelling costs by then.

use leasehold::{
    math::{Exact, settlement::exit_at_most},
    rules::cancel,
    state::Lease,
};
use leasehold_client::sender::SenderOptions;

/// Most seconds for sending so many transactions, of which the last fails, and undoing those before it, while the RPC
/// node answers: the sender waits for each signed copy until its timeout.
pub fn longest(transactions: usize) -> u64 {
    let SenderOptions { timeout, attempts, .. } = SenderOptions::default();
    let one = timeout.as_secs().saturating_mul(attempts.into());
    // Each is sent and undone. That is one too many, which covers the requests in between.
    let sendings = u64::try_from(transactions).unwrap_or(u64::MAX).saturating_mul(2);
    one.saturating_mul(sendings)
}

/// Most payment units that cancelling costs up to `secs` seconds after opening a lease of so many rounds for up to
/// `deposit`. All of it if the lease may be over by then, or in its last round. An upper bound for any machines: the
/// deposit of each is rounded up, and its pay down.
pub fn leaving_within(deposit: u64, round_secs: u32, rounds: u32, secs: u64) -> Exact<u64> {
    // A lease that is opened at the end of a round begins with the next one.
    let served = u32::try_from(secs.div_ceil(u64::from(round_secs.max(1)))).unwrap_or(u32::MAX).max(1);
    let Some(rest) = cancel::rest(rounds, served) else { return Ok(deposit) };
    cancel::cost_at_most(deposit, round_secs, rounds, served, exit_at_most(round_secs, rounds, rest))
}

/// Most payment units that the owner of a cancelled lease owes, if it contests no machine.
pub fn of_cancelled(lease: &Lease) -> Exact<u64> {
    let (terms, served) = (&lease.terms, lease.until.saturating_sub(lease.from));
    let exit = exit_at_most(terms.round_secs, terms.rounds, terms.rounds.saturating_sub(served));
    cancel::cost_at_most(lease.deposit, terms.round_secs, terms.rounds, served, exit)
}

#[cfg(test)]
mod tests {
    use leasehold::math::{
        add,
        pricing::Span,
        settlement::{Left, Service, Terms, last},
    };
    use leasehold_client::sample;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leaving_costs_what_was_served_and_an_hour_or_5_percent() {
        // Cancelled in its first round of 20 of ten minutes: of the other 19, 5 percent are 570 seconds.
        let mut lease = sample::lease(1);
        lease.until = lease.from + 1;
        assert_eq!(of_cancelled(&lease).unwrap(), 2_400 * (600 + 570) / 12_000);
        lease.until = lease.from + 3;
        assert_eq!(of_cancelled(&lease).unwrap(), 2_400 * (1_800 + 510) / 12_000);
        lease.until = u32::MAX;
        assert_eq!(of_cancelled(&lease).unwrap(), 2_400, "never more");
    }

    #[test]
    fn short_rounds_go_by_while_transactions_are_sent() {
        assert_eq!(longest(2), 4 * 3 * 120);
        let within = |round_secs, rounds| leaving_within(1_000_000, round_secs, rounds, longest(2)).unwrap();
        // A day of rounds of an hour: one goes by, and an hour is owed besides.
        assert_eq!(within(3_600, 24), 1_000_000 * (3_600 + 3_600) / 86_400);
        // The same day in rounds of ten seconds: 144 go by.
        assert_eq!(within(10, 8_640), 1_000_000 * (1_440 + 3_600) / 86_400);
        // In 20 minutes of such rounds it is over before it is undone.
        assert_eq!(within(10, 120), 1_000_000);
        assert_eq!(within(10, 144), 1_000_000, "and the last round can't be left");
    }

    proptest! {
        #[test]
        fn leaving_in_time_never_costs_more_than_announced(
            prices in prop::collection::vec(1u64..1 << 40, 1..9),
            rounds in 2u32..2_000,
            round_secs in 10u32..7_200,
            most in 0u64..20_000,
            (opened, taken) in (0.0..1.0, 0.0..=1.0),
        ) {
            let part = |of: u64, part: f64| (of as f64 * part) as u64;
            let span = Span::of_secs(u64::from(round_secs) * u64::from(rounds));
            let deposit = prices.iter().map(|price| span.cost_ceil(*price).unwrap()).sum::<u64>();
            let told = leaving_within(deposit, round_secs, rounds, most).unwrap();
            // As the program has it: opened in round 0, it begins with round 1, which is its first to be left.
            let now = part(u64::from(round_secs), opened) + part(most, taken);
            let served = u32::try_from(now / u64::from(round_secs)).unwrap().max(1);
            if served >= rounds {
                prop_assert_eq!(told, deposit);
            } else {
                let terms = Terms { round_secs, rounds, ..sample::lease(1).terms };
                let costs = prices.iter().map(|price| {
                    let (price, left) = (*price, Left::Cancelled);
                    let service =
                        Service { price, agreed: rounds, rounds: served, up: served, left, ..Service::default() };
                    let outcome = last(&service, &terms).unwrap();
                    add(outcome.payment.gross().unwrap(), outcome.burned.total().unwrap()).unwrap()
                });
                prop_assert!(told >= costs.sum::<u64>() && told <= deposit);
            }
        }
    }
}
