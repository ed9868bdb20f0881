//! `leasehold lease token`: the API key with which a client of OpenAI's API calls the machines of a lease.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use leasehold_client::{
    meter::{TokenTerms, call_token, caller},
    probe::SigningKey,
    record::{CallToken, SignedCall},
    search::Length,
};
use leasehold_operate::{
    act::confirm,
    chain::Chain,
    failure::Failure,
    table::labelled,
    text::print_stderr,
    time::{rfc3339, start_of},
};
use serde::Serialize;

use super::spender::SpenderArgs;
use crate::commands::lease::{leased::Leased, selection::LeaseArgs};

/// Most seconds between the clocks of the RPC node and of this machine.
const MAX_DRIFT: u64 = 300;

#[derive(Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    #[command(flatten)]
    pub spender: SpenderArgs,
    /// Validity from now, at most to the lease's end: rounds or time, for example 144r, 90m, 24h or 7d.
    #[arg(long, value_name = "LENGTH", default_value = "24h")]
    pub valid: Length,
}

/// A token as it is issued.
#[derive(Debug, Serialize)]
pub struct Issued {
    /// The API key, `None` if it is not signed.
    pub token: Option<String>,
    pub lease: String,
    /// Who signs it: the spender of a metered lease, or the owner of one by the hour.
    pub signer: String,
    /// From when the machine can be called with it: the begin of the lease.
    pub start: String,
    /// When it expires, and the same in Unix seconds.
    pub expires: String,
    pub expiry: u64,
    /// True if the end of the lease cut its validity.
    pub cut: bool,
}

pub async fn run(chain: &Chain, args: TokenArgs) -> Result<(), Failure> {
    let (leased, now) = (args.lease.load(chain).await?, chain.fetch().now().await?);
    require_clock(now, local()?)?;
    let (mut issued, token) = plan(&leased, now, args.valid)?;
    let key = args.spender.key(&chain.settings, role(&leased), &caller(&leased.lease))?;
    print_stderr(issued.summary(&leased));
    if !chain.settings.dry_run {
        confirm(&chain.settings)?;
        issued.sign(&key, token);
    }
    chain.settings.output.print(&issued)
}

/// Role of the key that signs call tokens.
fn role(leased: &Leased) -> &'static str {
    if leased.lease.meter.is_some() { "spender" } else { "owner" }
}

/// Unix seconds of this machine.
fn local() -> Result<i64, Failure> {
    let since =
        SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Refuses a clock of the RPC node that is far from this machine's: the token would be good for longer, or less
/// long, than was asked for.
fn require_clock(node: i64, local: i64) -> Result<(), Failure> {
    if node.abs_diff(local) <= MAX_DRIFT {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "the clocks differ by more than {} minutes (RPC node: {}, this computer: {}): check --url and this \
         computer's clock",
        MAX_DRIFT / 60,
        rfc3339(node),
        rfc3339(local)
    )))
}

/// The token for a lease that has not ended: one that was given notice runs on for a while.
fn plan(leased: &Leased, now: i64, valid: Length) -> Result<(Issued, CallToken), Failure> {
    let Leased { lease, address, .. } = leased;
    let round_secs = lease.terms.round_secs;
    let secs = match valid {
        Length::Rounds(rounds) => u64::from(rounds).saturating_mul(round_secs.into()),
        Length::Secs(secs) => secs,
    };
    let TokenTerms { token, is_cut } = call_token(*address, lease, now, secs)?;
    if secs == 0 {
        return Err(Failure::Input("the validity is zero: pass a longer --valid".to_owned()));
    }
    let issued = Issued {
        token: None,
        lease: address.to_string(),
        signer: caller(lease).to_string(),
        start: rfc3339(start_of(&lease.terms, lease.from)),
        expires: rfc3339(i64::try_from(token.expiry).unwrap_or(i64::MAX)),
        expiry: token.expiry,
        cut: is_cut,
    };
    Ok((issued, token))
}

impl Issued {
    fn sign(&mut self, key: &SigningKey, token: CallToken) {
        self.token = Some(SignedCall::sign(key, token).encode());
    }

    fn summary(&self, leased: &Leased) -> String {
        let signer = if leased.lease.meter.is_some() { "Spender:" } else { "Owner:" };
        let cut = if self.cut { ", the lease's end" } else { "" };
        let lines = [
            ("Market:", leased.market.name()),
            ("Lease:", self.lease.clone()),
            (signer, self.signer.clone()),
            ("Good:", format!("from {} to {}{cut}", self.start, self.expires)),
        ];
        format!(
            "Sign a call token for {}. Whoever has it can use the lease's machines at its cost: show it over \
             TLS only.\n{}",
            leased.name(),
            labelled(lines)
        )
    }
}

impl fmt::Display for Issued {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.token.as_deref().unwrap_or("Not signed: --dry-run"))
    }
}

#[cfg(test)]
mod tests {
    use leasehold::state::LeaseState;
    use leasehold_client::sample::{FROM, UNTIL};
    use leasehold_operate::sample::rule;

    use super::*;
    use crate::commands::lease::{
        leased::tests::sample,
        meter::tests::{metered, spender},
    };

    #[test]
    fn a_token_is_the_leases_and_ends_with_it_at_the_latest() {
        let leased = metered();
        let (mut issued, token) = plan(&leased, 600_000, Length::Secs(60)).unwrap();
        assert_eq!((token.lease, token.from, token.expiry), (leased.address, FROM, 600_060));
        assert!(!issued.cut && issued.expiry == 600_060 && issued.token.is_none());
        issued.sign(&spender(), token);
        let signed = SignedCall::decode(&issued.to_string()).unwrap();
        assert_eq!(signed.token, token);
        signed.verify(&leased.meter().unwrap().spender).unwrap();
        assert_eq!(plan(&leased, 600_000, Length::Rounds(2)).unwrap().1.expiry, 601_200);
        for long in [Length::Secs(u64::MAX), Length::Rounds(u32::MAX), Length::Secs(6_001)] {
            let (issued, token) = plan(&leased, 600_000, long).unwrap();
            assert!(issued.cut && token.expiry == u64::from(UNTIL) * 600, "{long:?}");
            assert!(issued.summary(&leased).contains("to 1970-01-08T00:20:00Z, the lease's end"));
        }
    }

    #[test]
    fn a_node_with_another_time_lengthens_no_token() {
        for near in [0, 300, 600] {
            assert!(require_clock(near, 300).is_ok(), "{near}");
        }
        for far in [-1, 601, i64::MAX, i64::MIN] {
            assert_eq!(require_clock(far, 300).unwrap_err().code(), 3, "{far}");
        }
    }

    #[test]
    fn a_token_that_nobody_would_take_is_not_signed() {
        let refused = |leased: &Leased, now| rule(plan(leased, now, Length::Secs(60)).unwrap_err());
        let mut leased = metered();
        assert_eq!(refused(&leased, i64::from(UNTIL) * 600), "LeaseOver");
        let hourly = sample(1);
        let (issued, _) = plan(&hourly, 600_000, Length::Secs(60)).unwrap();
        assert!(issued.summary(&hourly).contains(&format!("Owner:   {}", hourly.lease.owner)));
        assert_eq!(plan(&leased, 600_000, Length::Secs(0)).unwrap_err().code(), 2);
        leased.lease.state = LeaseState::Cancelled;
        assert!(plan(&leased, 600_000, Length::Secs(60)).is_ok(), "it runs on after notice");
        leased.lease.state = LeaseState::Settled;
        assert_eq!(refused(&leased, 600_000), "LeaseOver");
    }
}
