//! Leases of one machine that are paid by use: `leasehold lease open --metered`, and the commands for such leases only.

mod change;
mod draft;
mod spender;
mod token;
mod voucher;

use leasehold::{instructions::OpenLeaseArgs, state::Lease};
use leasehold_client::{BoardRef, board::BoardView, instruction, quote::Quote, search::MeteredPick};
use leasehold_operate::{
    act::{Executed, execute_after},
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    plan::Plan,
    table::some_slots,
    text::print_stderr,
};
use serde::Serialize;
use solana_pubkey::Pubkey;

pub use self::{
    change::{TopUpArgs, notice, top_up},
    token::{TokenArgs, run as token},
    voucher::{VoucherArgs, run as voucher},
};
use super::{
    OpenArgs,
    access::who,
    keys::{self, Offered},
    name::{Name, require_unused},
};
use crate::{
    commands::quote::metered::{MeteredOffer, advised, find, read},
    criteria,
};

pub async fn open(chain: &Chain, args: OpenArgs) -> Result<(), Failure> {
    let spender = match args.spender {
        Some(spender) if !spender.is_on_curve() => {
            let problem = format!("{spender} is not an Ed25519 key, so it can't sign vouchers");
            return Err(Failure::Input(format!("{problem}: pass a public key with --spender")));
        }
        Some(spender) => spender,
        None => chain.wallet()?,
    };
    let (market, boards, now) = read(chain, &args.request).await?;
    let found = find(&market, &boards, now, &args.request, spender).map_err(advised)?;
    let name = Name::new(&args);
    if args.nonce.is_some() {
        let board = std::iter::once(found.board.header.index);
        require_unused(chain, &market, board, chain.wallet()?, name.nonce).await?;
    }
    let lease = market.board(found.board.header.index).lease(&chain.wallet()?, name.nonce);
    let keys = [Offered::new(&args.access.home.folder()?, lease, 0, &args.access.choice(true))?];
    let [key] = &keys;
    let plan = chain.on_market(plan(&market, &found, now, chain.wallet()?, name, key)?);
    let done = execute_after(chain, &plan, || keys::save_all(&keys)).await;
    keys::settle(&keys, &done);
    let Executed { mut outcome, failure } = done?;
    let opened = failure.is_none() && !chain.settings.dry_run;
    if opened {
        let board = market.board(found.board.header.index);
        match got(chain, &board, board.lease(&chain.wallet()?, name.nonce), &found).await {
            Ok(machine) => {
                print_stderr(machine.text());
                outcome.detail("machine", &machine);
            }
            // The lease is open anyway.
            Err(error) => print_stderr(format!(
                "cannot read which machine the lease got: {error}: see `leasehold lease show`"
            )),
        }
    }
    chain.settings.output.end(&outcome, failure)
}

/// The machine that a lease got.
#[derive(Debug, Serialize)]
struct Got {
    /// Numbers of the board and of the lease.
    board: u32,
    serial: u32,
    slot: u16,
    node_key: String,
    /// It is not the quoted one.
    differs: bool,
}

/// Reads the lease's machine once it is opened: the one that was quoted may have been taken meanwhile.
async fn got(
    chain: &Chain,
    board: &BoardRef,
    address: Pubkey,
    found: &MeteredPick<'_>,
) -> Result<Got, Failure> {
    // The node may not show yet what it confirmed.
    let lease = chain.lease(address).await?;
    let data = chain.fetch().board(board.address).await?;
    let missing = || Failure::NotThere { what: "the machine of the lease".to_owned(), address };
    Got::new(&data.view()?, lease.serial, &found.quote).ok_or_else(missing)
}

impl Got {
    fn new(view: &BoardView, serial: u32, quote: &Quote) -> Option<Self> {
        let (slot, machine) = view.leased(serial).next()?;
        let node_key = Pubkey::new_from_array(machine.node_key).to_string();
        let board = view.header.index;
        Some(Got { board, serial, slot, node_key, differs: quote.slots != [slot] })
    }

    fn text(&self) -> String {
        let Got { board, serial, slot, node_key, differs } = self;
        let warning = if *differs { ". It is NOT the quoted one: see `leasehold lease show`" } else { "" };
        format!("Lease {board}:{serial} has the machine of slot {slot}, key {node_key}{warning}")
    }
}

/// Opens the lease that was quoted.
fn plan(
    market: &MarketView,
    found: &MeteredPick,
    now: i64,
    buyer: Pubkey,
    Name { nonce, group }: Name,
    key: &Offered,
) -> Result<Plan, Failure> {
    let quote = &found.quote;
    let offer = MeteredOffer::new(market, found, now)?;
    let board = market.board(offer.board);
    let wallet = market.reference.payment_account(&buyer);
    let args = quote.args(nonce, buyer, quote.deposit, group);
    let args = OpenLeaseArgs { access: key.fingerprint(), ..args };
    let open = instruction::open_lease(&board, buyer, wallet, args);
    let spender = quote.meter.map(|meter| meter.spender).unwrap_or_default();
    let whose = if spender == buyer { " (this wallet's key)" } else { "" };
    let deposit: Money = offer.deposit;
    let least = offer.least_deposit.token.number(offer.least_deposit.amount);
    let plan = Plan::new(format!("Open a metered lease on board {}", board.index))
        .fact("Lease:", "lease", board.lease(&buyer, nonce))
        .fact_as("Nonce:", "nonce", nonce, nonce.to_string())
        .fact_as(
            "Machine:",
            "slots",
            format!("{}, or another that fits", offer.machine()),
            quote.slots.clone(),
        )
        .fact_as("Let in:", "access", who(key), keys::shown(key.fingerprint()));
    let plan = criteria::shown(plan, market, &quote.criteria);
    let plan = match &quote.avoid[..] {
        [] => plan,
        avoid => plan.fact_as("Not taken:", "avoid", some_slots(avoid), avoid.to_vec()),
    };
    let plan = plan
        .fact_as(
            "Rounds:",
            "rounds",
            format!("{} to {}", quote.from, quote.until.saturating_sub(1)),
            quote.rounds,
        )
        .fact("From:", "start", &offer.start)
        .fact("To:", "end", &offer.end)
        .fact_as("Spender:", "spender", format!("{spender}{whose}"), spender.to_string())
        .money_as("Deposit now:", "deposit", format!("{deposit}, {least} at least"), deposit)
        .money_as(
            "Refundable:",
            "refundable",
            format!("{} if ended in its first round, less what vouchers take", offer.refundable),
            offer.refundable,
        )
        .money_as("Standby:", "standby", offer.standby(), offer.standby)
        .money_as("Vouchers:", "voucher_limit", offer.vouchers(), offer.voucher_limit);
    let plan = offer.rules().into_iter().fold(plan, |plan, (label, text)| plan.note(label, text));
    Ok(plan.spend("deposit", deposit, wallet).creates(Lease::len(0)).step("open lease", vec![open]))
}

#[cfg(test)]
pub mod tests;
