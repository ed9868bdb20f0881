use bytemuck::Zeroable;
use leasehold::state::BatchHeader;
use leasehold_client::{
    prove::{Context, Proved},
    record::{Proof, Verified},
};
use leasehold_operate::format::Format;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use super::{report::Found, *};

/// The first receipt of the vectors, signed by its machine.
fn receipt() -> SignedReceipt {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/record.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let bytes = |field: &str| hex::decode(vectors["receipts"][0][field].as_str().unwrap()).unwrap();
    SignedReceipt::from_bytes(&[bytes("bytes"), bytes("signature")].concat()).unwrap()
}

fn header() -> BatchHeader {
    let board = Pubkey::new_from_array([0xb0; 32]);
    BatchHeader { board, slot: 17, generation: 2, lease: 5, number: 3, count: 5, ..Zeroable::zeroed() }
}

fn verified() -> Verified {
    Verified {
        id: receipt().id(),
        seq: 100,
        header: header(),
        supplier: Pubkey::new_from_array([1; 32]),
        batches: 7,
        units_before: 0,
        price_before: 0,
    }
}

/// Of a supplier that has left and a lease that was closed.
fn context() -> Context {
    Context {
        supplier: None,
        market: None,
        lease_address: None,
        lease_unread: false,
        lease: None,
        decimals: Some(6),
        board_index: None,
    }
}

fn found() -> Report {
    let signed = receipt();
    let proof = Proof {
        receipt: signed,
        log: Pubkey::new_from_array([3; 32]),
        header: header(),
        index: 3,
        batch_path: vec![],
        place: 0,
        path: vec![],
    };
    let mut report = Report::new(signed.id());
    report.steps.signature(&signed).unwrap();
    context().check(&signed, &verified(), &mut report.steps).unwrap();
    report.found = Some(Found::new(&Proved { proof, verified: verified(), context: context() }));
    report.verified = true;
    report
}

#[test]
fn a_report_names_machine_buyer_price_and_time() {
    let text = Format::Display.render(&found());
    let key = |byte| Pubkey::new_from_array([byte; 32]);
    for (label, value) in [
        ("Id:", hex::encode(receipt().id())),
        ("Machine:", Pubkey::new_from_array(receipt().receipt.node_key).to_string()),
        ("Board:", key(0xb0).to_string()),
        ("Slot:", "17, generation 2".to_owned()),
        ("Supplier:", format!("left the market (account {})", key(1))),
        ("Lease:", "5 (closed), receipt 100".to_owned()),
        ("Buyer:", key(0xb1).to_string()),
        ("Model:", "30".repeat(32)),
        ("Units:", "1000".to_owned()),
        ("Tokens:", "20 in, 300 out".to_owned()),
        ("Price:", format!("0.000001 of mint {}", key(0x41))),
        ("Time:", "2023-11-14T22:13:20.000Z to 2023-11-14T22:13:20.800Z".to_owned()),
    ] {
        let line = format!("{label:<10} {value}");
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
    assert!(text.ends_with("The receipt is proved.\n"), "{text}");
    assert!(text.contains("proved     signature: machine "), "{text}");
}

#[test]
fn programs_read_amounts_as_strings() {
    let json: Value = serde_json::from_str(&Format::Json.render(&found())).unwrap();
    assert_eq!(json["id"], hex::encode(receipt().id()));
    assert_eq!(json["verified"], true);
    assert_eq!(json["machine"]["slot"], 17);
    assert_eq!(json["units"], "1000");
    assert_eq!(json["price"]["amount"], "1");
    assert_eq!(json["price"]["decimals"], 6);
    assert_eq!(json["lease"]["seq"], "100");
    assert_eq!(json["time"]["end_ms"], "1700000000800");
    assert_eq!(json["log"]["batches"], "7");
    assert_eq!(json["supplier"]["wallet"], Value::Null);
    assert_eq!(json["receipt"], receipt().to_base64());
    assert_eq!(json["steps"].as_array().unwrap().len(), 3);
    assert!(json.get("error").is_none());
}

#[test]
fn what_is_not_proved_names_the_step_and_claims_nothing() {
    let mut forged = receipt();
    forged.receipt.price = 2;
    let mut report = Report::new(forged.id());
    let failure = Failure::from(report.steps.signature(&forged).unwrap_err());
    assert_eq!(failure.code(), 1);
    report.fail("it is forged".to_owned());
    let step = json!({ "step": "signature", "proved": false, "detail": "it is forged" });
    let expected = json!({ "id": hex::encode(forged.id()), "verified": false, "steps": [step], "error": "it is forged" });
    let found: Value = serde_json::from_str(&Format::JsonCompact.render(&report)).unwrap();
    assert_eq!(found, expected);
    let text = Format::Display.render(&report);
    assert!(text.contains("NOT PROVED signature: it is forged"), "{text}");
    assert!(text.ends_with("The receipt is NOT proved.\n"), "{text}");
}

#[test]
fn a_file_is_no_receipt_or_a_forged_one() {
    let path = Path::new("file");
    assert_eq!(parse(path, &receipt().to_bytes()).unwrap().receipt, receipt());
    assert_eq!(parse(path, b"hello").unwrap_err().code(), 2);
    let mut forged = receipt().to_bytes();
    forged[20] ^= 1;
    assert_eq!(parse(path, &forged).unwrap_err().code(), 1, "of another program");
}

#[test]
fn ids_and_salts_have_64_hex_digits() {
    assert_eq!("00".repeat(32).parse(), Ok(Hash([0; 32])));
    assert_eq!("AB".repeat(32).parse(), Ok(Hash([0xab; 32])));
    for wrong in ["", "00", &"0g".repeat(32), &"00".repeat(33)] {
        assert_eq!(wrong.parse::<Hash>(), Err("give 64 hex digits"));
    }
}
