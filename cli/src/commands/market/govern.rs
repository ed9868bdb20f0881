//! Actions of a market's authority, and applying the parameters that it proposed.

use leasehold::error::LeaseholdError;
use leasehold_client::instruction;
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::{
        MarketView, about,
        file::read_toml,
        params::ParamsFile,
        proposal::{plan_application, plan_proposal},
        require_authority,
    },
    plan::Plan,
};
use solana_pubkey::Pubkey;

use super::{AuthorityArgs, ProposeArgs};

pub async fn pause(chain: &Chain, args: MarketArgs, paused: bool) -> Result<(), Failure> {
    let market = chain.market(args.id.0).await?;
    act(chain, plan_pause(&market, chain.wallet()?, paused)?).await
}

pub async fn propose(chain: &Chain, args: ProposeArgs) -> Result<(), Failure> {
    let file: Option<ParamsFile> = args.file.as_deref().map(read_toml).transpose()?;
    let market = chain.market(args.market.id.0).await?;
    let now = chain.fetch().now().await?;
    act(chain, plan_proposal(&market, chain.wallet()?, now, file.as_ref())?).await
}

pub async fn apply(chain: &Chain, args: MarketArgs) -> Result<(), Failure> {
    let (market, now) = (chain.market(args.id.0).await?, chain.fetch().now().await?);
    act(chain, plan_application(&market, now)?).await
}

pub async fn authority(chain: &Chain, args: AuthorityArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
    let plan = if args.accept {
        plan_acceptance(&market, wallet)
    } else {
        plan_offer(&market, wallet, args.offered)
    };
    act(chain, plan?).await
}

fn plan_pause(market: &MarketView, wallet: Pubkey, paused: bool) -> Result<Plan, Failure> {
    require_authority(market, &wallet)?;
    if market.account.paused == paused {
        let state = if paused { "is paused already" } else { "is not paused" };
        return Err(Failure::Refused(format!("market {} {state}", market.account.id)));
    }
    let what = if paused { "Pause" } else { "Resume" };
    let effect = if paused {
        "no machines are listed and no leases opened or extended until it resumes"
    } else {
        "machines are listed and leases opened and extended again"
    };
    let pause = instruction::set_paused(&market.reference, wallet, paused);
    Ok(about(market, what).fact("Effect:", "effect", effect).step("set paused", vec![pause]))
}

fn plan_offer(market: &MarketView, wallet: Pubkey, offered: Option<Pubkey>) -> Result<Plan, Failure> {
    require_authority(market, &wallet)?;
    let propose = instruction::propose_authority(&market.reference, wallet, offered);
    let plan = match offered {
        Some(offered) => about(market, "Offer").fact("To:", "offered_to", offered),
        None => about(market, "Withdraw the offer of"),
    };
    Ok(plan.step("propose authority", vec![propose]))
}

fn plan_acceptance(market: &MarketView, wallet: Pubkey) -> Result<Plan, Failure> {
    let Some(offered) = market.account.pending_authority else {
        return Err(Failure::Refused(format!(
            "market {} is not offered to any wallet: its authority must first run `leasehold market authority \
             WALLET`",
            market.account.id
        )));
    };
    if offered != wallet {
        let values = format!("it is offered to {offered}, and {wallet} signs");
        return Err(Failure::rule(LeaseholdError::WrongAuthority, values));
    }
    let accept = instruction::accept_authority(&market.reference, wallet);
    Ok(about(market, "Take over")
        .fact("From:", "former_authority", market.account.authority)
        .step("accept authority", vec![accept]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::sample::wallet;
    use leasehold_operate::sample::{rule, view};

    use super::*;

    /// The market's authority is wallet 8.
    const AUTHORITY: u8 = 8;

    fn starts(plan: &Plan, discriminator: &[u8]) -> bool {
        plan.steps.len() == 1 && plan.steps[0].instructions[0].data.starts_with(discriminator)
    }

    #[test]
    fn only_the_authority_pauses_offers_and_announces() {
        let market = view();
        let plan = plan_pause(&market, wallet(AUTHORITY), true).unwrap();
        assert!(starts(&plan, &[data::SetPaused::DISCRIMINATOR, &[1]].concat()));
        let running = plan_pause(&market, wallet(AUTHORITY), false).unwrap_err();
        assert!(running.code() == 3 && running.to_string().contains("is not paused"), "{running}");
        let mut paused = view();
        paused.account.paused = true;
        assert!(plan_pause(&paused, wallet(AUTHORITY), true).is_err());
        let resumed = plan_pause(&paused, wallet(AUTHORITY), false).unwrap();
        assert!(starts(&resumed, &[data::SetPaused::DISCRIMINATOR, &[0]].concat()));
        assert_eq!(rule(plan_pause(&market, wallet(1), true).unwrap_err()), "WrongAuthority");
        assert_eq!(rule(plan_offer(&market, wallet(1), None).unwrap_err()), "WrongAuthority");
    }

    #[test]
    fn only_the_wallet_that_a_market_was_offered_to_can_accept_it() {
        let mut market = view();
        let plan = plan_offer(&market, wallet(AUTHORITY), Some(wallet(5))).unwrap();
        assert!(starts(&plan, data::ProposeAuthority::DISCRIMINATOR));
        assert_eq!(plan.details()["offered_to"], wallet(5).to_string());
        let nobody = plan_acceptance(&market, wallet(5)).unwrap_err();
        assert!(
            nobody.code() == 3 && nobody.to_string().contains("is not offered to any wallet"),
            "{nobody}"
        );
        market.account.pending_authority = Some(wallet(5));
        assert_eq!(rule(plan_acceptance(&market, wallet(6)).unwrap_err()), "WrongAuthority");
        assert!(starts(&plan_acceptance(&market, wallet(5)).unwrap(), data::AcceptAuthority::DISCRIMINATOR));
    }
}
