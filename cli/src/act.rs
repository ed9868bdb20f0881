//! The one place that shows a plan, asks, signs and sends.

use std::{
    fmt,
    io::{self, BufRead, IsTerminal, Write},
};

use leasehold_client::{
    error::explain_send,
    fetch::FetchError,
    sender::{MAX_UNITS, Price, Receipt, SendError, Sender, SenderOptions},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    amount::sol,
    chain::Chain,
    failure::Failure,
    plan::Plan,
    progress::Progress,
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
    let sender = Sender::with_options(chain.rpc.clone(), wallet, options);
    let mut outcome = Outcome::new(&plan, &most, settings.dry_run);
    if !settings.dry_run {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        agree(settings.yes, terminal, &mut io::stdin().lock())?;
    }
    let done = deliver(&sender, &plan, settings.dry_run, &mut outcome).await;
    // What took effect before a failure is told as well.
    if done.is_ok() || !outcome.transactions.is_empty() && !settings.dry_run {
        settings.output.print(&outcome);
    }
    done
}

/// Sends or simulates one transaction after the other, up to the first that fails.
async fn deliver(sender: &Sender, plan: &Plan, dry_run: bool, outcome: &mut Outcome) -> Result<(), Failure> {
    let of = plan.steps.len();
    let mut progress = Progress::start(if dry_run { "Simulating" } else { "Sending" }, of);
    for (done, step) in plan.steps.iter().enumerate() {
        progress.step(&step.what);
        let sent = if dry_run {
            let units = sender.simulate(&step.instructions).await;
            units.map(|units| Transaction::simulated(&step.what, units))
        } else {
            let receipt = sender.send(&step.instructions, &[]).await;
            receipt.map(|receipt| Transaction::confirmed(&step.what, &receipt))
        };
        match sent {
            Ok(transaction) => outcome.transactions.push(transaction),
            Err(error) if done == 0 || dry_run => return Err(failed(error)),
            Err(error) => return Err(Failure::Partial { done, of, error: Box::new(failed(error)) }),
        }
    }
    progress.finish();
    Ok(())
}

/// Why a transaction failed, in words.
fn failed(error: SendError) -> Failure {
    match error {
        SendError::Rpc(error) => Failure::Chain(FetchError::from(error)),
        SendError::Unconfirmed { signature } => Failure::Unknown { signature },
        error => Failure::Refused(explain_send(&error)),
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
    let transactions = u64::try_from(plan.steps.len()).unwrap_or(u64::MAX);
    let once = SIGNATURE.saturating_add(priority);
    once.saturating_mul(transactions).saturating_mul(u64::from(attempts))
}

/// What is about to be done, and the most it can cost.
fn summary(plan: &Plan, most: &Most) -> String {
    let facts = plan.facts.iter().map(|fact| (fact.label, fact.text.clone()));
    let spends = plan.spends.iter().map(|spend| ("At most:", format!("{} ({})", spend.money, spend.what)));
    let rent = (most.rent > 0).then(|| ("At most:", format!("{} (rent)", sol(most.rent))));
    let transactions = count(plan.steps.len(), "transaction");
    let fees = ("At most:", format!("{} (fees of {transactions})", sol(most.fees)));
    format!("{}\n{}", plan.title, labelled(facts.chain(spends).chain(rent).chain([fees])))
}

/// What came of a plan.
#[derive(Debug, Serialize)]
struct Outcome {
    action: String,
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

#[derive(Debug, Serialize)]
struct Transaction {
    what: String,
    signature: Option<String>,
    slot: Option<String>,
    /// Lamports; nothing where the node didn't tell.
    fee: Option<String>,
    compute_units: Option<String>,
}

impl Transaction {
    fn simulated(what: &str, units: u64) -> Self {
        let compute_units = Some(units.to_string());
        Transaction { what: what.to_owned(), signature: None, slot: None, fee: None, compute_units }
    }

    fn confirmed(what: &str, receipt: &Receipt) -> Self {
        Transaction {
            what: what.to_owned(),
            signature: Some(receipt.signature.to_string()),
            slot: Some(receipt.slot.to_string()),
            fee: receipt.fee.map(|fee| fee.to_string()),
            compute_units: receipt.cu.map(|units| units.to_string()),
        }
    }
}

impl Outcome {
    fn new(plan: &Plan, most: &Most, dry_run: bool) -> Self {
        Outcome {
            action: plan.title.clone(),
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
        write!(f, "{}: {}", self.action, if self.dry_run { "would succeed" } else { "done" })?;
        for Transaction { what, signature, compute_units, .. } in &self.transactions {
            match (signature, compute_units) {
                (Some(signature), _) => write!(f, "\nSignature: {signature}")?,
                (None, units) => {
                    write!(f, "\nSimulated: {what}, {} compute units", units.as_deref().unwrap_or("?"))?
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
        let mut dry = Outcome::new(&plan(), &most, true);
        dry.transactions.push(Transaction::simulated("lease", 9));
        assert!(dry.to_string().ends_with("would succeed\nSimulated: lease, 9 compute units"), "{dry}");
    }

    #[test]
    fn a_refusal_of_the_program_is_told_in_words() {
        let code = u32::from(leasehold::error::LeaseholdError::MarketPaused);
        let refused = failed(SendError::Program { instruction: 0, code, logs: vec![], signature: None });
        assert_eq!(refused.code(), 3);
        let text = refused.to_string();
        assert!(text.contains("resumes it") && !text.contains(&code.to_string()), "{text}");
        let unknown = failed(SendError::Unconfirmed { signature: Signature::default() });
        assert_eq!(unknown.code(), 5);
        let partial = Failure::Partial { done: 1, of: 2, error: Box::new(unknown) };
        assert_eq!(partial.code(), 5);
    }
}
