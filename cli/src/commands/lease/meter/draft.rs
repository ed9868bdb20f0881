//! What a voucher is to say, and what it then costs: never less than was paid, never more than the deposit.

use std::{cmp::Ordering, fmt};

use leasehold::{
    error::LeaseholdError,
    state::{LeaseState, Meter, Voucher},
};
use leasehold_client::{error::Refusal, record::voucher};
use serde::{Serialize, Serializer};

use crate::{
    amount::Money,
    commands::lease::leased::Leased,
    failure::Failure,
    node::{NodeError, Tab},
    table::labelled,
};

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
mod tests {
    use leasehold_client::{record::SignedVoucher, sample::FROM};
    use solana_pubkey::Pubkey;

    use super::*;
    use crate::{
        commands::lease::{
            leased::tests::sample,
            meter::tests::{metered, spender},
        },
        failure::tests::rule,
    };

    fn tab(price: u64) -> Tab {
        Tab {
            lease_address: metered().address,
            from: FROM,
            seq: 9,
            units: 450,
            price,
            signed_price: 600,
            limit: 100,
        }
    }

    fn refused(tab: Option<&Tab>, price: Option<&str>, max: Option<&str>) -> String {
        let failure = plan(&metered(), tab, price, max).unwrap_err();
        assert_eq!(failure.code(), 3, "{failure}");
        failure.to_string()
    }

    #[test]
    fn what_the_node_says_is_signed_within_what_was_paid_and_deposited() {
        // 600 of 2,400 are paid.
        let leased = metered();
        let mut draft = plan(&leased, Some(&tab(1_000)), None, Some("0.0004")).unwrap();
        assert_eq!((draft.price.amount, draft.adds.amount, draft.left.amount), (1_000, 400, 1_400));
        let voucher = draft.unsigned(&leased, [7; 8]);
        assert_eq!((voucher.seq, voucher.units, voucher.price, voucher.from), (9, 450, 1_000, FROM));
        assert_eq!((voucher.lease, voucher.cluster), (leased.address.to_bytes(), [7; 8]));
        let signed = SignedVoucher::sign(&spender(), voucher);
        signed.verify(&leased.meter().unwrap().spender).unwrap();
        draft.voucher = Some(signed.to_base64());
        assert_eq!(SignedVoucher::from_base64(&draft.to_string()), Ok(signed));
        let summary = draft.summary(&leased, "G");
        let mint = leased.market.payment.mint;
        let short = crate::amount::short(&mint);
        let line = format!("The node says:  9 receipts of 450 compute units, 0.001 of {short}; nobody has");
        assert!(summary.contains(&line), "{summary}");
        let place =
            format!("Cluster:        that of genesis hash G\nMarket:         {}", leased.market.name());
        assert!(summary.contains(&place), "{summary}");
        let most = format!("At most:        0.0004 of mint {mint} (what it adds");
        assert!(summary.contains(&most), "{summary}");
        assert!(plan(&leased, Some(&tab(2_400)), None, None).is_ok());
        for (price, expected) in [
            (600, "has a voucher for all that is owed, 0.0006"),
            (2_401, "0.002401 is more than the deposit of 0.0024"),
            (u64::MAX, "more than the deposit"),
        ] {
            let text = refused(Some(&tab(price)), None, None);
            assert!(text.contains(expected), "{text}");
        }
        assert!(refused(Some(&tab(1_000)), None, Some("0.000399")).contains("add 0.0004, and --max is"));
        // A node that has lost vouchers asks for what was paid.
        let forgetful = Tab { signed_price: 0, ..tab(600) };
        assert!(
            refused(Some(&forgetful), None, None).contains("0.0006 is no more than the 0.0006 paid before")
        );
    }

    #[test]
    fn a_price_of_ones_own_claims_no_more_receipts_than_it_covers() {
        let own = |price| plan(&metered(), Some(&tab(1_000)), Some(price), None).unwrap();
        let less = own("0.0009");
        assert_eq!((less.seq, less.units, less.adds.amount), (5, 250, 300));
        assert!(less.summary(&metered(), "G").contains("began, less than the node asks\n"));
        let ahead = own("0.002");
        assert_eq!((ahead.seq, ahead.units, ahead.adds.amount), (9, 450, 1_400));
        assert!(ahead.summary(&metered(), "G").contains("began, more than the node asks\n"));
        let alone = plan(&metered(), None, Some("0.0009"), None).unwrap();
        assert_eq!((alone.seq, alone.units), (5, 250));
        assert!(alone.tab.is_none() && !alone.summary(&metered(), "G").contains("The node says"));
        assert!(refused(None, Some("0.0006"), None).contains("paid before"));
        assert!(refused(None, Some("0.002401"), None).contains("more than the deposit"));
    }

    #[test]
    fn nothing_is_signed_for_another_lease_or_one_that_takes_no_voucher() {
        let other = Tab { lease_address: Pubkey::default(), ..tab(1_000) };
        let later = Tab { from: FROM + 1, ..tab(1_000) };
        for tab in [other, later] {
            let failure = plan(&metered(), Some(&tab), None, None).unwrap_err();
            assert!(matches!(failure, Failure::Node(NodeError::OtherLease)), "{failure}");
        }
        assert_eq!(rule(plan(&sample(1), None, Some("1"), None).unwrap_err()), "LeaseNotMetered");
        let mut settled = metered();
        settled.lease.state = LeaseState::Settled;
        assert_eq!(rule(plan(&settled, None, Some("1"), None).unwrap_err()), "LeaseSettled");
    }

    #[test]
    fn a_node_that_tells_of_a_lesser_voucher_is_not_said_to_have_this_one() {
        let mut draft = plan(&metered(), Some(&tab(1_000)), None, None).unwrap();
        draft.voucher = Some(String::new());
        draft.best = Some(Money { amount: 600, ..draft.price });
        let text = draft.to_string();
        assert!(
            !text.contains("has the voucher") && text.contains("says that its best is for 0.0006"),
            "{text}"
        );
        assert_eq!(draft.end().unwrap_err().code(), 5);
        draft.best = Some(draft.price);
        assert!(draft.end().is_ok() && draft.to_string().contains("has the voucher for 0.001"));
    }

    #[test]
    fn programs_read_the_numbers_as_text() {
        let mut draft = plan(&metered(), Some(&tab(1_000)), None, None).unwrap();
        let json = serde_json::to_value(&draft).unwrap();
        assert_eq!((&json["seq"], &json["tab"]["units"]), (&"9".into(), &"450".into()));
        assert_eq!((&json["adds"]["amount"], &json["voucher"]), (&"400".into(), &serde_json::Value::Null));
        assert!(draft.to_string().starts_with("Not signed: --dry-run"));
        draft.voucher = Some(String::new());
        draft.best = Some(draft.left);
        assert!(draft.to_string().starts_with("The node says that it keeps a voucher for more, 0.0014"));
    }
}
