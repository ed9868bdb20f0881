//! `leasehold lease access`: whose SSH key is let in.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use leasehold::{rules::access, state::Lease};
use leasehold_client::{access::display, error::Refusal, instruction};
use leasehold_operate::{
    act::{Executed, execute_after},
    chain::Chain,
    failure::Failure,
    plan::Plan,
    table::count,
    text::print_stderr,
};
use solana_pubkey::Pubkey;

use super::{
    keys::{self, Choice, HomeArgs, Offered, shown},
    leased::Leased,
    selection::LeaseArgs,
};

#[derive(Args)]
pub struct AccessArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Let a new key in, made here for this lease; without another choice this is done.
    #[arg(long, conflicts_with_all = ["key", "none"])]
    pub new: bool,
    /// Let the holder of this public SSH key in. A key that is published elsewhere tells whose lease it is.
    #[arg(long, value_name = "FILE.pub", value_hint = ValueHint::FilePath, conflicts_with = "none")]
    pub key: Option<PathBuf>,
    /// Let nobody in.
    #[arg(long)]
    pub none: bool,
    /// Wipe the machines first; done without being asked for on a lease that was transferred and has named no key since.
    #[arg(long, conflicts_with = "keep")]
    pub wipe: bool,
    /// Keep what is on the machines.
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub home: HomeArgs,
}

impl AccessArgs {
    fn choice(&self) -> Choice {
        match &self.key {
            Some(path) => Choice::Named(path.clone()),
            None if self.none => Choice::Nobody,
            None => Choice::New,
        }
    }

    fn wipes(&self, lease: &Lease) -> bool {
        self.wipe || !self.keep && is_given(lease)
    }
}

/// True if somebody else's data may be on the machines, who transferred the lease.
fn is_given(lease: &Lease) -> bool {
    lease.owner != lease.buyer && lease.access.is_none() && lease.access_epoch > lease.data_epoch
}

pub async fn run(chain: &Chain, args: AccessArgs) -> Result<(), Failure> {
    let (leased, now) = (args.lease.load(chain).await?, chain.fetch().now().await?);
    let owner = chain.wallet()?;
    let (home, wipe) = (args.home.folder()?, args.wipes(&leased.lease));
    let epoch = leased.lease.access_epoch.saturating_add(1);
    let keys = [Offered::new(&home, leased.address, epoch, &args.choice())?];
    let [key] = &keys;
    let plan = chain.on_market(plan(&leased, now, owner, key, wipe)?);
    let done = execute_after(chain, &plan, || keys::save_all(&keys)).await;
    keys::settle(&keys, &done);
    let Executed { mut outcome, failure } = done?;
    if failure.is_none() && !chain.settings.dry_run {
        keys::forget_others(&home, key);
        if let Some(file) = key.file() {
            outcome.detail("key_file", &file.display().to_string());
        }
        if key.fingerprint().is_some() {
            let (board, serial) = (leased.board.index, leased.lease.serial);
            print_stderr(format!(
                "Log in by `leasehold lease ssh {board}:{serial}`, once the machines have seen the change"
            ));
        }
    }
    chain.settings.output.end(&outcome, failure)
}

fn plan(leased: &Leased, now: i64, owner: Pubkey, key: &Offered, wipe: bool) -> Result<Plan, Failure> {
    leased.require_owner(&owner)?;
    let Leased { lease, address, .. } = leased;
    let mut changed = lease.clone();
    access::set(&mut changed, key.fingerprint(), wipe, now).map_err(Refusal::from)?;
    let before = lease.access.as_ref().map_or_else(|| "nobody".to_owned(), display);
    let machines = count(usize::try_from(lease.machines).unwrap_or(usize::MAX), "machine");
    let data = match wipe {
        true => "WIPED: all that is on the machines is deleted; pass --keep to keep it",
        false => "kept; pass --wipe to delete it",
    };
    Ok(Plan::new(format!("Change the access to {}", leased.name()))
        .fact("Lease:", "lease", address)
        .fact_as("Let in:", "access", who(key), shown(key.fingerprint()))
        .fact_as("So far:", "access_before", before, shown(lease.access))
        .fact_as("Epoch:", "access_epoch", changed.access_epoch, changed.access_epoch)
        .note("Sessions:", format!("all are cut, on {machines}, whose host keys are made anew"))
        .fact_as("Data:", "wipe", data, wipe)
        .step("set access", vec![instruction::set_access(owner, *address, key.fingerprint(), wipe)]))
}

/// Who is let in by a key, in words.
pub fn who(key: &Offered) -> String {
    match (key.public(), key.file()) {
        (None, _) => "nobody".to_owned(),
        (_, Some(_)) => "the holder of a new SSH key, kept on this computer".to_owned(),
        (Some(public), None) => format!(
            "the holder of {}; if that key is published anywhere, everybody can tell whose lease this is",
            display(&public.fingerprint)
        ),
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold_client::sample::wallet;
    use leasehold_operate::sample::rule;

    use super::{super::leased::tests::sample, *};

    /// Round 1,000 of 990 to 1,009 runs.
    const NOW: i64 = 600_000;

    fn key(leased: &Leased, choice: Choice) -> Offered {
        Offered::new(&keys::Home("/nowhere".into()), leased.address, 1, &choice).unwrap()
    }

    #[test]
    fn a_summary_tells_that_sessions_are_cut_and_whether_data_are_kept() {
        let leased = sample(1);
        let new = key(&leased, Choice::New);
        for wipe in [false, true] {
            let plan = plan(&leased, NOW, wallet(9), &new, wipe).unwrap();
            let [step] = &plan.steps[..] else { panic!() };
            let data = &step.instructions[0].data;
            assert!(data.starts_with(leasehold::instruction::SetAccess::DISCRIMINATOR));
            let args = <(Option<[u8; 32]>, bool)>::try_from_slice(&data[8..]).unwrap();
            assert_eq!(args, (new.fingerprint(), wipe));
            let details = plan.details();
            assert_eq!((&details["wipe"], &details["access_epoch"]), (&wipe.into(), &1.into()));
            assert!(details["access"].as_str().unwrap().starts_with("SHA256:"));
            let text: Vec<_> = plan.facts.iter().map(|fact| fact.text.as_str()).collect();
            assert!(text.iter().any(|text| text.starts_with("all are cut, on 2 machines")), "{text:?}");
            assert!(
                text.iter().any(|text| text.starts_with(if wipe { "WIPED" } else { "kept" })),
                "{text:?}"
            );
        }
        let nobody = plan(&leased, NOW, wallet(9), &key(&leased, Choice::Nobody), false).unwrap();
        assert!(nobody.details()["access"].is_null());
    }

    #[test]
    fn what_the_program_refuses_is_not_asked() {
        let refused = |leased: &Leased, now, owner| {
            rule(plan(leased, now, wallet(owner), &key(leased, Choice::New), false).unwrap_err())
        };
        assert_eq!(refused(&sample(1), NOW, 8), "WrongAuthority");
        assert_eq!(refused(&sample(1), 1_010 * 600, 9), "LeaseOver");
        assert_eq!(refused(&sample(2), NOW, 9), "LeaseSettled");
    }

    #[test]
    fn a_lease_that_was_given_away_is_wiped_unless_it_is_to_be_kept() {
        let wipes = |wipe, keep, lease: &Lease| {
            let args = AccessArgs {
                lease: LeaseArgs { id: "0:1".parse().unwrap(), market: None },
                new: false,
                key: None,
                none: false,
                wipe,
                keep,
                home: HomeArgs::default(),
            };
            args.wipes(lease)
        };
        let own = sample(1).lease;
        assert!(!wipes(false, false, &own) && wipes(true, false, &own));
        let given = Lease { owner: wallet(77), access: None, access_epoch: 1, ..own };
        assert!(wipes(false, false, &given) && !wipes(false, true, &given));
        let seen = Lease { access: Some([1; 32]), access_epoch: 2, ..given.clone() };
        assert!(!wipes(false, false, &seen), "its owner has decided");
        let opened_for_another = Lease { access_epoch: 0, ..given };
        assert!(!wipes(false, false, &opened_for_another), "nothing is on the machines");
    }
}
