//! `leasehold machine show`.

use std::{fmt, net::SocketAddr};

use clap::Args;
use leasehold::state::{Slot, SlotState, Traits};
use leasehold_client::{board::BoardView, fetch::Fetched, search::Country};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    format::Format,
    market::MarketView,
    output::write,
    progress::with_spinner,
    table::Table,
    time::{rfc3339, start_of},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::{OwnArgs, endpoint::address, plan::BOUND};
use crate::ports::{all_answer, yes_or_no};

#[derive(Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub machines: OwnArgs,
    /// Print the configuration file of the machines' node, in TOML. Replace FILE by the path of each machine's keypair.
    #[arg(long)]
    pub node_config: bool,
    /// Try to connect to each machine, and say whether its port answers: it does while it has a tenant.
    #[arg(long, conflicts_with = "node_config")]
    pub check_port: bool,
}

/// Machines of a supplier.
#[derive(Debug, Serialize)]
pub struct Machines {
    pub supplier: String,
    pub market: String,
    pub machines: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub struct Line {
    pub board: u32,
    pub board_address: String,
    /// Length of the board's rounds in seconds.
    pub round_secs: u32,
    pub slot: u16,
    /// How many machines the slot held before: answers to keepers name it.
    pub generation: u32,
    pub state: &'static str,
    /// Serial of the running lease.
    pub lease: Option<u32>,
    pub node_key: String,
    pub class: String,
    pub gpus: u8,
    pub speed: u8,
    pub country: String,
    pub region: u8,
    /// True if it allows metered leases.
    pub metered: bool,
    /// Address and UDP port that keepers probe.
    pub endpoint: SocketAddr,
    /// Per GPU and hour, and per hour of the whole machine.
    pub price: Money,
    pub hourly: Money,
    pub score: u16,
    /// First round that it isn't committed for, and when that begins.
    pub committed_until: u32,
    pub committed_to: String,
    /// True if it is bound until then: it can't be withheld or retired, nor its price be raised.
    pub bound: bool,
    /// Number of its description among its supplier's profiles.
    pub profile: Option<u8>,
    /// Minutes after a lease until it can be leased again.
    pub turnaround: u8,
    /// Open demands for its receipts, which hold its bond.
    pub demands: u16,
    pub bond: Money,
    /// Earned and not claimed.
    pub earnings: Money,
    /// Rounds since it was listed, by verdict.
    pub up: u32,
    pub down: u32,
    pub unseen: u32,
    /// Verdicts of the rounds that the board remembers, the oldest first: # up, x down, o unseen, . void.
    pub history: String,
    /// True if its port accepts connections. `None` if that was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
}

pub async fn run(chain: &Chain, args: ShowArgs) -> Result<(), Failure> {
    let ShowArgs { machines: OwnArgs { market, supplier, board }, node_config, check_port } = args;
    if node_config && chain.settings.output != Format::Display {
        return Err(Failure::Input("--node-config prints TOML: leave out --output".to_owned()));
    }
    let (wallet, view) = (chain.wallet_or(supplier)?, chain.market(market.id.0).await?);
    let boards = chain.boards(&market.id.0, board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let mut shown = Machines::new(&view, &views, &wallet);
    if check_port {
        with_spinner("Trying the machines' ports", shown.try_ports()).await;
    }
    if node_config {
        shown.require_some()?;
        write(shown.node_config().as_bytes())
    } else {
        chain.settings.output.print(&shown)
    }
}

impl Machines {
    pub fn new(market: &MarketView, boards: &[BoardView], wallet: &Pubkey) -> Self {
        let supplier = market.reference.supplier(wallet);
        let machines = boards.iter().flat_map(|board| {
            board.of_supplier(supplier).map(move |(index, slot)| Line::new(market, board, index, slot))
        });
        Machines {
            supplier: wallet.to_string(),
            market: market.reference.address.to_string(),
            machines: machines.collect(),
        }
    }

    /// Tries to connect to each machine.
    pub async fn try_ports(&mut self) {
        let endpoints: Vec<_> = self.machines.iter().map(|line| line.endpoint).collect();
        for (line, answer) in self.machines.iter_mut().zip(all_answer(&endpoints).await) {
            line.answers = Some(answer);
        }
    }

    /// True if [`Self::try_ports`] was called.
    pub fn was_tried(&self) -> bool {
        self.machines.iter().any(|line| line.answers.is_some())
    }

    /// Refuses a wallet without machines.
    pub fn require_some(&self) -> Result<(), Failure> {
        if self.machines.is_empty() {
            return Err(Failure::Input(format!(
                "{} has no machines there: list some with `leasehold machine list`, or name another wallet with \
                 --supplier, or another market or board",
                self.supplier
            )));
        }
        Ok(())
    }
}

/// Name of a machine's state.
fn state(slot: &Slot) -> &'static str {
    match slot.state {
        state if state == SlotState::Idle as u8 => "idle",
        state if state == SlotState::Leased as u8 => "leased",
        state if state == SlotState::Suspended as u8 => "suspended",
        state if state == SlotState::Barred as u8 => "barred",
        _ => "vacant",
    }
}

impl Line {
    fn new(market: &MarketView, board: &BoardView, index: u16, slot: &Slot) -> Self {
        let own = board.slot(index);
        Line {
            board: board.header.index,
            board_address: market.board(board.header.index).address.to_string(),
            round_secs: board.header.round_secs,
            slot: index,
            generation: slot.generation,
            state: state(slot),
            lease: (slot.lease != 0).then_some(slot.lease),
            node_key: Pubkey::new_from_array(slot.node_key).to_string(),
            class: market.class_name(slot.traits.class),
            gpus: slot.traits.gpus,
            speed: slot.traits.speed,
            country: Country(slot.traits.country).to_string(),
            region: slot.traits.region,
            metered: slot.traits.flags & Traits::METERED != 0,
            endpoint: address(&slot.endpoint),
            price: market.payment.money(slot.price),
            hourly: market.payment.money(slot.hourly()),
            score: slot.score,
            committed_until: slot.committed_until,
            committed_to: rfc3339(start_of(board.header, slot.committed_until)),
            bound: slot.is_bound(board.header.next_round),
            profile: (slot.profile != Slot::NO_PROFILE).then_some(slot.profile),
            turnaround: slot.turnaround,
            demands: slot.demands,
            bond: market.stake.money(slot.bond),
            earnings: market.payment.money(slot.accrued),
            up: slot.up,
            down: slot.down,
            unseen: slot.unseen,
            history: own.map(|slot| board.uptime_strip(slot)).unwrap_or_default(),
            answers: None,
        }
    }
}

impl fmt::Display for Machines {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.machines.is_empty() {
            return write!(f, "{} has no machines on this market.", self.supplier);
        }
        let was_tried = self.was_tried();
        let mut heads = vec![">BOARD", ">SLOT", ">GEN", "STATE", ">LEASE"];
        heads.extend(was_tried.then_some("ANSWERS"));
        heads.extend([
            "CLASS",
            ">GPUS",
            ">PRICE/GPU/H",
            ">BOND",
            ">EARNED",
            ">UP",
            ">DOWN",
            ">UNSEEN",
            "COMMITTED UNTIL",
            "NODE KEY",
        ]);
        let mut table = Table::new(&heads);
        let number = |money: &Money| money.token.number(money.amount);
        for line in &self.machines {
            let mut row = vec![
                line.board.to_string(),
                line.slot.to_string(),
                line.generation.to_string(),
                line.state.to_owned(),
                line.lease.map_or_else(|| "-".to_owned(), |lease| lease.to_string()),
            ];
            row.extend(was_tried.then(|| yes_or_no(line.answers).to_owned()));
            row.extend([
                line.class.clone(),
                line.gpus.to_string(),
                number(&line.price),
                number(&line.bond),
                number(&line.earnings),
                line.up.to_string(),
                line.down.to_string(),
                line.unseen.to_string(),
                line.committed_to.clone(),
                line.node_key.clone(),
            ]);
            table.row(row);
        }
        table.fmt(f)?;
        for line in self.machines.iter().filter(|line| line.bound) {
            write!(
                f,
                "\nSlot {} of board {} is bound until {}: {BOUND}. It can't be withheld or retired, nor its price be raised.",
                line.slot, line.board, line.committed_to
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use leasehold_client::sample::{change, snapshot, wallet};
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn machines_stand_in_a_table_with_what_they_earned() {
        let data = snapshot().boards.remove(0).data;
        let shown = Machines::new(&view(), &[data.view().unwrap()], &wallet(0));
        let expected = "\
BOARD  SLOT  GEN  STATE   LEASE  CLASS     GPUS  PRICE/GPU/H  BOND   EARNED  UP  DOWN  UNSEEN  COMMITTED UNTIL       NODE KEY
    0     0    0  leased      1  RTX 4090     1      0.00036     1  0.00027   8     2       0  1970-01-14T21:20:00Z  KEY
    0     1    0  leased      1  RTX 4090     1      0.00036     1  0.00027  10     0       0  1970-01-14T21:20:00Z  KEY";
        let expected = expected.replace("  KEY\n", &format!("  {}\n", Pubkey::default()));
        let expected = expected.replace("  KEY", &format!("  {}", Pubkey::default()));
        assert_eq!(shown.to_string(), expected);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["machines"][0]["bond"]["amount"], &json["machines"][1]["lease"]),
            (&"100".into(), &1.into())
        );
        let mut bound = data.clone();
        change(&mut bound, |_, slots| slots[0].bind(2_000));
        let shown = Machines::new(&view(), &[bound.view().unwrap()], &wallet(0));
        let expected = "\nSlot 0 of board 0 is bound until 1970-01-14T21:20:00Z: its last owner left early";
        assert!(shown.to_string().contains(expected), "{shown}");
        assert_eq!(serde_json::to_value(&shown).unwrap()["machines"][0]["bound"], true);
        let none = Machines::new(&view(), &[], &wallet(5));
        assert!(none.to_string().ends_with("has no machines on this market."));
        let refused = none.require_some().unwrap_err();
        assert!(refused.code() == 2 && refused.to_string().contains("`leasehold machine list`"), "{refused}");
    }

    /// Supplier 0's machines, of which the second is in a slot that was used before.
    pub fn reused() -> Machines {
        let mut data = snapshot().boards.remove(0).data;
        change(&mut data, |_, slots| {
            slots[1].generation = 2;
            slots[1].node_key = [77; 32];
            slots[1].traits.flags = Traits::METERED;
            slots[1].endpoint.ip = "::ffff:203.0.113.7".parse::<std::net::Ipv6Addr>().unwrap().octets();
            slots[1].endpoint.port = 7_000u16.to_le_bytes();
        });
        Machines::new(&view(), &[data.view().unwrap()], &wallet(0))
    }

    #[test]
    fn a_machine_shows_its_listing_and_its_nodes_configuration() {
        let json = serde_json::to_value(reused()).unwrap();
        let [first, second] = [0, 1].map(|place| &json["machines"][place]);
        assert_eq!((&first["generation"], &second["generation"]), (&0.into(), &2.into()));
        assert_eq!(second["board_address"], view().board(0).address.to_string());
        assert_eq!((&second["endpoint"], &second["region"]), (&"203.0.113.7:7000".into(), &1.into()));
        assert_eq!((&first["metered"], &second["metered"]), (&false.into(), &true.into()));
        let text = reused().to_string();
        let key = Pubkey::new_from_array([77; 32]).to_string();
        let last = text.lines().last().unwrap();
        assert!(last.starts_with("    0     1    2  leased") && last.ends_with(&key), "{text}");
    }
}
