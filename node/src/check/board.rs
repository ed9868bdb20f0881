//! The machines' slots, as the board has them.

use super::report::some_of;
use super::{Report, Subject};
use crate::machines::Machine;
use leasehold::state::{Market, Slot, SlotState};
use leasehold_client::board::BoardView;
use leasehold_client::fetch::{Fetch, FetchError};
use leasehold_client::network::is_public;
use leasehold_client::probe::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv6Addr, SocketAddr};

/// Slots that are the configured machines'.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Where keepers ask, by board and slot.
    pub endpoints: HashMap<(Pubkey, u32), SocketAddr>,
    /// Number of GPUs and name of the class, for each machine.
    pub gpus: Vec<(u8, String)>,
    /// Names of the market's classes.
    pub classes: Vec<String>,
}

/// Compares the configuration with the boards.
pub(super) async fn check(subject: &Subject, rpc: &RpcClient, report: &mut Report) -> Listed {
    let (mut listed, fetch) = (Listed::default(), Fetch::new(rpc));
    for board in subject.machines.iter().map(|machine| machine.board).collect::<BTreeSet<_>>() {
        let machines: Vec<_> = subject.machines.iter().filter(|machine| machine.board == board).collect();
        if let Err(error) = check_board(subject, &fetch, board, &machines, &mut listed, report).await {
            report.error(
                "board",
                format!("cannot read board {board} ({error})"),
                "check `board` in the configuration, and that the RPC node is of its cluster",
            );
        }
    }
    let private: Vec<_> = listed.endpoints.iter().filter(|(_, endpoint)| !is_public(endpoint.ip())).collect();
    let private: Vec<_> =
        private.iter().map(|((_, slot), endpoint)| format!("slot {slot} at {endpoint}")).collect();
    if !private.is_empty() {
        report.warning(
            "endpoint",
            format!("listed at addresses that are not public: {}", some_of(&private)),
            "list the public address with `leasehold machine move`, unless all keepers are in that network",
        );
    }
    listed
}

async fn check_board(
    subject: &Subject,
    fetch: &Fetch<'_>,
    board: Pubkey,
    machines: &[&Machine],
    listed: &mut Listed,
    report: &mut Report,
) -> Result<(), FetchError> {
    let fetched = fetch.board(board).await?;
    let view = fetched.view()?;
    let market = fetch.market(view.header.market).await?.account;
    listed.classes = classes(&market);
    let (mut wrong, mut right) = (Vec::new(), 0usize);
    for machine in machines {
        match misfit(machine, &view, subject.supplier.as_ref()) {
            Err(misfit) => wrong.push(format!("slot {}: {misfit}", machine.slot)),
            Ok(slot) => {
                right = right.saturating_add(1);
                let ip = Ipv6Addr::from(slot.endpoint.ip).to_canonical();
                let endpoint = SocketAddr::new(ip, slot.endpoint.port());
                listed.endpoints.insert((board, machine.slot), endpoint);
                let class = listed.classes.get(usize::from(slot.traits.class)).cloned();
                listed.gpus.push((slot.traits.gpus, class.unwrap_or_default()));
            }
        }
    }
    if !wrong.is_empty() {
        report.error(
            "board",
            format!("board {board} differs from the configuration: {}", some_of(&wrong)),
            "correct the configuration: `leasehold machine show --node-config` prints it",
        );
    }
    if right > 0 {
        report.ok("board", format!("{right} machines are listed on board {board} as configured"));
    }
    Ok(())
}

/// The machine's slot, or in what the two differ.
fn misfit<'a>(
    machine: &Machine,
    view: &BoardView<'a>,
    supplier: Option<&Pubkey>,
) -> Result<&'a Slot, String> {
    let header = view.header;
    let slot = u16::try_from(machine.slot).ok().and_then(|slot| view.slot(slot));
    let Some(slot) = slot else { return Err(format!("the board has {} slots", view.slots.len())) };
    let own = Pubkey::new_from_array(machine.key.verifying_key().to_bytes());
    let theirs = Pubkey::new_from_array(slot.node_key);
    let differs = |field: &str, own: &dyn std::fmt::Display, theirs: &dyn std::fmt::Display| {
        Err(format!("{field} is {own} in the configuration and {theirs} on the board"))
    };
    if slot.is(SlotState::Vacant) {
        return Err("the slot is vacant: list the machine, or try it before with --keypair".to_owned());
    }
    if slot.generation != machine.generation {
        return differs("generation", &machine.generation, &slot.generation);
    }
    if own != theirs {
        return differs("the key", &own, &theirs);
    }
    if header.market != machine.market {
        return differs("market", &machine.market, &header.market);
    }
    if machine.round_secs.is_some_and(|secs| secs != header.round_secs) {
        return differs("round_secs", &machine.round_secs.unwrap_or_default(), &header.round_secs);
    }
    match supplier.filter(|supplier| **supplier != slot.supplier) {
        Some(supplier) => differs("supplier", supplier, &slot.supplier),
        None => Ok(slot),
    }
}

fn classes(market: &Market) -> Vec<String> {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    market.params.classes.iter().map(|class| name(&class.name)).collect()
}
