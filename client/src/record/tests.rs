use ed25519_dalek::SigningKey;
use leasehold::state::{BatchHeader, Receipt, Voucher};
use solana_sdk_ids::ed25519_program;

use super::{
    vectors::{batch, machine, receipt, record, salt, spender, voucher},
    *,
};
use crate::{address, sample};

/// A proof of receipt 2 of batch 3 of a log of seven, and the log's data.
fn sample() -> (Proof, Vec<u8>) {
    let record = record();
    let log = sample::log(&record.headers);
    let proof = Proof {
        receipt: record.receipts[2],
        log: address::log(&log.view().unwrap().0.supplier),
        header: record.headers[3],
        index: 3,
        batch_path: record.range.path(3, 7).unwrap(),
        place: 2,
        path: record.tree.path(2).unwrap(),
    };
    (proof, log.bytes().to_vec())
}

/// Each single bit of some bytes flipped.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

#[test]
fn a_receipt_comes_back_in_every_form() {
    let signed = receipt(0);
    signed.verify().unwrap();
    assert_eq!(SignedReceipt::from_bytes(&signed.to_bytes()), Ok(signed));
    assert_eq!(SignedReceipt::from_base64(&signed.to_base64()), Ok(signed));
    let (bare, salted) =
        (ReceiptFile { receipt: signed, salt: None }, ReceiptFile { receipt: signed, salt: Some(salt()) });
    assert_eq!(ReceiptFile::parse(&signed.to_bytes()), Ok(bare));
    assert_eq!(ReceiptFile::parse(format!("{}\n", signed.to_base64()).as_bytes()), Ok(bare));
    assert_eq!(ReceiptFile::parse(bare.to_json().to_string().as_bytes()), Ok(bare));
    assert_eq!(ReceiptFile::parse(salted.to_json().to_string().as_bytes()), Ok(salted));
    let mut more = salted.to_json();
    more["id"] = "of no interest".into();
    assert_eq!(ReceiptFile::parse(more.to_string().as_bytes()), Ok(salted));
}

#[test]
fn files_that_are_no_receipt_are_refused() {
    let bytes = receipt(0).to_bytes();
    let short = RecordError::Length { expected: 392, got: 391 };
    assert_eq!(SignedReceipt::from_bytes(&bytes[..391]), Err(short));
    assert_eq!(ReceiptFile::parse(&[0xff; 10]), Err(RecordError::Base64));
    assert_eq!(ReceiptFile::parse(b"!"), Err(RecordError::Base64));
    assert_eq!(ReceiptFile::parse(b""), Err(RecordError::Length { expected: 392, got: 0 }));
    let form = |content: &str| ReceiptFile::parse(content.as_bytes()).unwrap_err();
    assert!(matches!(form("{}"), RecordError::Form { .. }));
    let mut json = ReceiptFile { receipt: receipt(0), salt: None }.to_json();
    json["salt"] = "00".into();
    assert!(matches!(form(&json.to_string()), RecordError::Form { .. }), "a short salt");
    let mut other = bytes;
    other[0] ^= 1;
    assert_eq!(SignedReceipt::from_bytes(&other), Err(RecordError::NotAReceipt));
}

#[test]
fn no_bit_of_a_signed_receipt_can_change() {
    for changed in flipped(&receipt(0).to_bytes()) {
        let refused = SignedReceipt::from_bytes(&changed).and_then(|signed| signed.verify());
        assert!(refused.is_err());
    }
    let other = SigningKey::from_bytes(&[9; 32]);
    let forged = SignedReceipt::sign(&other, receipt(0).receipt);
    let named = Pubkey::new_from_array(machine().verifying_key().to_bytes());
    assert_eq!(forged.verify(), Err(RecordError::Signature(named)));
    let mut receipt = receipt(0).receipt;
    receipt.flags = 1;
    assert_eq!(SignedReceipt::sign(&machine(), receipt).verify(), Err(RecordError::NotAReceipt));
}

#[test]
fn no_bit_of_a_signed_voucher_can_change() {
    let key = Pubkey::new_from_array(spender().verifying_key().to_bytes());
    let signed = voucher();
    signed.verify(&key).unwrap();
    assert_eq!(SignedVoucher::from_bytes(&signed.to_bytes()), Ok(signed));
    assert_eq!(SignedVoucher::from_base64(&signed.to_base64()), Ok(signed));
    for changed in flipped(&signed.to_bytes()) {
        let refused = SignedVoucher::from_bytes(&changed).and_then(|signed| signed.verify(&key));
        assert!(refused.is_err());
    }
    let machine = Pubkey::new_from_array(machine().verifying_key().to_bytes());
    assert_eq!(signed.verify(&machine), Err(RecordError::Signature(machine)));
    let short = RecordError::Length { expected: 264, got: 392 };
    assert_eq!(SignedVoucher::from_bytes(&receipt(0).to_bytes()), Err(short));
    assert_eq!(Voucher::LEN + 64, SignedVoucher::LEN);
}

/// Offsets as <https://solana.com/docs/core/programs/precompiles> lays them out, in the one form the program
/// takes.
#[test]
fn the_ed25519_instruction_has_the_layout_that_its_program_reads() {
    let (one, other) = (receipt(0), receipt(1));
    let instruction = signatures::of_both(&one, &other);
    assert_eq!(instruction.program_id, ed25519_program::ID);
    assert!(instruction.accounts.is_empty());
    let data = &instruction.data;
    let head = leasehold::instructions::signatures::head(2, Receipt::MESSAGE_LEN).unwrap();
    assert!(data.starts_with(&head));
    assert_eq!((data[0], data[1]), (2, 0), "two signatures, padding");
    for (index, signed) in [one, other].iter().enumerate() {
        let field = |field: usize| {
            let at = 2 + index * 14 + field * 2;
            usize::from(u16::from_le_bytes([data[at], data[at + 1]]))
        };
        let [signature, in_1, key, in_2, message, len, in_3] = std::array::from_fn(field);
        assert_eq!([in_1, in_2, in_3], [0xffff; 3], "all in this instruction");
        assert_eq!(&data[signature..signature + 64], signed.signature);
        assert_eq!(&data[key..key + 32], signed.receipt.node_key);
        assert_eq!(&data[message..message + len], signed.receipt.message());
    }
    assert_eq!(data.len(), head.len() + 32 + 2 * 64 + 2 * Receipt::MESSAGE_LEN, "nothing else");
    let single = one.instruction().data;
    assert_eq!(single.len(), 16 + 32 + 64 + Receipt::MESSAGE_LEN);
    let key = Pubkey::new_from_array(spender().verifying_key().to_bytes());
    let voucher = voucher();
    let data = voucher.instruction(&key).data;
    assert_eq!(&data[16..48], key.as_ref());
    assert_eq!(&data[112..], voucher.voucher.bytes());
}

#[test]
fn a_proof_names_what_it_has_shown() {
    let (proof, log) = sample();
    let verified = proof.verify(&log).unwrap();
    assert_eq!((verified.id, verified.seq), (proof.receipt.id(), 102));
    assert_eq!((verified.batches, verified.header), (7, proof.header));
    assert_eq!(verified.supplier, sample::market().supplier(&sample::wallet(0)));
    let before = |amount: fn(&Receipt) -> u64| (0..2).map(|i| amount(&receipt(i).receipt)).sum::<u64>();
    assert_eq!(verified.units_before, before(|receipt| receipt.units));
    assert_eq!(verified.price_before, before(|receipt| receipt.price));
}

#[test]
fn a_proof_comes_back_from_json() {
    let (proof, log) = sample();
    let json = serde_json::to_value(&proof).unwrap();
    assert_eq!(json["receipt"], proof.receipt.to_base64());
    assert_eq!(json["header"].as_str().unwrap().len(), 2 * BatchHeader::LEN);
    assert!(json["path"][0]["units"].is_string() && json["path"][0]["price"].is_string());
    let read: Proof = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(read, proof);
    read.verify(&log).unwrap();
    for (field, wrong) in [("receipt", "AA=="), ("log", "0"), ("header", "00"), ("path", "")] {
        let mut json = json.clone();
        json[field] = wrong.into();
        assert!(serde_json::from_value::<Proof>(json).is_err(), "{field}");
    }
    let mut short = json;
    short["batch_path"][0] = "00".into();
    assert!(serde_json::from_value::<Proof>(short).is_err());
}

#[test]
fn no_bit_of_a_proof_can_change() {
    let (proof, log) = sample();
    let refused = |change: &dyn Fn(&mut Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        assert!(changed == proof || changed.verify(&log).is_err(), "{changed:?}");
        changed != proof
    };
    for bytes in flipped(&proof.receipt.to_bytes()) {
        let receipt = bytemuck::pod_read_unaligned(&bytes[..Receipt::LEN]);
        let signature = bytes[Receipt::LEN..].try_into().unwrap();
        assert!(refused(&|proof| proof.receipt = SignedReceipt { receipt, signature }));
    }
    for bytes in flipped(bytemuck::bytes_of(&proof.header)) {
        assert!(refused(&|proof| proof.header = bytemuck::pod_read_unaligned(&bytes)));
    }
    for (place, hash) in proof.batch_path.iter().enumerate() {
        for bytes in flipped(hash) {
            assert!(refused(&|proof| proof.batch_path[place] = bytes.as_slice().try_into().unwrap()));
        }
    }
    for (place, node) in proof.path.iter().enumerate() {
        for bytes in flipped(bytemuck::bytes_of(node)) {
            assert!(refused(&|proof| proof.path[place] = bytemuck::pod_read_unaligned(&bytes)));
        }
    }
    for bytes in flipped(proof.log.as_ref()) {
        assert!(refused(&|proof| proof.log = Pubkey::try_from(bytes.as_slice()).unwrap()));
    }
    for bit in 0..64 {
        assert!(refused(&|proof| proof.index ^= 1 << bit));
    }
    for bit in 0..32 {
        assert!(refused(&|proof| proof.place ^= 1 << bit));
    }
    assert!(refused(&|proof| proof.path.truncate(1)));
    assert!(refused(&|proof| proof.path.push(proof.path[0])));
    assert!(refused(&|proof| proof.batch_path.truncate(1)));
    assert!(refused(&|proof| proof.batch_path.push([0; 32])));
}

#[test]
fn the_step_that_fails_is_named() {
    let (proof, log) = sample();
    let failed = |change: fn(&mut Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        changed.verify(&log).unwrap_err()
    };
    let other = |proof: &mut Proof| proof.receipt = receipt(3);
    assert_eq!(failed(other), RecordError::OtherPlace { place: 2, found: 102, expected: 103 });
    assert!(matches!(failed(|proof| proof.header.node_key[0] ^= 1), RecordError::OtherMachine { .. }));
    assert_eq!(failed(|proof| proof.header.lease += 1), RecordError::OtherLease);
    assert_eq!(failed(|proof| proof.header.board = Pubkey::default()), RecordError::OtherLease);
    assert_eq!(failed(|proof| proof.path[0].price += 1), RecordError::NotInBatch);
    assert_eq!(failed(|proof| proof.header.number += 1), RecordError::NotInLog { batches: 7 });
    assert_eq!(failed(|proof| proof.batch_path.clear()), RecordError::NotInLog { batches: 7 });
    assert!(matches!(failed(|proof| proof.log = Pubkey::default()), RecordError::OtherLog { .. }));
    assert!(matches!(proof.verify(&log[..100]), Err(RecordError::Log(_))));
    // The machine signs another price under a number that is in the log.
    let cheaper = Receipt { price: 1, ..proof.receipt.receipt };
    let forged = Proof { receipt: SignedReceipt::sign(&machine(), cheaper), ..proof };
    assert_eq!(forged.verify(&log), Err(RecordError::NotInBatch));
}

#[test]
fn a_receipt_that_names_another_supplier_is_refused() {
    let lie = Receipt { supplier: [1; 8], seq: 0, ..receipt(0).receipt };
    let lie = SignedReceipt::sign(&machine(), lie);
    let header = BatchHeader { root: lie.receipt.leaf(), ..batch(0, Default::default()) };
    let log = sample::log(&[header]);
    let supplier = log.view().unwrap().0.supplier;
    let proof = Proof {
        receipt: lie,
        log: address::log(&supplier),
        header,
        index: 0,
        batch_path: vec![],
        place: 0,
        path: vec![],
    };
    assert_eq!(proof.verify(log.bytes()), Err(RecordError::OtherSupplier { log: supplier }));
}

#[test]
fn a_path_holds_for_the_log_as_it_was() {
    let (proof, _) = sample();
    let mut headers = record().headers;
    headers.push(batch(7, Default::default()));
    let grown = sample::log(&headers);
    assert_eq!(proof.verify(grown.bytes()), Err(RecordError::NotInLog { batches: 8 }));
    let mut range = record().range;
    range.append(headers[7].leaf());
    let renewed = Proof { batch_path: range.path(3, 8).unwrap(), ..proof };
    assert_eq!(renewed.verify(grown.bytes()).unwrap().batches, 8);
}

#[test]
fn instructions_carry_what_the_proof_has() {
    let (proof, _) = sample();
    let instruction = proof.instruction();
    assert_eq!(instruction.accounts.len(), 1);
    assert_eq!(instruction.accounts[0].pubkey, proof.log);
    assert_eq!(&instruction.data[8..56], bytemuck::bytes_of(&proof.receipt.receipt.leaf()));
}

#[test]
fn a_log_account_that_is_damaged_is_refused() {
    let (_, log) = sample();
    let kind = DecodeError::Kind { expected: "compute log" };
    let malformed = DecodeError::Malformed { kind: "compute log" };
    assert_eq!(LogData::new(&[0; 1_456]), Err(kind));
    assert_eq!(LogData::new(&log[..1_455]), Err(malformed.clone()));
    assert_eq!(LogData::new(&log[..1_448]), Err(malformed.clone()));
    let mut lanes = LogData::new(&log).unwrap();
    assert_eq!(lanes.lane(0, 0), None);
    lanes.view_mut().unwrap().0.lanes = 1;
    assert_eq!(LogData::new(lanes.bytes()), Err(malformed), "a lane is missing");
    lanes.view_mut().unwrap().0.version = 2;
    let version = DecodeError::Version { kind: "compute log", version: 2, known: 1 };
    assert_eq!(LogData::new(lanes.bytes()), Err(version));
}

#[test]
fn hashes_of_bodies_depend_on_the_salt() {
    let mut joined = salt().to_vec();
    joined.extend_from_slice(b"what?");
    assert_eq!(salted(&salt(), b"what?"), <[u8; 32]>::from(sha2::Sha256::digest(&joined)));
    assert_ne!(salted(&[0; 32], b"what?"), salted(&salt(), b"what?"));
    assert_eq!(cluster(&Hash::new_from_array([7; 32])), [7; 8]);
}
