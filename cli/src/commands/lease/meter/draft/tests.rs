use leasehold_client::{record::SignedVoucher, sample::FROM};
use leasehold_operate::sample::rule;
use solana_pubkey::Pubkey;

use super::*;
use crate::commands::lease::{
    leased::tests::sample,
    meter::tests::{metered, spender},
};

fn tab(price: u64) -> Tab {
    Tab {
        lease: 1,
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
    let failure = plan(&metered(), 600_000, tab, price, max).unwrap_err();
    assert_eq!(failure.code(), 3, "{failure}");
    failure.to_string()
}

#[test]
fn what_the_node_says_is_signed_within_what_was_paid_and_deposited() {
    // 600 of 2,400 are paid; 17 rounds at 36 an hour of standby price are reserved: until an hour from now.
    let leased = metered();
    let mut draft = plan(&leased, 600_000, Some(&tab(1_000)), None, Some("0.0004")).unwrap();
    assert_eq!((draft.price.amount, draft.adds.amount, draft.left.amount), (1_000, 400, 1_298));
    let voucher = draft.unsigned(&leased).unwrap();
    assert_eq!((voucher.seq, voucher.units, voucher.price, voucher.from), (9, 450, 1_000, FROM));
    assert_eq!((voucher.lease, voucher.cluster), (leased.address.to_bytes(), [0xc1; 8]));
    let signed = SignedVoucher::sign(&spender(), voucher);
    signed.verify(&leased.meter().unwrap().spender).unwrap();
    draft.voucher = Some(signed.to_base64());
    assert_eq!(SignedVoucher::from_base64(&draft.to_string()), Ok(signed));
    let summary = draft.summary(&leased, "G");
    let mint = leased.market.payment.mint;
    let short = leasehold_operate::amount::short(&mint);
    let line = format!("Node reports:  9 receipts of 450 compute units, 0.001 of {short}; not checked");
    assert!(summary.contains(&line), "{summary}");
    let place = format!("Cluster:       genesis hash G\nMarket:        {}", leased.market.name());
    assert!(summary.contains(&place), "{summary}");
    let most = format!("At most:       0.0004 of mint {mint} (added by this voucher, final)");
    assert!(summary.contains(&most), "{summary}");
    assert!(plan(&leased, 600_000, Some(&tab(2_298)), None, None).is_ok());
    for (price, expected) in [
        (600, "has a voucher for all that is owed, 0.0006"),
        (2_299, "0.002299 is more than the 0.002298 that vouchers can take of the deposit of 0.0024"),
        (u64::MAX, "that vouchers can take of the deposit"),
    ] {
        let text = refused(Some(&tab(price)), None, None);
        assert!(text.contains(expected), "{text}");
    }
    assert!(
        refused(Some(&tab(1_000)), None, Some("0.000399")).contains("add 0.0004, more than --max 0.000399")
    );
    // A node that has lost vouchers asks for amounts that are paid.
    let forgetful = Tab { signed_price: 0, ..tab(600) };
    assert!(refused(Some(&forgetful), None, None).contains("0.0006 is not more than the 0.0006 paid before"));
}

#[test]
fn a_price_of_ones_own_claims_no_more_receipts_than_it_covers() {
    let own = |price| plan(&metered(), 600_000, Some(&tab(1_000)), Some(price), None).unwrap();
    let less = own("0.0009");
    assert_eq!((less.seq, less.units, less.adds.amount), (5, 250, 300));
    assert!(less.summary(&metered(), "G").contains("began, less than the node asks\n"));
    let ahead = own("0.002");
    assert_eq!((ahead.seq, ahead.units, ahead.adds.amount), (9, 450, 1_400));
    assert!(ahead.summary(&metered(), "G").contains("began, more than the node asks\n"));
    let alone = plan(&metered(), 600_000, None, Some("0.0009"), None).unwrap();
    assert_eq!((alone.seq, alone.units), (5, 250));
    assert!(alone.tab.is_none() && !alone.summary(&metered(), "G").contains("The node says"));
    assert!(refused(None, Some("0.0006"), None).contains("paid before"));
    assert!(refused(None, Some("0.002299"), None).contains("that vouchers can take of the deposit"));
}

#[test]
fn nothing_is_signed_for_another_lease_or_one_that_takes_no_voucher() {
    let other = Tab { lease_address: Pubkey::default(), ..tab(1_000) };
    assert!(refused(Some(&other), None, None).contains("the use of another lease"));
    assert_eq!(rule(plan(&sample(1), 600_000, None, Some("1"), None).unwrap_err()), "LeaseNotMetered");
}

#[test]
fn a_node_that_tells_of_a_lesser_voucher_is_not_said_to_have_this_one() {
    let mut draft = plan(&metered(), 600_000, Some(&tab(1_000)), None, None).unwrap();
    draft.voucher = Some(String::new());
    draft.best = Some(Money { amount: 600, ..draft.price });
    let text = draft.to_string();
    assert!(!text.contains("has the voucher") && text.contains("but reports 0.0006"), "{text}");
    draft.best = Some(draft.price);
    assert!(draft.to_string().contains("has the voucher for 0.001"));
}

#[test]
fn programs_read_the_numbers_as_text() {
    let mut draft = plan(&metered(), 600_000, Some(&tab(1_000)), None, None).unwrap();
    let json = serde_json::to_value(&draft).unwrap();
    assert_eq!((&json["seq"], &json["tab"]["units"]), (&"9".into(), &"450".into()));
    assert_eq!((&json["adds"]["amount"], &json["voucher"]), (&"400".into(), &serde_json::Value::Null));
    assert!(draft.to_string().starts_with("Not signed: --dry-run"));
    draft.voucher = Some(String::new());
    draft.best = Some(draft.left);
    assert!(draft.to_string().starts_with("The node reports a voucher for more, 0.001298"));
}
