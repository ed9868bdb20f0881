//! What the cluster says of supplier, market and lease of a receipt.

use leasehold::state::{Lease, Market, Supplier};
use leasehold_client::{
    address,
    fetch::{Fetch, FetchError, Fetched},
    record::{SignedReceipt, Verified},
};
use leasehold_operate::failure::{Failure, Unproved};
use solana_pubkey::Pubkey;

use super::report::Report;

pub struct Surroundings {
    /// Nothing once the supplier has left the market; its log stays.
    pub supplier: Option<Fetched<Supplier>>,
    pub market: Option<Market>,
    pub lease_address: Pubkey,
    /// Nothing once it was closed, which anybody may do a day after its end.
    pub lease: Option<Lease>,
    /// Decimals of the mint that the receipt is billed in; nothing where there is no such mint.
    pub decimals: Option<u8>,
    /// Number of the board in its market.
    pub board_index: Option<u32>,
}

impl Surroundings {
    pub async fn read(
        fetch: &Fetch<'_>,
        signed: &SignedReceipt,
        verified: &Verified,
    ) -> Result<Self, FetchError> {
        let board = verified.header.board;
        let lease_address = address::lease(&board, u64::from(verified.header.lease));
        let mint = Pubkey::new_from_array(signed.receipt.mint);
        let (supplier, lease, decimals) = tokio::try_join!(
            fetch.supplier_at(verified.supplier),
            fetch.lease(lease_address),
            decimals(fetch, mint)
        )?;
        let market = match &supplier {
            Some(supplier) => Some(fetch.market(supplier.account.market).await?),
            None => None,
        };
        let index_in = |market: &Fetched<Market>| {
            (0..market.account.next_board).find(|index| address::board(&market.address, *index) == board)
        };
        Ok(Surroundings {
            board_index: market.as_ref().and_then(index_in),
            supplier,
            market: market.map(|market| market.account),
            lease_address,
            lease: lease.map(|lease| lease.account),
            decimals,
        })
    }

    /// Checks what the receipt says of its supplier, market and lease, as far as these still exist.
    pub fn check(
        &self,
        signed: &SignedReceipt,
        verified: &Verified,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let receipt = &signed.receipt;
        report.begin("supplier");
        if let (Some(supplier), Some(market)) = (&self.supplier, &self.market) {
            if self.board_index.is_none() {
                return Err(Unproved::OtherBoard.into());
            }
            let (named, mint) = (Pubkey::new_from_array(receipt.mint), market.payment_mint);
            if named != mint {
                return Err(Unproved::OtherMint { named, mint }.into());
            }
            report.pass(format!("the log is that of supplier {}", supplier.account.authority));
        } else {
            report
                .pass(format!("the log is that of account {}, a supplier that has left", verified.supplier));
        }
        report.begin("lease");
        if let Some(lease) = &self.lease {
            let named = Pubkey::new_from_array(receipt.buyer);
            if named != lease.buyer {
                return Err(Unproved::OtherBuyer { named, buyer: lease.buyer }.into());
            }
            report.pass(format!("lease {} was opened by {}, who is billed", lease.serial, lease.buyer));
        } else {
            report.pass(format!(
                "the log holds it under lease {}, whose account is closed: its buyer is as the machine says",
                receipt.lease
            ));
        }
        Ok(())
    }
}

async fn decimals(fetch: &Fetch<'_>, mint: Pubkey) -> Result<Option<u8>, FetchError> {
    match fetch.mint(mint).await {
        Ok(mint) => Ok(Some(mint.decimals)),
        // A machine may have signed anything.
        Err(FetchError::Missing { .. } | FetchError::Token { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
