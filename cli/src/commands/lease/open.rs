//! `leasehold lease open`.

use leasehold::{instructions::OpenLeaseArgs, state::Lease};
use leasehold_client::{
    board::BoardView,
    instruction,
    search::{Allocation, Part},
};
use leasehold_operate::{
    act::{Executed, execute_after},
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    plan::Plan,
    table::{count, some_slots},
    text::print_stderr,
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::{
    OpenArgs,
    access::who,
    keys::{self, Offered},
    name::{Name, require_unused},
    open_group,
};
use crate::{
    boards::allocate,
    commands::quote::{Offer, advised},
    criteria, kinds,
};

pub async fn run(chain: &Chain, args: OpenArgs) -> Result<(), Failure> {
    if args.request.meter.metered {
        return super::meter::open(chain, args).await;
    }
    let market = chain.market(args.request.market.id.0).await?;
    let (now, buyer) = (chain.fetch().now().await?, chain.wallet()?);
    let request = args.request.request(&market)?;
    let (_, found) = allocate(chain, &market, args.request.board, now, &request).await?;
    let allocation = found.map_err(advised)?;
    let most = args.max_deposit.as_deref().map(|most| market.payment.parse(most)).transpose()?;
    let name = Name::new(&args);
    if args.nonce.is_some() {
        let boards = allocation.parts.iter().map(|part| part.board);
        require_unused(chain, &market, boards, buyer, name.nonce).await?;
    }
    let (home, choice) = (args.access.home.folder()?, args.access.choice(false));
    let lease = |part: &Part| market.board(part.board).lease(&buyer, name.nonce);
    let keys = allocation.parts.iter().map(|part| Offered::new(&home, lease(part), 0, &choice));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let plan = chain.on_market(plan(&market, &allocation, buyer, most, name, &keys)?);
    let done = execute_after(chain, &plan, || keys::save_all(&keys)).await;
    keys::settle(&keys, &done);
    let Executed { mut outcome, failure } = done?;
    if failure.is_none() && !chain.settings.dry_run {
        match got(chain, &market, &allocation, name.nonce).await {
            Ok(leases) => {
                leases.iter().for_each(|got| print_stderr(got.text()));
                if let Some(got) =
                    leases.first().filter(|_| keys.iter().any(|key| key.fingerprint().is_some()))
                {
                    print_stderr(got.advice());
                }
                outcome.detail("opened", &leases);
            }
            // They are open anyway.
            Err(error) => print_stderr(format!(
                "cannot read which machines were leased: {error}: see `leasehold lease list`"
            )),
        }
    }
    chain.settings.output.end(&outcome, failure)
}

/// A lease that was opened, and its machines.
#[derive(Debug, Serialize)]
struct Got {
    lease: String,
    board: u32,
    serial: u32,
    slots: Vec<u16>,
    /// They are not the quoted ones.
    differs: bool,
}

/// Reads the leases once they are opened: machines that were quoted may have been taken meanwhile.
async fn got(
    chain: &Chain,
    market: &MarketView,
    allocation: &Allocation,
    nonce: u64,
) -> Result<Vec<Got>, Failure> {
    let (buyer, mut leases) = (chain.wallet()?, Vec::new());
    for part in &allocation.parts {
        let board = market.board(part.board);
        let address = board.lease(&buyer, nonce);
        let serial = chain.lease(address).await?.serial;
        // The node may not show yet what it confirmed.
        let data = chain.fetch().board(board.address).await?;
        let got = Got::new(&data.view()?, address, serial, part);
        leases.push(got.ok_or(Failure::NotThere { what: "the lease's machines".to_owned(), address })?);
    }
    Ok(leases)
}

impl Got {
    /// `None` if the board does not have its machines.
    fn new(view: &BoardView, lease: Pubkey, serial: u32, part: &Part) -> Option<Self> {
        let slots: Vec<_> = view.leased(serial).map(|(slot, _)| slot).collect();
        let mut quoted = part.quote.slots.clone();
        quoted.sort_unstable();
        let differs = slots != quoted;
        (!slots.is_empty()).then(|| Got {
            lease: lease.to_string(),
            board: part.board,
            serial,
            slots,
            differs,
        })
    }

    fn text(&self) -> String {
        let Got { board, serial, slots, differs, .. } = self;
        let warning = if *differs { ", which are NOT the quoted ones" } else { "" };
        let machines = count(slots.len(), "machine");
        format!("Lease {board}:{serial} has {machines} ({}){warning}", some_slots(slots))
    }

    /// How to log in.
    fn advice(&self) -> String {
        let Got { board, serial, slots, .. } = self;
        let slot = match slots[..] {
            [slot, _, ..] => format!(" {slot}"),
            _ => String::new(),
        };
        format!("Log in once it has begun: leasehold lease ssh {board}:{serial}{slot}")
    }
}

/// Opens the quoted leases, or others that cost at most `most`.
fn plan(
    market: &MarketView,
    allocation: &Allocation,
    buyer: Pubkey,
    most: Option<Money>,
    name: Name,
    keys: &[Offered],
) -> Result<Plan, Failure> {
    let most = most.unwrap_or(market.payment.money(allocation.deposit));
    if most.amount < allocation.deposit {
        let total = market.payment.number(allocation.deposit);
        let most = market.payment.number(most.amount);
        let what = if allocation.parts.len() == 1 { "the lease costs" } else { "the leases cost" };
        return Err(Failure::Refused(format!(
            "{what} {total} now, more than --max-deposit {most}: raise --max-deposit"
        )));
    }
    match &allocation.parts[..] {
        [part] => plan_one(market, part, buyer, most, name, keys),
        _ => open_group::plan(market, allocation, buyer, most, name, keys),
    }
}

fn plan_one(
    market: &MarketView,
    part: &Part,
    buyer: Pubkey,
    most: Money,
    Name { nonce, group }: Name,
    keys: &[Offered],
) -> Result<Plan, Failure> {
    let quote = &part.quote;
    let offer = Offer::new(market, part)?;
    let board = market.board(part.board);
    let lease = board.lease(&buyer, nonce);
    let wallet = market.reference.payment_account(&buyer);
    let args = quote.args(nonce, buyer, most.amount, group);
    let args = OpenLeaseArgs { access: keys::named(keys, &lease), ..args };
    let open = instruction::open_lease(&board, buyer, wallet, args);
    let rounds = format!("{} to {}", quote.from, quote.until.saturating_sub(1));
    let mut plan = Plan::new(format!("Open a lease on board {}", part.board))
        .item("Lease:", "leases", lease, open_group::opened(lease, nonce, &offer, keys))
        .note("Nonce:", nonce)
        .note("GPUs:", offer.gpus)
        .note("Machines:", format!("{} ({})", quote.slots.len(), some_slots(&quote.slots)));
    for (label, text) in kinds::lines(&kinds::named(market, &part.kinds)) {
        plan = plan.note(label, text);
    }
    if let Some(group) = group {
        plan = plan.fact("Group:", "group", group);
    }
    plan = keys.first().into_iter().fold(plan, |plan, key| plan.note("Let in:", who(key)));
    let plan = criteria::shown(plan, market, &quote.criteria);
    let plan = criteria::avoided(plan, std::slice::from_ref(part))
        .fact_as("Rounds:", "rounds", rounds, quote.rounds)
        .fact("From:", "start", &offer.start)
        .fact("To:", "end", &offer.end)
        .money("Deposit now:", "deposit", offer.total)
        .money_as(
            "Refundable:",
            "refundable",
            format!("{} if cancelled in its first round", offer.refundable),
            offer.refundable,
        );
    let plan = offer.rules().into_iter().fold(plan, |plan, (label, text)| plan.note(label, text));
    Ok(plan.spend("deposit", most, wallet).creates(Lease::len(0)).step("open lease", vec![open]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold_client::{
        board::BoardData,
        quote::ANY,
        sample::{NOW, change, priced, request, wallet},
    };
    use leasehold_operate::sample::view;

    use super::*;
    use leasehold_client::search::pick;

    fn name() -> Name {
        Name { nonce: 77, group: Some(5) }
    }

    fn opened(most: Option<u64>) -> Result<Plan, Failure> {
        let board = priced(0, &[720, 360, 360]);
        let part = pick(&view().account, &[board.view().unwrap()], NOW, &request(2)).unwrap();
        plan(&view(), &part, wallet(9), most.map(|most| view().payment.money(most)), name(), &[])
    }

    #[test]
    fn a_lease_names_the_key_that_is_offered() {
        let lease = view().board(0).lease(&wallet(9), 77);
        let home = keys::Home("/nowhere".into());
        let key = [Offered::new(&home, lease, 0, &keys::Choice::New).unwrap()];
        let board = priced(0, &[720, 360, 360]);
        let part = pick(&view().account, &[board.view().unwrap()], NOW, &request(2)).unwrap();
        let plan = plan(&view(), &part, wallet(9), None, name(), &key).unwrap();
        let args = OpenLeaseArgs::try_from_slice(&plan.steps[0].instructions[0].data[8..]).unwrap();
        assert!(args.access.is_some() && args.access == key[0].fingerprint());
        let told = plan.facts.iter().find(|fact| fact.label == "Let in:").unwrap();
        assert_eq!(told.text, "the holder of a new SSH key, kept on this computer");
        let opened = &plan.details()["leases"][0];
        assert_eq!(opened["access"], leasehold_client::access::display(&args.access.unwrap()));
        assert_eq!(opened["key_file"], format!("/nowhere/keys/{lease}"));
    }

    #[test]
    fn a_lease_is_opened_for_what_was_quoted() {
        let plan = opened(None).unwrap();
        assert_eq!(plan.title, "Open a lease on board 0");
        assert_eq!((plan.spends.len(), plan.spends[0].money.amount, plan.growths.len()), (1, 720, 1));
        let [step] = &plan.steps[..] else { panic!() };
        let [open] = &step.instructions[..] else { panic!() };
        assert!(open.data.starts_with(leasehold::instruction::OpenLease::DISCRIMINATOR));
        let args = OpenLeaseArgs::try_from_slice(&open.data[8..]).unwrap();
        assert_eq!((args.nonce, args.gpus, args.rounds, args.owner), (77, 2, 6, wallet(9)));
        assert_eq!((args.max_deposit, args.group), (720, Some(5)));
        let lease = view().board(0).lease(&wallet(9), 77);
        assert!(open.accounts.iter().any(|meta| meta.pubkey == lease));
        let opened = &plan.details()["leases"][0];
        assert_eq!((&opened["lease"], &opened["nonce"]), (&lease.to_string().into(), &"77".into()));
        assert_eq!(opened["slots"], serde_json::json!([1, 2]));
        assert_eq!(plan.details()["group"], "5");
        let criteria = plan.facts.iter().find(|fact| fact.label == "Criteria:").unwrap();
        assert_eq!((criteria.text.as_str(), args.criteria), ("any class, the cheapest first", ANY));
    }

    #[test]
    fn the_machines_that_a_lease_got_are_compared_with_the_quoted_ones() {
        let mut board = priced(0, &[720, 360, 360]);
        let found = pick(&view().account, &[board.view().unwrap()], NOW, &request(2)).unwrap();
        let [part] = &found.parts[..] else { panic!() };
        let got = |board: &BoardData| Got::new(&board.view().unwrap(), wallet(6), 4, part);
        assert!(got(&board).is_none());
        for (slots, differs, expected) in [
            ([1, 2], false, "Lease 0:4 has 2 machines (slots 1, 2)"),
            ([0, 1], true, "Lease 0:4 has 2 machines (slots 0, 1), which are NOT the quoted ones"),
        ] {
            change(&mut board, |_, all| {
                all.iter_mut().for_each(|slot| slot.lease = 0);
                slots.iter().for_each(|slot| all[*slot].lease = 4);
            });
            let got = got(&board).unwrap();
            assert_eq!((got.differs, got.text().as_str()), (differs, expected));
        }
    }

    #[test]
    fn machines_of_several_boards_make_a_group() {
        let boards = [priced(0, &[720]), priced(1, &[360])];
        let views = boards.each_ref().map(|board| board.view().unwrap());
        let allocation = pick(&view().account, &views, NOW, &request(2)).unwrap();
        let most = |most| Some(view().payment.money(most));
        let plan = plan(&view(), &allocation, wallet(9), most(2_000), name(), &[]).unwrap();
        assert_eq!((plan.steps[0].instructions.len(), plan.spends[0].money.amount), (2, 2_000));
        let refused = super::plan(&view(), &allocation, wallet(9), most(1_079), name(), &[]).unwrap_err();
        assert!(
            refused.to_string().contains("the leases cost 0.00108 now, more than --max-deposit 0.001079"),
            "{refused}"
        );
    }

    #[test]
    fn a_larger_deposit_may_be_allowed_and_a_smaller_is_refused() {
        let plan = opened(Some(800)).unwrap();
        let args = OpenLeaseArgs::try_from_slice(&plan.steps[0].instructions[0].data[8..]).unwrap();
        assert_eq!((args.max_deposit, plan.spends[0].money.amount), (800, 800));
        let refused = opened(Some(719)).unwrap_err();
        assert_eq!(refused.code(), 3);
        assert!(refused.to_string().contains("the lease costs 0.00072 now"), "{refused}");
    }
}
