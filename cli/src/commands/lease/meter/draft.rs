//! A voucher before it is signed: never for less than was paid, never for more than the deposit.

use std::{cmp::Ordering, fmt};

use leasehold::state::Voucher;
use leasehold_client::{
    meter::{VoucherError, VoucherTerms, require_payable, voucher_terms},
    wire::Tab,
};
use leasehold_operate::{
    amount::{Money, Token},
    failure::Failure,
    table::labelled,
};
use serde::{Serialize, Serializer};

use crate::commands::lease::leased::Leased;

/// A voucher before and after it is signed.
#[derive(Debug, Serialize)]
pub struct Draft {
    pub lease: String,
    pub spender: String,
    /// Tab that the node reports, `None` if it was not asked.
    pub tab: Option<Said>,
    /// Amounts that the voucher signs for: receipts, their compute units and their price, since the lease began.
    #[serde(serialize_with = "text")]
    pub seq: u64,
    #[serde(serialize_with = "text")]
    pub units: u64,
    pub price: Money,
    /// Part of that price that earlier vouchers paid, and the part that this one adds.
    pub paid: Money,
    pub adds: Money,
    /// Part of the deposit that vouchers can take then.
    pub left: Money,
    #[serde(skip)]
    terms: VoucherTerms,
    /// Voucher and signature in base64, `None` if it is not signed.
    pub voucher: Option<String>,
    /// Price of the best voucher that the node has now, `None` if it was sent none.
    pub best: Option<Money>,
}

/// A node's tab, unchecked.
#[derive(Debug, Serialize)]
pub struct Said {
    #[serde(serialize_with = "text")]
    pub seq: u64,
    #[serde(serialize_with = "text")]
    pub units: u64,
    pub price: Money,
    /// Price in the best voucher that it has.
    pub signed_price: Money,
    /// Most that it allows to be used without a voucher.
    pub limit: Money,
}

/// The voucher for a price, or for the amount that the node reports as owed: never less than was paid, never more than
/// the deposit.
pub fn plan(
    leased: &Leased,
    now: i64,
    tab: Option<&Tab>,
    price: Option<&str>,
    max: Option<&str>,
) -> Result<Draft, Failure> {
    let Leased { lease, market, address, .. } = leased;
    let payment = market.payment;
    let meter = require_payable(lease)?;
    let [price, max] = [price, max].map(|text| text.map(|text| payment.parse(text)).transpose());
    let [price, max] = [price?, max?].map(|money| money.map(|money| money.amount));
    let terms = voucher_terms(address, lease, &leased.view()?, now, tab, price, max)
        .map_err(|error| refusal(error, payment))?;
    let VoucherTerms { seq, units, price, paid, adds, left, slot: _ } = terms;
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
        left: payment.money(left),
        terms,
        voucher: None,
        best: None,
    })
}

/// Why nothing is signed, with amounts as people write them.
fn refusal(error: VoucherError, payment: Token) -> Failure {
    let number = |amount| payment.number(amount);
    Failure::Refused(match error {
        VoucherError::Refused(refusal) => return refusal.into(),
        VoucherError::NoPrice => {
            return Failure::Input("give a PRICE, or pass --node to ask what is owed".to_owned());
        }
        VoucherError::OtherLease => error.to_string(),
        VoucherError::NothingOwed { price } => {
            format!("nothing to sign: the node has a voucher for all that is owed, {}", number(price))
        }
        VoucherError::AlreadyPaid { price, paid } => format!(
            "{} is not more than the {} paid before: a voucher is for the whole lease, so sign for more, or not at \
             all",
            number(price),
            number(paid)
        ),
        VoucherError::ExceedsDeposit { price, limit, deposit } => format!(
            "{} is more than the {} that vouchers can take of the deposit of {}, since the rest is reserved for the standby \
             price: top the lease up, or sign for a PRICE that it covers",
            number(price),
            number(limit),
            number(deposit)
        ),
        VoucherError::ExceedsMax { adds, max } => {
            format!("it would add {}, more than --max {}: pass a larger one", number(adds), number(max))
        }
    })
}

/// Large numbers are text in JSON.
fn text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

impl Draft {
    /// The voucher to sign. It names the board's cluster.
    pub fn unsigned(&self, leased: &Leased) -> Result<Voucher, Failure> {
        Ok(self.terms.voucher(&leased.address, &leased.lease, &leased.view()?)?)
    }

    /// Summary of the voucher to sign, with the most that it can cost. `genesis`: the cluster's, as vouchers name it.
    pub fn summary(&self, leased: &Leased, genesis: &str) -> String {
        let said = self.tab.as_ref().map(|said| {
            let Said { seq, units, price, .. } = said;
            let text = format!("{seq} receipts of {units} compute units, {price}; not checked");
            ("Node reports:", text)
        });
        let beside = match self.tab.as_ref().map(|said| self.price.amount.cmp(&said.price.amount)) {
            Some(Ordering::Greater) => ", more than the node asks",
            Some(Ordering::Less) => ", less than the node asks",
            Some(Ordering::Equal) | None => "",
        };
        let lines = [
            ("Cluster:", format!("genesis hash {genesis}")),
            ("Market:", leased.market.name()),
            ("Lease:", self.lease.clone()),
            ("Spender:", self.spender.clone()),
            ("Paid before:", self.paid.to_string()),
            ("Signed for:", format!("{} since the lease began{beside}", self.price)),
            ("Left then:", format!("{} for vouchers, besides the standby price", self.left)),
            ("At most:", format!("{} (added by this voucher, final)", self.adds.full())),
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
                write!(f, "The node reports a voucher for more, {best}")
            }
            (Some(_), Some(best)) if best.amount < self.price.amount => {
                write!(f, "The node was sent a voucher for {}, but reports {best} as its best", self.price)
            }
            (Some(_), Some(_)) => write!(f, "The node has the voucher for {}", self.price),
        }
    }
}

#[cfg(test)]
mod tests;
