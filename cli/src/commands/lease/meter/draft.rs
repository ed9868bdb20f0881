//! What a voucher is to say, and what it then costs: never less than was paid, never more than the deposit.

use std::{cmp::Ordering, fmt};

use leasehold::{
    error::LeaseholdError,
    state::{LeaseState, Meter, Voucher},
};
use leasehold_client::{error::Refusal, record::voucher};
use leasehold_operate::{
    amount::Money,
    failure::Failure,
    node::{NodeError, Tab},
    table::labelled,
};
use serde::{Serialize, Serializer};

use crate::commands::lease::leased::Leased;

/// A voucher before and after it is signed.
#[derive(Debug, Serialize)]
pub struct Draft {
    pub lease: String,
    pub spender: String,
    /// What the node says; nothing where it was not asked.
    pub tab: Option<Said>,
    /// What is signed for: receipts, their compute units and their price, since the lease began.
    #[serde(serialize_with = "text")]
    pub seq: u64,
    #[serde(serialize_with = "text")]
    pub units: u64,
    pub price: Money,
    /// Of that, what vouchers have paid before, and what this one adds.
    pub paid: Money,
    pub adds: Money,
    /// What is then left of the deposit.
    pub left: Money,
    /// Voucher and signature in base64; nothing where it was not signed.
    pub voucher: Option<String>,
    /// Price of the best voucher that the node has now; nothing where it was given none.
    pub best: Option<Money>,
}

/// A node's tab, which nobody has checked.
#[derive(Debug, Serialize)]
pub struct Said {
    #[serde(serialize_with = "text")]
    pub seq: u64,
    #[serde(serialize_with = "text")]
    pub units: u64,
    pub price: Money,
    /// Price in the best voucher that it has.
    pub signed_price: Money,
    /// What it lets be used without a voucher.
    pub limit: Money,
}

/// The meter of a lease that takes vouchers still.
pub fn payable(leased: &Leased) -> Result<&Meter, Failure> {
    if leased.lease.state == LeaseState::Settled {
        return Err(Refusal::from(LeaseholdError::LeaseSettled).into());
    }
    leased.meter()
}

/// The voucher for a price, or for what the node says is owed: never less than was paid, never more than the
/// deposit.
pub fn plan(
    leased: &Leased,
    tab: Option<&Tab>,
    price: Option<&str>,
    max: Option<&str>,
) -> Result<Draft, Failure> {
    let Leased { lease, market, address, .. } = leased;
    let payment = market.payment;
    let meter = payable(leased)?;
    if tab.is_some_and(|tab| (tab.lease_address, tab.from) != (*address, lease.from)) {
        return Err(NodeError::OtherLease.into());
    }
    let price = match (price, tab) {
        (Some(price), _) => payment.parse(price)?.amount,
        (None, Some(tab)) if tab.price <= tab.signed_price => {
            let owed = payment.number(tab.price);
            return Err(Failure::Refused(format!("the node has a voucher for all that is owed, {owed}")));
        }
        (None, Some(tab)) => tab.price,
        (None, None) => return Err(Failure::Input("say what is owed, or ask --node".to_owned())),
    };
    let paid = lease.paid.saturating_add(lease.fees);
    let refuse = |text: String| Err(Failure::Refused(text));
    let number = |amount| payment.number(amount);
    if price <= paid {
        let text = "vouchers count from the lease's begin, so sign for more, or not at all";
        return refuse(format!("{} is no more than the {} paid before: {text}", number(price), number(paid)));
    }
    if price > lease.deposit {
        let text = "top the lease up, or sign for a PRICE that it covers";
        return refuse(format!(
            "{} is more than the deposit of {}: {text}",
            number(price),
            number(lease.deposit)
        ));
    }
    let adds = lease.redeem(price).and_then(|payment| Ok(payment.gross()?)).map_err(Refusal::from)?;
    let max = max.map(|max| payment.parse(max)).transpose()?;
    if let Some(max) = max.filter(|max| adds > max.amount) {
        let (adds, max) = (number(adds), number(max.amount));
        return refuse(format!("it would add {adds}, and --max is {max}: pass a larger one"));
    }
    // What is not paid in full stays open: of receipts and units it then says no more than what was said.
    let covered = tab.filter(|tab| tab.price <= price);
    let (seq, units) = covered.map_or((meter.seq, meter.units), |tab| (tab.seq, tab.units));
    Ok(Draft {
        lease: address.to_string(),
        spender: meter.spender.to_string(),
        tab: tab.map(|tab| Said {
            seq: tab.seq,
            units: tab.units,
            price: payment.money(tab.price),
            signed_price: payment.money(tab.signed_price),
            limit: payment.money(tab.limit),
        }),
        seq,
        units,
        price: payment.money(price),
        paid: payment.money(paid),
        adds: payment.money(adds),
        left: payment.money(lease.deposit.saturating_sub(price)),
        voucher: None,
        best: None,
    })
}

/// Large numbers are text in JSON.
fn text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

impl Draft {
    /// What is signed. `cluster`: as vouchers name it.
    pub fn unsigned(&self, leased: &Leased, cluster: [u8; 8]) -> Voucher {
        Voucher {
            lease: leased.address.to_bytes(),
            cluster,
            from: leased.lease.from,
            seq: self.seq,
            units: self.units,
            price: self.price.amount,
            ..voucher::blank()
        }
    }

    /// Refuses to call it done where the node was sent a voucher and tells of a lesser one.
    pub fn end(&self) -> Result<(), Failure> {
        match &self.best {
            Some(best) if best.amount < self.price.amount => {
                Err(NodeError::Unacknowledged(Box::new(NodeError::Lesser)).into())
            }
            _ => Ok(()),
        }
    }

    /// What is about to be signed, and the most it can cost. `genesis`: the cluster's, as vouchers name it.
    pub fn summary(&self, leased: &Leased, genesis: &str) -> String {
        let said = self.tab.as_ref().map(|said| {
            let Said { seq, units, price, .. } = said;
            let text = format!("{seq} receipts of {units} compute units, {price}; nobody has checked this");
            ("The node says:", text)
        });
        let beside = match self.tab.as_ref().map(|said| self.price.amount.cmp(&said.price.amount)) {
            Some(Ordering::Greater) => ", more than the node asks",
            Some(Ordering::Less) => ", less than the node asks",
            Some(Ordering::Equal) | None => "",
        };
        let lines = [
            ("Cluster:", format!("that of genesis hash {genesis}")),
            ("Market:", leased.market.name()),
            ("Lease:", self.lease.clone()),
            ("Spender:", self.spender.clone()),
            ("Paid before:", self.paid.to_string()),
            ("Signed for:", format!("{} since the lease began{beside}", self.price)),
            ("Left then:", format!("{} of the deposit", self.left)),
            ("At most:", format!("{} (what it adds; it can't be taken back)", self.adds.full())),
        ];
        format!("Sign a voucher for {}\n{}", leased.name(), labelled(said.into_iter().chain(lines)))
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (&self.voucher, &self.best) {
            (None, _) => write!(f, "Not signed: --dry-run; it would add {}", self.adds),
            (Some(voucher), None) => f.write_str(voucher),
            (Some(_), Some(best)) if best.amount > self.price.amount => {
                write!(f, "The node says that it keeps a voucher for more, {best}")
            }
            (Some(_), Some(best)) if best.amount < self.price.amount => {
                write!(
                    f,
                    "The node was sent a voucher for {}, and says that its best is for {best}",
                    self.price
                )
            }
            (Some(_), Some(_)) => write!(f, "The node has the voucher for {}", self.price),
        }
    }
}

#[cfg(test)]
mod tests;
