//! `leasehold lease token`: what a client of OpenAI's API shows to the machine of a metered lease.

use std::fmt;

use clap::Args;
use leasehold::{error::LeaseholdError, state::LeaseState};
use leasehold_client::{
    error::Refusal,
    probe::SigningKey,
    record::{CallToken, SignedCall},
};
use serde::Serialize;

use super::spender::SpenderArgs;
use crate::{
    chain::Chain,
    commands::lease::leased::{LeaseArgs, Leased},
    criteria::Length,
    failure::Failure,
    time::{rfc3339, start_of},
};

#[derive(Args)]
pub struct TokenArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    #[command(flatten)]
    pub spender: SpenderArgs,
    /// How long it is good for from now, at most to the lease's end: rounds or time, as 144r, 90m, 24h or 7d.
    #[arg(long, value_name = "LENGTH", default_value = "24h")]
    pub valid: Length,
}

/// A token as it is issued.
#[derive(Debug, Serialize)]
pub struct Issued {
    /// What is shown as API key; nothing where it was not signed.
    pub token: Option<String>,
    pub lease: String,
    pub spender: String,
    /// From when the machine can be called with it: the begin of the lease.
    pub start: String,
    /// From when it is good for nothing, and the same in Unix seconds.
    pub expires: String,
    pub expiry: u64,
    /// Whether it was meant to live beyond the lease's end, and doesn't.
    pub cut: bool,
}

pub async fn run(chain: &Chain, args: TokenArgs) -> Result<(), Failure> {
    let (leased, now) = (args.lease.load(chain).await?, chain.fetch().now().await?);
    let (mut issued, token) = plan(&leased, now, args.valid)?;
    let key = args.spender.key(&chain.settings, &leased.meter()?.spender)?;
    eprintln!("{}", issued.summary(&leased));
    if !chain.settings.dry_run {
        issued.sign(&key, token);
    }
    chain.settings.output.print(&issued);
    Ok(())
}

/// The token for a lease that has not ended: one that was given notice runs on for a while.
fn plan(leased: &Leased, now: i64, valid: Length) -> Result<(Issued, CallToken), Failure> {
    let Leased { lease, address, .. } = leased;
    let meter = leased.meter()?;
    let round_secs = lease.terms.round_secs;
    let end = start_of(round_secs, lease.until);
    if lease.state == LeaseState::Settled || now >= end {
        return Err(Refusal::from(LeaseholdError::LeaseOver).into());
    }
    let secs = match valid {
        Length::Rounds(rounds) => u64::from(rounds).saturating_mul(round_secs.into()),
        Length::Secs(secs) => secs,
    };
    if secs == 0 {
        return Err(Failure::Input("a token must be good for some time: pass a longer --valid".to_owned()));
    }
    let wanted = i64::try_from(secs).unwrap_or(i64::MAX).saturating_add(now);
    let expiry = u64::try_from(wanted.min(end)).unwrap_or_default();
    let issued = Issued {
        token: None,
        lease: address.to_string(),
        spender: meter.spender.to_string(),
        start: rfc3339(start_of(round_secs, lease.from)),
        expires: rfc3339(wanted.min(end)),
        expiry,
        cut: wanted > end,
    };
    Ok((issued, CallToken { lease: *address, from: lease.from, expiry }))
}

impl Issued {
    fn sign(&mut self, key: &SigningKey, token: CallToken) {
        self.token = Some(SignedCall::sign(key, token).encode());
    }

    fn summary(&self, leased: &Leased) -> String {
        let cut = if self.cut { ", the lease's end" } else { "" };
        format!(
            "Call token for {}, from {} to {}{cut}. Whoever has it can use the machine at the cost of the lease: \
             show it over TLS only.",
            leased.name(),
            self.start,
            self.expires
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
    use leasehold_client::sample::{FROM, UNTIL};

    use super::*;
    use crate::{
        commands::lease::{
            leased::tests::sample,
            meter::tests::{metered, spender},
        },
        failure::tests::rule,
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
    fn a_token_that_nobody_would_take_is_not_signed() {
        let refused = |leased: &Leased, now| rule(plan(leased, now, Length::Secs(60)).unwrap_err());
        let mut leased = metered();
        assert_eq!(refused(&leased, i64::from(UNTIL) * 600), "LeaseOver");
        assert_eq!(refused(&sample(1), 600_000), "LeaseNotMetered");
        assert_eq!(plan(&leased, 600_000, Length::Secs(0)).unwrap_err().code(), 2);
        leased.lease.state = LeaseState::Cancelled;
        assert!(plan(&leased, 600_000, Length::Secs(60)).is_ok(), "it runs on after notice");
        leased.lease.state = LeaseState::Settled;
        assert_eq!(refused(&leased, 600_000), "LeaseOver");
    }
}
