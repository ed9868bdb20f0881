//! The faults in mid-lease: machines stop answering, a supplier forfeits its machines.

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
    leases::{Course, Opened},
    stage::{Stage, by},
};

/// A machine, by board and slot.
pub type Place = (Pubkey, u16);

/// The machines that will fail.
pub struct Faults {
    /// Machines that stop answering.
    pub dark: Vec<Place>,
    /// Account of the supplier that forfeits.
    supplier: Pubkey,
    /// Its machines in the large lease.
    pub forfeited: HashSet<Place>,
}

impl Faults {
    /// Chooses `down` percent of the machines of the leases that run to their ends, and a supplier.
    pub async fn choose(stage: &Stage, random: &mut StdRng, leases: &[Opened], down: u8) -> Result<Self> {
        let mut large = Vec::new();
        let mut all = Vec::new();
        for board in stage.boards().await? {
            let view = board.view()?;
            for lease in leases.iter().filter(|lease| lease.board.address == board.address) {
                for (index, slot) in view.leased(lease.serial) {
                    let machine = ((board.address, index), slot.supplier);
                    match lease.course {
                        Course::Large => {
                            large.push(machine);
                            all.push(machine);
                        }
                        Course::Small => all.push(machine),
                        Course::Cancelled | Course::Metered => {}
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

    /// Stops the machines, and forfeits those of the supplier.
    pub async fn inject(&self, stage: &Stage, fleet: &Fleet, node: &Node) -> Result<()> {
        for (board, slot) in &self.dark {
            if !node.pause_machine(board, u32::from(*slot)) {
                bail!("the node does not know the machine of slot {slot}");
            }
        }
        stage.progress.print_line(&format!("{} leased machines stop answering", self.dark.len()));

        let supplier =
            fleet.supplier(stage, &self.supplier).context("the supplier that forfeits is unknown")?;
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
        stage
            .progress
            .print_line(&format!("a supplier forfeits its {} leased machines", self.forfeited.len()));
        Ok(())
    }
}
