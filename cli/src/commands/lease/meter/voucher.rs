//! `leasehold lease voucher`: what the buyer of a metered lease owes, signed for.

use clap::Args;
use leasehold::error::LeaseholdError;
use leasehold_client::{
    error::Refusal,
    fetch::FetchError,
    record::{SignedVoucher, cluster},
};
use url::Url;

use super::{draft, spender::SpenderArgs};
use crate::{
    act::confirm,
    args::parse_http_url,
    chain::Chain,
    commands::lease::leased::{LeaseArgs, Leased},
    failure::Failure,
    node::{Node, Tab},
    text::tell,
};

#[derive(Args)]
pub struct VoucherArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// What is owed in all since the lease began, in the market's payment mint [default: what the node says]
    #[arg(required_unless_present = "node")]
    pub price: Option<String>,
    #[command(flatten)]
    pub spender: SpenderArgs,
    /// Base URL of the machine's node, to ask what is owed and to hand in the voucher; without it the voucher is
    /// printed.
    #[arg(long, value_name = "URL", value_parser = parse_http_url)]
    pub node: Option<Url>,
    /// Most that the voucher may add to what is paid, in the market's payment mint; more is refused.
    #[arg(long, value_name = "AMOUNT")]
    pub max: Option<String>,
}

pub async fn run(chain: &Chain, args: VoucherArgs) -> Result<(), Failure> {
    let leased = args.lease.load(chain).await?;
    let key = args.spender.key(&chain.settings, &draft::payable(&leased)?.spender)?;
    let node = args.node.map(Node::new).transpose()?;
    let tab = match &node {
        Some(node) => Some(tab(chain, node, &leased).await?),
        None => None,
    };
    let mut draft = draft::plan(&leased, tab.as_ref(), args.price.as_deref(), args.max.as_deref())?;
    let genesis = chain.rpc.get_genesis_hash().await.map_err(FetchError::from)?;
    tell(draft.summary(&leased, &genesis.to_string()));
    if !chain.settings.dry_run {
        confirm(&chain.settings)?;
        let signed = SignedVoucher::sign(&key, draft.unsigned(&leased, cluster(&genesis)));
        draft.voucher = Some(signed.to_base64());
        if let Some(node) = &node {
            tell(format!("Handing it in at {}", node.url()));
            let best = node.hand_in(&signed).await?;
            draft.best = Some(leased.market.payment.money(best));
        }
    }
    chain.settings.output.print(&draft);
    Ok(())
}

/// What the node says of the lease: as the one that runs, or as one that is over.
async fn tab(chain: &Chain, node: &Node, leased: &Leased) -> Result<Tab, Failure> {
    let machine = leased.view()?.leased(leased.lease.serial).next();
    let (slot, machine) = machine.ok_or(Refusal::from(LeaseholdError::NotInLease))?;
    let runs = leased.view()?.header.round_at(chain.fetch().now().await?).map_err(Refusal::from)?
        < machine.lease_until;
    let past = (!runs).then_some(leased.lease.serial);
    tell(format!("Asking {} what is owed", node.url()));
    Ok(node.tab(&leased.board.address, slot, past).await?)
}
