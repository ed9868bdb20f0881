//! Finding the cheapest machine and leasing it.

use std::sync::Arc;

use anchor_client::{ClientError, Program};
use anyhow::{Context, Result, anyhow};
use leasehold::{
    error::LeaseholdError,
    math::matching::Criteria,
    state::{Lease, Market},
};
use leasehold_client::{
    BoardRef, address,
    error::explain_transaction,
    event::{self, Event},
    fetch::Fetch,
    instruction,
    quote::{self, Quote},
};
use solana_commitment_config::CommitmentConfig;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_keypair::Keypair;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::ErrorKind,
    config::RpcTransactionConfig,
    request::{RpcError, RpcResponseErrorData},
};
use solana_signature::Signature;
use solana_transaction_status_client_types::UiTransactionEncoding;

/// The program, with the buyer as payer.
pub type Leasehold = Program<Arc<Keypair>>;

/// Compute units for opening a lease: on no board does it take more, see docs/bench.md.
const UNITS: u32 = 1_200_000;

/// The lease that the bot is to open.
pub struct Order {
    /// Number of the market.
    pub market: u64,
    pub rounds: u32,
    /// Most to pay for a GPU and hour, in payment units.
    pub max_price: u64,
}

/// A machine that can be leased now.
pub struct Offer {
    pub board: BoardRef,
    pub quote: Quote,
    /// Number of the lease: this buyer has no other one of that number on the board.
    pub nonce: u64,
}

impl Offer {
    /// Slot of the machine on its board.
    pub fn slot(&self) -> u16 {
        self.quote.slots.first().copied().unwrap_or_default()
    }
}

/// A lease that was opened.
pub struct Leased {
    pub address: anchor_client::anchor_lang::prelude::Pubkey,
    pub lease: Lease,
    pub signature: Signature,
}

/// The cheapest machine on all boards of a market; `None` if none is free within the order's price.
pub async fn cheapest(program: &Leasehold, order: &Order) -> Result<Option<Offer>> {
    // guide:begin read
    // Accounts are read as with any Anchor program. Boards are zero-copy, up to 1.1 MB: the client reads those.
    let address = address::market(order.market);
    let account: Market = program.account(address).await.context("the market cannot be read")?;
    let rpc = program.rpc();
    let fetch = Fetch::new(&rpc);
    let market = fetch.market_ref(address).await?;
    let (boards, now) = (fetch.boards(&address).await?, fetch.now().await?);
    // guide:end

    // guide:begin quote
    // A quote calls the program's own rules: machines and deposit are those of a lease opened on this state. What a buyer asks
    // for is GPUs: here one or more, in one machine.
    let criteria = Criteria { max_price: order.max_price, ..quote::ANY };
    // Any number that this buyer has not used on the board.
    let nonce = now.unsigned_abs();
    let mut cheapest: Option<Offer> = None;
    for board in &boards {
        let quote = match quote::quote(&account, &board.view()?, now, &criteria, 1, order.rounds, &[]) {
            Ok(quote) => quote,
            // No machine fits, or no round was voted on lately: nobody knows which machines are up.
            Err(refusal)
                if matches!(
                    refusal.error(),
                    Some(LeaseholdError::NotEnoughGpus | LeaseholdError::BoardUnseen)
                ) =>
            {
                continue;
            }
            // Any other refusal concerns the market or the order: it is paused, or the lease would be too long.
            Err(refusal) => return Err(refusal.into()),
        };
        if cheapest.as_ref().is_none_or(|offer| quote.deposit < offer.quote.deposit) {
            cheapest = Some(Offer { board: board.board_ref(&market)?, quote, nonce });
        }
    }
    // guide:end
    Ok(cheapest)
}

/// Opens the lease that an offer stands for, at no more than its price.
pub async fn lease(program: &Leasehold, offer: &Offer) -> Result<Leased> {
    // guide:begin open
    let Offer { board, quote, nonce } = offer;
    let buyer = program.payer();
    let wallet = board.market.payment_account(&buyer);
    let args = quote.args(*nonce, buyer, quote.deposit, None);
    let request = program
        .request()
        .instruction(ComputeBudgetInstruction::set_compute_unit_limit(UNITS))
        .instruction(instruction::open_lease(board, buyer, wallet, args));
    let signature = request.send().await.map_err(|error| anyhow!(sentence(&error)))?;

    let address = board.lease(&buyer, *nonce);
    let lease: Lease = program.account(address).await.context("the lease cannot be read")?;
    // guide:end
    Ok(Leased { address, lease, signature })
}

/// The events of a transaction.
pub async fn events(program: &Leasehold, signature: &Signature) -> Result<Vec<Event>> {
    // guide:begin events
    // Events are inner instructions (`emit_cpi!`), so they are read from the transaction and not from its logs.
    let rpc: RpcClient = program.rpc();
    let config = RpcTransactionConfig {
        encoding: Some(UiTransactionEncoding::Base64),
        commitment: Some(CommitmentConfig::confirmed()),
        max_supported_transaction_version: Some(0),
    };
    let read = rpc.get_transaction_with_config(signature, config).await?.transaction;
    let transaction = read.transaction.decode().context("the transaction cannot be decoded")?;
    let meta = read.meta.context("the RPC node has no metadata of the transaction")?;
    let events = event::of_transaction(&meta, transaction.message.static_account_keys());
    // guide:end
    Ok(events)
}

/// Why a transaction failed: the rule that it broke and what to do about it.
fn sentence(error: &ClientError) -> String {
    // guide:begin error
    let ClientError::SolanaClientError(rpc) = error else { return error.to_string() };
    let Some(failure) = rpc.get_transaction_error() else { return error.to_string() };
    let logs = match rpc.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError {
            data: RpcResponseErrorData::SendTransactionPreflightFailure(simulation),
            ..
        }) => simulation.logs.clone().unwrap_or_default(),
        _ => Vec::new(),
    };
    explain_transaction(&failure, &logs)
    // guide:end
}
