//! `leasehold lease voucher`: signs for the amount that a metered lease owes.

use clap::Args;
use leasehold::error::LeaseholdError;
use leasehold_client::{
    error::Refusal,
    http::{NodeClient, NodeError},
    meter::require_payable,
    record::{SignedVoucher, cluster},
    wire::Tab,
};
use leasehold_operate::{
    act::confirm, chain::Chain, failure::Failure, flags::parse_http_url, stop, text::print_stderr,
};
use url::Url;

use super::{draft, spender::SpenderArgs};
use crate::commands::lease::{leased::Leased, selection::LeaseArgs};

#[derive(Args)]
pub struct VoucherArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Total owed since the lease began, in the market's payment mint [default: as the node reports]
    #[arg(required_unless_present = "node")]
    pub price: Option<String>,
    #[command(flatten)]
    pub spender: SpenderArgs,
    /// Base URL of the machine's node, which reports the amount owed and gets the voucher; without it the voucher is
    /// printed.
    #[arg(long, value_name = "URL", value_parser = parse_http_url)]
    pub node: Option<Url>,
    /// Most that the voucher may add to the amount paid before, in the market's payment mint. Needed with --yes if
    /// there is no PRICE.
    #[arg(long, value_name = "AMOUNT")]
    pub max: Option<String>,
}

pub async fn run(chain: &Chain, args: VoucherArgs) -> Result<(), Failure> {
    require_bound(&args, chain.settings.yes)?;
    let leased = args.lease.load(chain).await?;
    let key = args.spender.key(&chain.settings, "spender", &require_payable(&leased.lease)?.spender)?;
    let node = args.node.map(NodeClient::new).transpose()?;
    let tab = match &node {
        Some(node) => Some(tab(chain, node, &leased).await?),
        None => None,
    };
    let now = chain.fetch().now().await?;
    let mut draft = draft::plan(&leased, now, tab.as_ref(), args.price.as_deref(), args.max.as_deref())?;
    let genesis = chain.fetch().genesis_hash().await?;
    let voucher = draft.unsigned(&leased)?;
    if voucher.cluster != cluster(&genesis) {
        return Err(Failure::Refused(format!(
            "the board is of another cluster than the RPC node's, whose genesis hash is {genesis}: nothing is signed"
        )));
    }
    print_stderr(draft.summary(&leased, &genesis.to_string()));
    let mut handed_in = Ok(());
    if !chain.settings.dry_run {
        confirm(&chain.settings)?;
        let signed = SignedVoucher::sign(&key, voucher);
        draft.voucher = Some(signed.to_base64());
        if let Some(node) = &node {
            print_stderr(format!("Sending it to {}", node.url()));
            stop::sends().map_err(|_| Failure::Interrupted)?;
            let best = node.hand_in(&signed).await;
            let price = match &best {
                Ok(best) => Some(best.price),
                Err(NodeError::Unacknowledged(error)) => match **error {
                    NodeError::LowerVoucher { price } => Some(price),
                    _ => None,
                },
                Err(_) => None,
            };
            draft.best = price.map(|price| leased.market.payment.money(price));
            handed_in = best.map(drop);
        }
    }
    // Printed in any case: the node may have it, and whoever has it can redeem it.
    let printed = chain.settings.output.print(&draft);
    handed_in?;
    printed
}

/// Refuses to sign an amount that the node chose and nobody confirms.
fn require_bound(args: &VoucherArgs, yes: bool) -> Result<(), Failure> {
    if !yes || args.price.is_some() || args.max.is_some() {
        return Ok(());
    }
    Err(Failure::Input(
        "with --yes nobody confirms the node's amount, up to the whole deposit: pass a PRICE, or the most that \
         the voucher may add with --max"
            .to_owned(),
    ))
}

/// The node's tab of the lease, which runs or is over.
async fn tab(chain: &Chain, node: &NodeClient, leased: &Leased) -> Result<Tab, Failure> {
    let machine = leased.view()?.leased(leased.lease.serial).next();
    let (slot, machine) = machine.ok_or(Refusal::from(LeaseholdError::NotInLease))?;
    let runs = leased.view()?.header.round_at(chain.fetch().now().await?).map_err(Refusal::from)?
        < machine.lease_until;
    let past = (!runs).then_some(leased.lease.serial);
    print_stderr(format!("Asking {} what is owed", node.url()));
    Ok(node.tab(&leased.board.address, slot, past).await?)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches};

    use super::*;

    fn args(text: &str) -> VoucherArgs {
        let command = VoucherArgs::augment_args(clap::Command::new("voucher").no_binary_name(true));
        VoucherArgs::from_arg_matches(&command.get_matches_from(text.split_whitespace())).unwrap()
    }

    #[test]
    fn what_a_node_names_is_bounded_where_nobody_looks() {
        let lease = "--market 0 11111111111111111111111111111111";
        let node = "--node http://127.0.0.1:1";
        let code = |text: &str, yes| require_bound(&args(text), yes).map_err(|error| error.code());
        assert_eq!(code(&format!("LEASE {node}").replace("LEASE", lease), true), Err(2));
        for bounded in [format!("{lease} {node} --max 0.1"), format!("{lease} 0.1 {node}")] {
            assert_eq!(code(&bounded, true), Ok(()), "{bounded}");
        }
        assert_eq!(code(&format!("{lease} {node}"), false), Ok(()), "somebody is asked");
    }
}
