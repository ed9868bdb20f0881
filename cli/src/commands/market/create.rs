//! `leasehold market create`.

use leasehold::state::Market;
use leasehold_client::{
    address,
    fetch::{FetchError, Fetched},
};
use leasehold_operate::{
    act::act,
    chain::Chain,
    failure::Failure,
    market::{
        create::plan,
        file::{MarketFile, read_toml},
    },
};

use super::CreateArgs;

pub async fn run(chain: &Chain, args: CreateArgs) -> Result<(), Failure> {
    let file: MarketFile = read_toml(&args.file)?;
    let [payment, stake] = file.mints()?;
    let fetch = chain.fetch();
    refuse_taken(file.id, fetch.market(address::market(file.id)).await)?;
    let (payments, stakes, genesis) =
        tokio::try_join!(fetch.mint(payment), fetch.mint(stake), fetch.genesis_hash())?;
    act(chain, plan(&file, genesis, &payments, &stakes, chain.wallet()?)?).await
}

/// Refuses the number of a market that exists.
fn refuse_taken(id: u64, found: Result<Fetched<Market>, FetchError>) -> Result<(), Failure> {
    match found {
        Ok(market) => Err(Failure::Refused(format!(
            "market {id} exists already, its authority is {}: choose another id",
            market.account.authority
        ))),
        Err(FetchError::Missing { address }) if address == address::market(id) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample;
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn a_number_that_is_taken_is_refused_with_whose_it_is() {
        let (address, account) = (sample::market().address, view().account);
        let authority = account.authority;
        let taken = refuse_taken(7, Ok(Fetched { address, lamports: 0, account })).unwrap_err();
        assert_eq!(taken.code(), 3);
        let expected = format!("market 7 exists already, its authority is {authority}: choose another id");
        assert_eq!(taken.to_string(), expected);
        let address = address::market(7);
        assert!(refuse_taken(7, Err(FetchError::Missing { address })).is_ok());
        assert_eq!(refuse_taken(7, Err(FetchError::Clock)).unwrap_err().code(), 2, "it is not known");
    }
}
