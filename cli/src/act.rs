//! The one place that shows a plan, asks, signs and sends.

use std::io::{self, BufRead, IsTerminal, Write};

use leasehold_client::{
    error::explain_send,
    fetch::FetchError,
    sender::{MAX_UNITS, Price, SendError, Sender, SenderOptions},
};

use crate::{
    amount::sol,
    chain::Chain,
    failure::Failure,
    outcome::{Most, Outcome, Transaction},
    plan::Plan,
    table::{count, labelled},
};

/// Lamports that a transaction costs for each signature.
const SIGNATURE: u64 = 5_000;

/// Shows a plan, asks whether to go on, and carries it out; or tells what would happen.
pub async fn act(chain: &Chain, plan: Plan) -> Result<(), Failure> {
    let Carried { outcome, failure } = carry_out(chain, &plan).await?;
    chain.settings.output.print(&outcome);
    failure.map_or(Ok(()), Err)
}

/// What came of a plan, which is to be printed: all of it, or what took effect before a failure.
#[derive(Debug)]
pub struct Carried {
    pub outcome: Outcome,
    pub failure: Option<Failure>,
}

/// Like [`act`], for who prints the outcome. An error says that nothing took effect, or nothing is known to have.
pub async fn carry_out(chain: &Chain, plan: &Plan) -> Result<Carried, Failure> {
    let settings = &chain.settings;
    let wallet = settings.wallet()?;
    let price = Price::Fixed(settings.price);
    let options = SenderOptions { commitment: settings.commitment, price, ..SenderOptions::default() };
    let most = Most { rent: rent(chain, plan).await?, fees: fees(plan, settings.price, options.attempts) };
    eprintln!("{}", summary(plan, &most));
    let sender = Sender::with_options(chain.rpc.clone(), wallet, options);
    let mut outcome = Outcome::new(plan, &most, settings.dry_run);
    if !settings.dry_run {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        agree(settings.yes, terminal, &mut io::stdin().lock())?;
    }
    let failure = deliver(&sender, plan, settings.dry_run, &mut outcome).await.err();
    match failure {
        Some(failure) if outcome.transactions.is_empty() || settings.dry_run => Err(failure),
        failure => Ok(Carried { outcome, failure }),
    }
}

/// Sends or simulates one transaction after the other, up to the first that fails.
async fn deliver(sender: &Sender, plan: &Plan, dry_run: bool, outcome: &mut Outcome) -> Result<(), Failure> {
    let of = plan.steps.len();
    for (done, step) in plan.steps.iter().enumerate() {
        if dry_run && step.builds {
            outcome.transactions.push(Transaction::untried(&step.what));
            continue;
        }
        let verb = if dry_run { "Simulating" } else { "Sending" };
        eprintln!("{verb} transaction {} of {of}: {}", done + 1, step.what);
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

#[cfg(test)]
pub mod tests {
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

    pub fn plan() -> Plan {
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
