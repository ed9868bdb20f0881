//! Report on a receipt.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use leasehold_client::{
    prove::{Proved, Steps},
    record::Proof,
};
use leasehold_operate::amount::decimal;
use serde::Serialize;
use solana_pubkey::Pubkey;

/// A receipt, proved or not. Amounts are integer strings of base units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Id of the receipt, in hex.
    pub id: String,
    pub verified: bool,
    /// Contents of the receipt, only if it is proved.
    #[serde(flatten)]
    pub found: Option<Found>,
    /// Steps of the chain of proof, up to the one that failed.
    pub steps: Steps,
    /// Why it is not proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    pub machine: Machine,
    pub supplier: Supplier,
    pub lease: Lease,
    /// sha256 of the model's manifest, in hex.
    pub model: String,
    pub units: String,
    pub tokens_in: u32,
    pub tokens_out: u32,
    pub price: Price,
    pub time: Time,
    pub log: Log,
    /// The signed receipt in base64.
    pub receipt: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub node_key: String,
    pub board: String,
    /// Number of the board in its market, `None` once the supplier has left.
    pub board_index: Option<u32>,
    pub slot: u16,
    pub generation: u32,
    /// Hardware class, as the market numbers it.
    pub class: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Supplier {
    pub account: String,
    /// `None` once the supplier has left.
    pub wallet: Option<String>,
    pub market: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// `None` once the lease's account was closed, or if it was not looked up.
    pub address: Option<String>,
    /// False if the RPC node does not serve the search for the lease.
    pub looked_up: bool,
    pub serial: u32,
    pub buyer: String,
    /// Receipts of the machine in the lease before this one.
    pub seq: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Base units of the mint.
    pub amount: String,
    /// `None` if there is no such mint.
    pub decimals: Option<u8>,
    /// The amount as people write it; in base units where the decimals are not known.
    pub display: String,
    pub mint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Time {
    pub start_ms: String,
    pub end_ms: String,
    /// The same in RFC 3339.
    pub start: String,
    pub end: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    pub address: String,
    /// Batches of the log when it was read, and the place of the receipt's batch among them.
    pub batches: String,
    pub index: String,
    /// Number of the batch for its machine, its receipts, and the place of this one among them.
    pub batch: u32,
    pub count: u32,
    pub place: u32,
}

impl Report {
    pub fn new(id: [u8; 32]) -> Self {
        Report { id: hex::encode(id), verified: false, found: None, steps: Steps::default(), error: None }
    }

    /// Notes that the step under way is not proved.
    pub fn fail(&mut self, error: String) {
        self.steps.fail(&error);
        self.error = Some(error);
    }
}

impl Found {
    pub fn new(proved: &Proved) -> Self {
        let Proved { proof, verified, context } = proved;
        let Proof { receipt: signed, log, index, place, .. } = proof;
        let (receipt, header) = (&signed.receipt, &verified.header);
        let key = |bytes| Pubkey::new_from_array(bytes).to_string();
        let supplier = context.supplier.as_ref().map(|supplier| &supplier.account);
        Found {
            machine: Machine {
                node_key: key(receipt.node_key),
                board: header.board.to_string(),
                board_index: context.board_index,
                slot: header.slot,
                generation: header.generation,
                class: receipt.class,
            },
            supplier: Supplier {
                account: verified.supplier.to_string(),
                wallet: supplier.map(|supplier| supplier.authority.to_string()),
                market: supplier.map(|supplier| supplier.market.to_string()),
            },
            lease: Lease {
                address: context.lease_address.map(|address| address.to_string()),
                looked_up: !context.lease_unread,
                serial: header.lease,
                buyer: key(receipt.buyer),
                seq: receipt.seq.to_string(),
            },
            model: hex::encode(receipt.model),
            units: receipt.units.to_string(),
            tokens_in: receipt.tokens_in,
            tokens_out: receipt.tokens_out,
            price: Price {
                amount: receipt.price.to_string(),
                decimals: context.decimals,
                display: decimal(receipt.price, context.decimals.unwrap_or_default()),
                mint: key(receipt.mint),
            },
            time: Time {
                start_ms: receipt.start_ms.to_string(),
                end_ms: receipt.end_ms.to_string(),
                start: rfc3339(receipt.start_ms),
                end: rfc3339(receipt.end_ms),
            },
            log: Log {
                address: log.to_string(),
                batches: verified.batches.to_string(),
                index: index.to_string(),
                batch: header.number,
                count: header.count,
                place: *place,
            },
            receipt: signed.to_base64(),
        }
    }
}

/// Unix milliseconds as people read them; as they are, where no calendar goes so far.
fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| ms.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{:<10} {}", "Id:", self.id)?;
        if let Some(found) = &self.found {
            write!(f, "{found}")?;
        }
        writeln!(f)?;
        write!(f, "{}", self.steps)?;
        f.write_str(if self.verified { "The receipt is proved." } else { "The receipt is NOT proved." })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Found { machine, supplier, lease, price, time, .. } = self;
        let board = match machine.board_index {
            Some(index) => format!("{} (number {index})", machine.board),
            None => machine.board.clone(),
        };
        let wallet = supplier.wallet.as_deref().unwrap_or("left the market");
        let tokens = format!("{} in, {} out", self.tokens_in, self.tokens_out);
        let gone = if lease.looked_up { "closed" } else { "not looked up" };
        let address = lease.address.as_deref().unwrap_or(gone);
        let lines = [
            ("Machine:", machine.node_key.clone()),
            ("Board:", board),
            ("Slot:", format!("{}, generation {}", machine.slot, machine.generation)),
            ("Supplier:", format!("{wallet} (account {})", supplier.account)),
            ("Lease:", format!("{} ({}), receipt {}", lease.serial, address, lease.seq)),
            ("Buyer:", lease.buyer.clone()),
            ("Model:", self.model.clone()),
            ("Units:", self.units.clone()),
            ("Tokens:", tokens),
            ("Price:", format!("{} of mint {}", price.display, price.mint)),
            ("Time:", format!("{} to {}", time.start, time.end)),
        ];
        lines.iter().try_for_each(|(label, value)| writeln!(f, "{label:<10} {value}"))
    }
}
