//! The one place that shows a plan, asks, signs and sends.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    pin::pin,
};

use leasehold_client::sender::{Price, Sender, SenderOptions};

use crate::{
    amount::sol,
    chain::Chain,
    config::Settings,
    costs::{Most, require_funds},
    deliver::{Node, deliver},
    failure::Failure,
    outcome::{End, Outcome},
    plan::Plan,
    table::{count, labelled},
    text::tell,
};

/// Shows a plan, asks whether to go on, and carries it out; or tells what would happen.
pub async fn act(chain: &Chain, plan: Plan) -> Result<(), Failure> {
    let Carried { outcome, failure } = carry_out(chain, &chain.on_market(plan)).await?;
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
    let most = Most::of(chain, plan, options.attempts).await?;
    tell(summary(plan, &most));
    require_funds(chain, plan, &most).await?;
    let node =
        Node { sender: Sender::with_options(chain.rpc.clone(), wallet, options), fetch: chain.fetch() };
    let mut outcome = Outcome::new(plan, &most, settings.dry_run);
    if !settings.dry_run {
        confirm(settings)?;
    }
    let delivery = deliver(&node, plan, settings.dry_run, &mut outcome.transactions);
    let done = if plan.is_undone() { whole(delivery).await } else { delivery.await };
    outcome.result = End::of(&done, settings.dry_run);
    match done {
        Err(failure) if outcome.transactions.is_empty() || settings.dry_run => Err(failure),
        done => Ok(Carried { outcome, failure: done.err() }),
    }
}

/// Asks whether to sign what was shown.
pub fn confirm(settings: &Settings) -> Result<(), Failure> {
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    agree(settings.yes, terminal, &mut io::stdin().lock())
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

/// What is about to be done, and the most it can cost.
fn summary(plan: &Plan, most: &Most) -> String {
    let facts = plan.facts.iter().map(|fact| (fact.label, fact.text.clone()));
    let spends =
        plan.spends.iter().map(|spend| ("At most:", format!("{} ({})", spend.money.full(), spend.what)));
    let rent = (most.rent > 0).then(|| ("At most:", format!("{} (rent)", sol(most.rent))));
    let undoing = match plan.undoing() {
        0 => String::new(),
        more => format!(", and {more} that take back what others did"),
    };
    let transactions = format!("{}{undoing}", count(plan.transactions(), "transaction"));
    let fees = ("At most:", format!("{} (fees of {transactions})", sol(most.fees)));
    format!("{}\n{}", plan.title, labelled(facts.chain(spends).chain(rent).chain([fees])))
}

#[cfg(test)]
pub mod tests {
    use solana_pubkey::Pubkey;

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

    /// A lease of two machines, in two transactions.
    pub fn plan() -> Plan {
        let mint = Pubkey::default();
        let token = Token { mint, decimals: 6 };
        let plan = Plan::new("Open lease 3 on board 0").fact_as("Machines:", "machines", "2", 2);
        plan.spend("deposit", token.money(1_500_000), mint).step("lease", vec![]).step("more", vec![])
    }

    #[test]
    fn a_summary_tells_the_most_it_can_cost() {
        let most = Most { rent: 2_000_000, fees: 30_018 };
        let mint = Pubkey::default();
        let expected = format!(
            "Open lease 3 on board 0\nMachines:  2\nAt most:   1.5 of mint {mint} (deposit)\n\
             At most:   0.002 SOL (rent)\nAt most:   0.000030018 SOL (fees of 2 transactions)"
        );
        assert_eq!(summary(&plan(), &most), expected);
        let mut undone = plan();
        undone.steps[0].undo = Some(crate::undo::tests::undo(1));
        let text = summary(&undone, &most);
        assert!(text.ends_with("(fees of 2 transactions, and 1 that take back what others did)"), "{text}");
    }
}
