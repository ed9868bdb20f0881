//! What goes wrong in the middle of the leases: machines go dark, a supplier takes its machines away.

use std::collections::HashSet;

use anyhow::{Context, Result, bail};
use leasehold_client::listing;
use leasehold_node::Node;
use rand::{
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::{
    fleet::Fleet,
    leases::Opened,
    stage::{Stage, by},
};

/// A machine, by board and slot.
pub type Place = (Pubkey, u16);

/// What is to go wrong.
pub struct Trouble {
    pub dark: Vec<Place>,
    /// The account of the supplier that leaves, and its machines in the large lease.
    supplier: Pubkey,
    pub forfeited: HashSet<Place>,
}

impl Trouble {
    /// Chooses `down` percent of the leased machines to go dark, and a supplier to leave.
    pub async fn choose(stage: &Stage, random: &mut StdRng, leases: &[Opened], down: u8) -> Result<Self> {
        let mut large = Vec::new();
        let mut all = Vec::new();
        for board in stage.boards().await? {
            let view = board.view()?;
            for lease in leases.iter().filter(|lease| lease.board.address == board.address) {
                for (index, slot) in view.leased(lease.serial) {
                    let machine = ((board.address, index), slot.supplier);
                    all.push(machine);
                    if lease.is_cluster {
                        large.push(machine);
                    }
                }
            }
        }
        let (_, supplier) = *large.choose(random).context("the large lease has no machines")?;
        let forfeited: HashSet<_> =
            large.iter().filter(|(_, owner)| *owner == supplier).map(|(place, _)| *place).collect();
        let mut dark: Vec<_> =
            all.iter().map(|(place, _)| *place).filter(|place| !forfeited.contains(place)).collect();
        dark.shuffle(random);
        dark.truncate((all.len() * usize::from(down)).div_ceil(100));
        Ok(Self { dark, supplier, forfeited })
    }

    /// Lets it happen.
    pub async fn strike(&self, stage: &Stage, fleet: &Fleet, node: &Node) -> Result<()> {
        for (board, slot) in &self.dark {
            if !node.pause_machine(board, u32::from(*slot)) {
                bail!("the node does not know the machine of slot {slot}");
            }
        }
        stage.progress.say(&format!("{} leased machines go dark", self.dark.len()));

        let supplier =
            fleet.supplier(stage, &self.supplier).context("nobody knows the supplier that leaves")?;
        let key = supplier.wallet.pubkey();
        for fetched in stage.boards().await? {
            let board = fetched.board_ref(&stage.market)?;
            let here = self.forfeited.iter().filter(|(address, _)| *address == board.address);
            let mut slots: Vec<_> = here.map(|(_, slot)| *slot).collect();
            slots.sort_unstable();
            for forfeit in listing::forfeit(&board, key, &slots) {
                stage.send("forfeit_machines", &by(&supplier.wallet, vec![forfeit])).await?;
            }
        }
        stage.progress.say(&format!("a supplier forfeits its {} leased machines", self.forfeited.len()));
        Ok(())
    }
}
