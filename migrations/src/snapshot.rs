//! The chain before a deployment.

use leasehold_client::{address, fetch::MintInfo};
use leasehold_operate::{
    chain::Chain,
    failure::Failure,
    market::{MarketView, file::MarketFile},
};
use solana_hash::Hash;
use solana_pubkey::Pubkey;

/// The market, the cluster's time, and the wallet that deploys.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub market: Found,
    /// Unix seconds of the cluster.
    pub now: i64,
    /// Its genesis hash.
    pub genesis: Hash,
    pub wallet: Pubkey,
}

/// State of the market's address.
#[derive(Clone, Debug)]
pub enum Found {
    /// The file's mints for payments and for stake.
    Nothing {
        payment: MintInfo,
        stake: MintInfo,
    },
    Market(Box<MarketView>),
}

impl Snapshot {
    pub async fn read(chain: &Chain, file: &MarketFile) -> Result<Self, Failure> {
        let [payment, stake] = file.mints()?;
        let fetch = chain.fetch();
        let address = address::market(file.id);
        let market = match chain.market(address).await {
            Err(failure) if is_free(&failure, address) => {
                let (payment, stake) = tokio::try_join!(fetch.mint(payment), fetch.mint(stake))?;
                Found::Nothing { payment, stake }
            }
            found => Found::Market(Box::new(found?)),
        };
        let (now, genesis) = tokio::try_join!(fetch.now(), fetch.genesis_hash())?;
        Ok(Snapshot { market, now, genesis, wallet: chain.wallet()? })
    }
}

/// True if there is no account at the market's address.
fn is_free(failure: &Failure, market: Pubkey) -> bool {
    matches!(failure, Failure::NotThere { address, .. } if *address == market)
}

#[cfg(test)]
mod tests {
    use leasehold_client::{account::DecodeError, fetch::FetchError};

    use super::*;

    #[test]
    fn a_market_is_created_only_where_nothing_is() {
        let [market, other] = [[1; 32], [2; 32]].map(Pubkey::new_from_array);
        let foreign = DecodeError::Owner { owner: other };
        let foreign = Failure::Chain(FetchError::Decode { address: market, error: foreign });
        let missing = |address| Failure::NotThere { what: "the market".to_owned(), address };
        assert!(is_free(&missing(market), market));
        assert!(!is_free(&missing(other), market));
        assert!(!is_free(&foreign, market));
        assert!(!is_free(&FetchError::Missing { address: other }.into(), market), "a mint is missing");
        assert!(!is_free(&FetchError::Clock.into(), market));
    }
}
