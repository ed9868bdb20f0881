//! Shows a plan, asks for confirmation, signs and sends. Nothing else signs a transaction.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    pin::pin,
};

use leasehold_client::sender::{Price, Sender, SenderOptions};
use solana_signature::Signature;

use crate::{
    amount::sol,
    chain::Chain,
    config::Settings,
    costs::{Most, require_funds},
    executor::{Executor, rpc::RpcExecutor},
    failure::Failure,
    outcome::{End, Outcome},
    plan::Plan,
    send::{check, rehearse, send},
    stop::Stop,
    table::{count, labelled},
    text::print_stderr,
    transaction::Transaction,
};

/// Shows a plan, asks for confirmation, executes it and prints the outcome. In a dry run it only simulates.
pub async fn act(chain: &Chain, plan: Plan) -> Result<(), Failure> {
    let Executed { outcome, failure } = execute(chain, &chain.on_market(plan)).await?;
    chain.settings.output.end(&outcome, failure)
}

/// An executed plan: its outcome, and the failure if not all of it took effect.
#[derive(Debug)]
pub struct Executed {
    pub outcome: Outcome,
    pub failure: Option<Failure>,
}

/// Like [`act`], but leaves printing the outcome to the caller. An error means that nothing is known to have taken
/// effect.
pub async fn execute(chain: &Chain, plan: &Plan) -> Result<Executed, Failure> {
    execute_after(chain, plan, || Ok(())).await
}

/// Like [`execute`]. Calls `prepare` once signing is confirmed, before anything is sent; never in a dry run.
pub async fn execute_after(
    chain: &Chain,
    plan: &Plan,
    prepare: impl FnOnce() -> Result<(), Failure>,
) -> Result<Executed, Failure> {
    if plan.steps.is_empty() {
        return Err(Failure::Refused(format!(
            "{}: there is nothing to do, so nothing is signed",
            plan.title
        )));
    }
    let settings = &chain.settings;
    let wallet = settings.wallet()?;
    let price = Price::Fixed(settings.price);
    let options = SenderOptions { commitment: settings.commitment, price, ..SenderOptions::default() };
    let most = Most::of(chain, plan, options.attempts).await?;
    print_stderr(summary(plan, &most));
    require_funds(chain, plan, &most).await?;
    let sender = Sender::with_options(chain.rpc.clone(), wallet, options);
    let executor = RpcExecutor::new(sender, chain.fetch(), settings.commitment);
    let mut outcome = Outcome::new(plan, &most, settings.dry_run);
    if !settings.dry_run {
        confirm(settings)?;
    }
    let mut stop =
        Stop::listen().map_err(|error| Failure::Input(format!("cannot install signal handlers: {error}")))?;
    // From here on Ctrl-C leaves it to the caller to tidy up.
    if !settings.dry_run {
        prepare()?;
    }
    let stop = async || stop.next().await;
    let done = until_stopped(&executor, plan, settings.dry_run, &mut outcome.transactions, stop).await;
    let done = done.unwrap_or_else(|| {
        let done = if settings.dry_run { 0 } else { outcome.transactions.len() };
        Err(stopped(done, plan.transactions(), executor.offered()))
    });
    outcome.result = End::of(&done, settings.dry_run);
    match done {
        Err(failure) if outcome.transactions.is_empty() || settings.dry_run => Err(failure),
        done => Ok(Executed { outcome, failure: done.err() }),
    }
}

/// Asks for confirmation to sign the data that was printed before.
pub fn confirm(settings: &Settings) -> Result<(), Failure> {
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    agree(settings.yes, terminal, &mut io::stdin().lock())
}

/// Executes a plan. `None` if it is stopped before its end. `done` gets each transaction that took effect.
async fn until_stopped(
    executor: &impl Executor,
    plan: &Plan,
    dry_run: bool,
    done: &mut Vec<Transaction>,
    mut stop: impl AsyncFnMut(),
) -> Option<Result<(), Failure>> {
    if dry_run {
        return unless_stopped(rehearse(executor, plan, done), stop()).await;
    }
    if !plan.is_undone() {
        return unless_stopped(send(executor, plan, done), stop()).await;
    }
    let checked = tokio::select! {
        // Nothing is sent yet, so a stop comes first.
        biased;
        () = stop() => return None,
        checked = check(executor, plan) => checked,
    };
    match checked {
        Ok(()) => Some(whole(send(executor, plan, done), stop).await),
        refused => Some(refused),
    }
}

/// Finishes the work despite stops: it must be done as a whole or undone.
async fn whole<T>(work: impl Future<Output = T>, mut stop: impl AsyncFnMut()) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = stop() => print_stderr("Cannot stop half way: wait for the end"),
        }
    }
}

/// Result of the work. `None` if it is stopped before its end.
async fn unless_stopped<T>(work: impl Future<Output = T>, stop: impl Future<Output = ()>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = stop => None,
    }
}

/// Failure of a plan that was stopped. Transactions that the RPC node was offered may still take effect.
fn stopped(done: usize, of: usize, offered: Vec<Signature>) -> Failure {
    if done == 0 && offered.is_empty() {
        return Failure::Interrupted;
    }
    Failure::Stopped { done, of, offered }
}

/// Asks for confirmation, unless `yes`. Refuses without a terminal, where nobody can answer.
fn agree(yes: bool, terminal: bool, answer: &mut impl BufRead) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !terminal {
        return Err(Failure::NoTerminal);
    }
    // If the terminal can't be written to, reading from it fails.
    let _ = io::stderr().write_all(b"Sign and send? [y/N] ");
    let mut line = String::new();
    let read = answer.read_line(&mut line);
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::Declined),
    }
}

/// Summary of a plan with the most that it can cost.
fn summary(plan: &Plan, most: &Most) -> String {
    let facts = plan.facts.iter().map(|fact| (fact.label, fact.text.clone()));
    let spends =
        plan.spends.iter().map(|spend| ("At most:", format!("{} ({})", spend.money.full(), spend.what)));
    let rent = (most.rent > 0).then(|| ("At most:", format!("{} (rent)", sol(most.rent))));
    let undoing = match plan.undoing() {
        0 => String::new(),
        more => format!(", and {more} to undo others"),
    };
    let transactions = format!("{}{undoing}", count(plan.transactions(), "transaction"));
    let fees = ("At most:", format!("{} (fees of {transactions})", sol(most.fees)));
    format!("{}\n{}", plan.title, labelled(facts.chain(spends).chain(rent).chain([fees])))
}

#[cfg(test)]
pub mod tests {
    use solana_pubkey::Pubkey;
    use tokio::task::yield_now;

    use super::*;
    use crate::{amount::Token, executor::script::Script, undo::tests as undo};

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

    #[tokio::test]
    async fn a_stop_ends_a_plan_at_once_and_tells_what_was_offered() {
        let pending = std::future::pending::<()>;
        assert!(unless_stopped(pending(), async {}).await.is_none());
        assert!(unless_stopped(async {}, pending()).await.is_some());
        let copy = Signature::from([1; 64]);
        assert_eq!(stopped(0, 2, vec![]).code(), 130, "nothing was sent");
        assert_eq!(stopped(1, 2, vec![]).code(), 5);
        let failure = stopped(0, 2, vec![copy]);
        assert!(failure.code() == 5 && failure.to_string().contains(&copy.to_string()), "{failure}");
    }

    #[tokio::test]
    async fn what_is_to_be_whole_goes_on_however_often_it_is_stopped() {
        let (mut stops, rest) = (0, tokio::sync::Notify::new());
        let stop = async || {
            stops += 1;
            if stops == 3 {
                rest.notify_one();
            } else if stops > 3 {
                std::future::pending::<()>().await;
            }
        };
        whole(rest.notified(), stop).await;
        assert!(stops >= 3);
    }

    #[tokio::test]
    async fn what_is_to_be_whole_is_stopped_before_anything_is_sent_and_not_after() {
        let ran = async |script: &Script, stop: &dyn Fn() -> bool| {
            let (mut done, mut stopped) = (Vec::new(), false);
            let stop = async || {
                while stopped || !stop() {
                    yield_now().await;
                }
                stopped = true;
            };
            let ended = until_stopped(script, &undo::plan(), false, &mut done, stop).await;
            (ended.map(|ended| ended.is_ok()), script.sent.get(), done.len())
        };
        // While it is simulated.
        let script = undo::opened(3);
        assert_eq!(ran(&script, &|| script.simulated.get() == 2).await, (None, 0, 0));
        let script = undo::opened(3);
        assert_eq!(ran(&script, &|| script.sent.get() == 1).await, (Some(true), 3, 3));
    }

    #[tokio::test]
    async fn a_plan_without_transactions_is_refused_before_anybody_is_asked() {
        let settings = Settings {
            // Nobody answers there.
            url: "http://127.0.0.1:1".parse().unwrap(),
            commitment: Default::default(),
            output: crate::format::Format::Display,
            keypair: None,
            price: 0,
            yes: true,
            dry_run: false,
        };
        let refused = act(&Chain::new(settings), Plan::new("Leave a keeper's seats")).await.unwrap_err();
        assert_eq!(refused.code(), 3);
        assert!(
            refused.to_string().starts_with("Leave a keeper's seats: there is nothing to do"),
            "{refused}"
        );
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
        undone.steps[0].undo = Some(undo::undo(1));
        let text = summary(&undone, &most);
        assert!(text.ends_with("(fees of 2 transactions, and 1 to undo others)"), "{text}");
    }
}
