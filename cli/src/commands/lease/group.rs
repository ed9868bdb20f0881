//! Groups: leases of one owner that share a number.

use leasehold::state::Lease;
use solana_pubkey::Pubkey;

use super::leased::Leased;
use leasehold_operate::{
    chain::{Chain, MarketId},
    failure::Failure,
    text::print_stderr,
};

/// A group of leases.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub number: u64,
    pub owner: Pubkey,
    /// Another wallet whose leases count: it opened them for the owner.
    pub buyer: Option<Pubkey>,
}

/// A lease's membership in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Yes,
    No,
    /// It has the number, but somebody transferred it to the owner unasked: its machines may be that stranger's own.
    Given,
}

impl Group {
    fn part(&self, lease: &Lease) -> Part {
        match lease.owner == self.owner && lease.group == Some(self.number) {
            true if lease.buyer == self.owner || Some(lease.buyer) == self.buyer => Part::Yes,
            true => Part::Given,
            false => Part::No,
        }
    }
}

/// The leases of a group, by board and serial. There is at least one.
pub async fn load_group(chain: &Chain, market: MarketId, group: Group) -> Result<Vec<Leased>, Failure> {
    let fetch = chain.fetch();
    let market = chain.market(market.0).await?;
    let mut found = Vec::new();
    for index in 0..market.account.next_board {
        let board = market.board(index);
        let leases = fetch.leases(&board.address).await?;
        for lease in leases.iter().filter(|lease| group.part(&lease.account) == Part::Given) {
            print_stderr(format!("Left out: {}", given(index, &lease.account, lease.address)));
        }
        let ours = leases.into_iter().filter(|lease| group.part(&lease.account) == Part::Yes);
        let mut ours = ours.peekable();
        if ours.peek().is_none() {
            continue;
        }
        let data = fetch.board(board.address).await?;
        found.extend(ours.map(|lease| Leased {
            address: lease.address,
            lease: lease.account,
            board,
            data: data.clone(),
            market: market.clone(),
        }));
    }
    if found.is_empty() {
        let (id, Group { number, owner, .. }) = (market.account.id, group);
        let error =
            format!("{owner} has no lease of group {number} on market {id}: see `leasehold lease list`");
        return Err(Failure::Input(error));
    }
    Ok(found)
}

/// Why a lease with the group's number is left out.
fn given(board: u32, lease: &Lease, address: Pubkey) -> String {
    format!(
        "lease {board}:{} was opened by {buyer} and transferred to this wallet: name it by its address, {address}, \
         or pass --buyer {buyer} if that wallet is yours",
        lease.serial,
        buyer = lease.buyer
    )
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::wallet;

    use super::{super::leased::tests::sample, *};

    #[test]
    fn a_lease_that_a_stranger_opened_and_gave_away_is_no_part_of_a_group() {
        let (owner, stranger) = (wallet(9), wallet(77));
        let group = Group { number: 3, owner, buyer: None };
        let lease = Lease { group: Some(3), buyer: owner, ..sample(1).lease };
        assert_eq!(group.part(&lease), Part::Yes);
        let given = Lease { buyer: stranger, ..lease.clone() };
        assert_eq!(group.part(&given), Part::Given);
        assert_eq!(Group { buyer: Some(stranger), ..group }.part(&given), Part::Yes);
        assert_eq!(Group { buyer: Some(stranger), ..group }.part(&lease), Part::Yes, "as well");
        for other in [
            Lease { owner: stranger, ..lease.clone() },
            Lease { group: Some(4), ..lease.clone() },
            Lease { group: None, ..lease },
        ] {
            assert_eq!(group.part(&other), Part::No);
        }
        let told = super::given(0, &given, stranger);
        assert!(told.starts_with(&format!("lease 0:1 was opened by {stranger} and transferred")), "{told}");
    }
}
