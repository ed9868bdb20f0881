//! The one place that shows a plan, asks, signs and sends.

use std::{
    fmt,
    io::{self, BufRead, IsTerminal, Write},
    pin::pin,
};

use leasehold_client::{
    fetch::FetchError,
    sender::{MAX_UNITS, Price, Sender, SenderOptions},
};
use serde::Serialize;
use serde_json::{Map, Value};
use solana_signer::Signer;

use crate::{
    amount::sol,
    chain::Chain,
    deliver::{Node, Transaction, deliver},
    failure::Failure,
    plan::Plan,
    table::{count, labelled},
};

/// Lamports that a transaction costs for each signature.
const SIGNATURE: u64 = 5_000;

/// Shows a plan, asks whether to go on, and carries it out; or tells what would happen.
pub async fn act(chain: &Chain, plan: Plan) -> Result<(), Failure> {
    let settings = &chain.settings;
    let wallet = settings.wallet()?;
    let price = Price::Fixed(settings.price);
    let options = SenderOptions { commitment: settings.commitment, price, ..SenderOptions::default() };
    let most = Most { rent: rent(chain, &plan).await?, fees: fees(&plan, settings.price, options.attempts) };
    eprintln!("{}", summary(&plan, &most));
    if plan.is_undone() {
        let lamports = chain.rpc.get_balance(&wallet.pubkey()).await.map_err(FetchError::from)?;
        most.require(lamports)?;
    }
    let node =
        Node { sender: Sender::with_options(chain.rpc.clone(), wallet, options), fetch: chain.fetch() };
    let mut outcome = Outcome::new(&plan, &most, settings.dry_run);
    if !settings.dry_run {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        agree(settings.yes, terminal, &mut io::stdin().lock())?;
    }
    let delivery = deliver(&node, &plan, settings.dry_run, &mut outcome.transactions);
    let done = if plan.is_undone() { whole(delivery).await } else { delivery.await };
    outcome.result = result(&done, settings.dry_run);
    // What took effect before a failure is told as well.
    if done.is_ok() || !outcome.transactions.is_empty() && !settings.dry_run {
        settings.output.print(&outcome);
    }
    done
}

/// Goes on where somebody presses Ctrl-C: it is to be done as a whole or undone.
async fn whole<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Ok(()) = tokio::signal::ctrl_c() => eprintln!("Not stopped half way: wait for the end"),
        }
    }
}

/// Asks whether to go on, unless that was said already. Never where nobody can answer.
fn agree(yes: bool, terminal: bool, answer: &mut impl BufRead) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !terminal {
        return Err(Failure::NoTerminal);
    }
    eprint!("Sign and send? [y/N] ");
    // A terminal that can't be written to is noticed when it is read from.
    let _ = io::stderr().flush();
    let mut line = String::new();
    let read = answer.read_line(&mut line);
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::Declined),
    }
}

/// The most that a plan costs besides tokens, in lamports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most {
    rent: u64,
    fees: u64,
}

impl Most {
    /// Refuses a wallet that could run out of SOL between two steps.
    fn require(&self, lamports: u64) -> Result<(), Failure> {
        let needed = self.rent.saturating_add(self.fees);
        if lamports >= needed {
            return Ok(());
        }
        let (has, needs) = (sol(lamports), sol(needed));
        Err(Failure::Refused(format!(
            "the paying wallet has {has}, and this may take {needs}: fund it first"
        )))
    }
}

/// Lamports of rent for what a plan creates and enlarges.
async fn rent(chain: &Chain, plan: &Plan) -> Result<u64, Failure> {
    let mut sum = 0u64;
    for growth in &plan.growths {
        let before = match growth.from {
            Some(bytes) => chain.rent(bytes).await?,
            None => 0,
        };
        sum = sum.saturating_add(chain.rent(growth.to).await?.saturating_sub(before));
    }
    Ok(sum)
}

/// Lamports of fees at most: each transaction may be signed anew a few times, and fail on the chain.
fn fees(plan: &Plan, price: u64, attempts: u32) -> u64 {
    let priority = price.saturating_mul(u64::from(MAX_UNITS)).div_ceil(1_000_000);
    let transactions = plan.transactions().saturating_add(plan.undoing());
    let transactions = u64::try_from(transactions).unwrap_or(u64::MAX);
    let once = SIGNATURE.saturating_add(priority);
    once.saturating_mul(transactions).saturating_mul(u64::from(attempts))
}

/// What is about to be done, and the most it can cost.
fn summary(plan: &Plan, most: &Most) -> String {
    let facts = plan.facts.iter().map(|fact| (fact.label, fact.text.clone()));
    let spends = plan.spends.iter().map(|spend| ("At most:", format!("{} ({})", spend.money, spend.what)));
    let rent = (most.rent > 0).then(|| ("At most:", format!("{} (rent)", sol(most.rent))));
    let undoing = match plan.undoing() {
        0 => String::new(),
        more => format!(", and {more} that take back what others did"),
    };
    let transactions = format!("{}{undoing}", count(plan.transactions(), "transaction"));
    let fees = ("At most:", format!("{} (fees of {transactions})", sol(most.fees)));
    format!("{}\n{}", plan.title, labelled(facts.chain(spends).chain(rent).chain([fees])))
}

/// How a plan ended, for programs.
fn result(done: &Result<(), Failure>, dry_run: bool) -> &'static str {
    match done {
        Ok(()) if dry_run => "would_succeed",
        Ok(()) => "done",
        Err(Failure::Undone { .. }) => "undone",
        Err(_) => "not_all_done",
    }
}

/// What came of a plan.
#[derive(Debug, Serialize)]
struct Outcome {
    action: String,
    /// As of [`result`].
    result: &'static str,
    /// Nothing was signed or sent.
    dry_run: bool,
    /// Tokens that could leave the wallet at most.
    spends: Value,
    /// Lamports of rent and fees at most.
    rent: String,
    fees: String,
    #[serde(flatten)]
    details: Map<String, Value>,
    transactions: Vec<Transaction>,
}

impl Outcome {
    fn new(plan: &Plan, most: &Most, dry_run: bool) -> Self {
        Outcome {
            action: plan.title.clone(),
            result: result(&Ok(()), dry_run),
            dry_run,
            spends: serde_json::to_value(&plan.spends).unwrap_or_default(),
            rent: most.rent.to_string(),
            fees: most.fees.to_string(),
            details: plan.details(),
            transactions: Vec::new(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.result.replace('_', " "))?;
        self.transactions.iter().try_for_each(|transaction| write!(f, "\n{transaction}"))
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sender::Receipt;
    use solana_pubkey::Pubkey;
    use solana_signature::Signature;

    use super::*;
    use crate::amount::Token;

    #[test]
    fn only_yes_agrees_and_nobody_is_asked_without_a_terminal() {
        let ask = |yes, terminal, text: &str| agree(yes, terminal, &mut text.as_bytes());
        for text in ["y\n", "Y\n", " yes \n"] {
            assert!(ask(false, true, text).is_ok(), "{text}");
        }
        for text in ["", "\n", "n\n", "yesterday\n"] {
            assert!(matches!(ask(false, true, text), Err(Failure::Declined)), "{text}");
        }
        assert!(matches!(ask(false, false, "y\n"), Err(Failure::NoTerminal)));
        assert!(ask(true, false, "").is_ok());
    }

    fn plan() -> Plan {
        let token = Token { mint: Pubkey::default(), decimals: 6 };
        let plan = Plan::new("Open lease 3 on board 0").fact_as("Machines:", "machines", "2", 2);
        plan.spend("deposit", token.money(1_500_000)).step("lease", vec![]).step("more", vec![])
    }

    #[test]
    fn a_summary_tells_the_most_it_can_cost() {
        // 1,400,000 units at 2 micro-lamports are 3 lamports, and each of two may be signed three times.
        let most = Most { rent: 2_000_000, fees: fees(&plan(), 2, 3) };
        assert_eq!(most.fees, 2 * 3 * 5_003);
        let mint = Pubkey::default();
        let expected = format!(
            "Open lease 3 on board 0\nMachines:  2\nAt most:   1.5 of mint {mint} (deposit)\n\
             At most:   0.002 SOL (rent)\nAt most:   0.000030018 SOL (fees of 2 transactions)"
        );
        assert_eq!(summary(&plan(), &most), expected);
    }

    #[test]
    fn what_takes_steps_back_is_paid_for_as_well() {
        let mut plan = plan();
        let undo = crate::undo::tests::undo(1);
        plan.steps[0].undo = Some(undo);
        let most = Most { rent: 10, fees: fees(&plan, 0, 3) };
        assert_eq!(most.fees, 3 * 3 * 5_000);
        let text = summary(&plan, &most);
        assert!(text.ends_with("(fees of 2 transactions, and 1 that take back what others did)"), "{text}");
        assert!(most.require(45_010).is_ok());
        let poor = most.require(45_009).unwrap_err();
        assert!(poor.code() == 3 && poor.to_string().contains("may take 0.00004501 SOL"), "{poor}");
    }

    #[test]
    fn an_outcome_names_its_transactions() {
        let most = Most { rent: 1, fees: 2 };
        let mut sent = Outcome::new(&plan(), &most, false);
        let signature = Signature::from([7; 64]);
        let receipt = Receipt { signature, slot: 5, bytes: 1, cu: Some(9), fee: None };
        sent.transactions.push(Transaction::confirmed("lease", &receipt));
        assert_eq!(sent.to_string(), format!("Open lease 3 on board 0: done\nSignature: {signature}"));
        let json = serde_json::to_value(&sent).unwrap();
        assert_eq!((&json["machines"], &json["spends"][0]["amount"]), (&2.into(), &"1500000".into()));
        assert_eq!((&json["spends"][0]["what"], &json["rent"]), (&"deposit".into(), &"1".into()));
        assert_eq!((&json["transactions"][0]["slot"], &json["dry_run"]), (&"5".into(), &false.into()));
        assert_eq!(json["result"], "done");
        assert_eq!(result(&Err(Failure::Declined), false), "not_all_done");
        let mut dry = Outcome::new(&plan(), &most, true);
        dry.transactions.push(Transaction::simulated("lease", 9));
        assert!(dry.to_string().ends_with("would succeed\nSimulated: lease, 9 compute units"), "{dry}");
    }
}
