//! `tests/vectors/record.json`: examples for other implementations. Written by
//! `LEASEHOLD_WRITE_VECTORS=1 cargo nextest run -p leasehold-client vectors`, and compared by every other run.

use ed25519_dalek::SigningKey;
use leasehold::{
    math::{
        mmr::{self, Range},
        sum_tree::{SumNode, SumTree},
    },
    state::{BatchHeader, Receipt, Voucher},
};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use super::{SignedReceipt, SignedVoucher, salted};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/record.json");

/// Keys of the examples; of no use elsewhere.
pub fn machine() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub fn spender() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

pub fn salt() -> [u8; 32] {
    std::array::from_fn(|place| place as u8)
}

fn board() -> Pubkey {
    Pubkey::new_from_array([0xb0; 32])
}

/// First bytes of the address of the supplier's account in the sample.
const SUPPLIER: [u8; 8] = [0x6c, 0xbf, 0xc2, 0x1a, 0x0c, 0x81, 0xbe, 0xe8];

/// Receipt 100 + `index` of lease 5.
pub fn receipt(index: u64) -> SignedReceipt {
    let text = |kind: &str| format!("{kind} {index}");
    SignedReceipt::sign(
        &machine(),
        Receipt {
            cluster: [0xc1; 8],
            board: [0xb0; 8],
            lease: 5,
            generation: 70_002,
            node_key: machine().verifying_key().to_bytes(),
            supplier: SUPPLIER,
            seq: 100 + index,
            buyer: [0xb1; 32],
            model: [0x30 + index as u8; 32],
            request: salted(&salt(), text("request").as_bytes()),
            response: salted(&salt(), text("response").as_bytes()),
            units: 1_000 + 7 * index,
            tokens_in: 20 + index as u32,
            tokens_out: 300,
            price: 1 << (8 * index),
            mint: [0x41; 32],
            start_ms: 1_700_000_000_000 + 1_000 * index,
            end_ms: 1_700_000_000_800 + 1_000 * index,
            class: 3,
            slot: 17,
            ..super::receipt::blank()
        },
    )
}

/// Batch `number` of the machine, of one receipt more than its number.
pub fn batch(number: u32, root: SumNode) -> BatchHeader {
    BatchHeader {
        board: board(),
        node_key: machine().verifying_key().to_bytes(),
        lease: 5,
        generation: 70_002,
        number,
        count: number + 1,
        first_seq: u64::from(number) * 10,
        root,
        first_ms: 1_700_000_000_000 + u64::from(number),
        last_ms: 1_700_000_000_900 + u64::from(number),
        source: [0x50; 32],
        slot: 17,
        reserved: [0; 6],
    }
}

pub fn voucher() -> SignedVoucher {
    let voucher = Voucher {
        lease: [0x1e; 32],
        cluster: [0xc1; 8],
        node_key: machine().verifying_key().to_bytes(),
        supplier: SUPPLIER,
        generation: 70_002,
        from: 990,
        slot: 17,
        seq: 105,
        units: 5_070,
        price: 4_311_810_305,
        root: [0x70; 32],
        ..super::voucher::blank()
    };
    SignedVoucher::sign(&spender(), voucher)
}

/// Five receipts, the tree over them, and a log of seven batches of which number 3 is theirs.
pub struct Record {
    pub receipts: Vec<SignedReceipt>,
    pub tree: SumTree,
    pub headers: Vec<BatchHeader>,
    pub range: Range,
}

pub fn record() -> Record {
    let receipts: Vec<_> = (0..5).map(receipt).collect();
    let leaves = receipts.iter().map(|signed| signed.receipt.leaf()).collect();
    let tree = SumTree::new(leaves).unwrap_or_else(|_| panic!("the sums of five receipts fit"));
    let headers: Vec<_> = (0..7)
        .map(|number| match number {
            3 => BatchHeader { count: 5, first_seq: 100, ..batch(3, tree.root()) },
            _ => batch(number, SumNode { hash: [number as u8; 32], units: 10, price: 1 }),
        })
        .collect();
    let mut range = Range::default();
    headers.iter().for_each(|header| range.append(header.leaf()));
    Record { receipts, tree, headers, range }
}

fn vectors() -> Value {
    let Record { receipts, tree, headers, range } = record();
    let peaks = range.peaks();
    json!({
        "about": "Numbers are little-endian, amounts strings, bytes hex. Layouts: state/receipt.rs, state/batch.rs, \
                  state/voucher.rs; a receipt's signature is over `message`, a voucher's over its bytes; hashes: math/digest.rs, math/sum_tree.rs, math/mmr.rs of the program.",
        "machine": { "secret": hex::encode(machine().to_bytes()), "key": hex::encode(machine().verifying_key()) },
        "spender": { "secret": hex::encode(spender().to_bytes()), "key": hex::encode(spender().verifying_key()) },
        "salt": hex::encode(salt()),
        "receipts": receipts.iter().enumerate().map(receipt_json).collect::<Vec<_>>(),
        "tree": {
            "leaves": receipts.iter().map(|signed| node_json(&signed.receipt.leaf())).collect::<Vec<_>>(),
            "root": node_json(&tree.root()),
            "paths": (0..receipts.len())
                .map(|place| tree.path(place).unwrap_or_default().iter().map(node_json).collect())
                .collect::<Vec<Vec<_>>>(),
        },
        "log": {
            "batches": headers.iter().map(batch_json).collect::<Vec<_>>(),
            "peaks": (0..3).map(|height| json!({ "height": height, "hash": hex::encode(peaks[height]) }))
                .collect::<Vec<_>>(),
            "root": hex::encode(mmr::root(&peaks, range.len())),
            "paths": (0..range.len())
                .map(|index| range.path(index, range.len()).unwrap_or_default().iter().map(hex::encode).collect())
                .collect::<Vec<Vec<_>>>(),
        },
        "voucher": voucher_json(&voucher()),
    })
}

fn receipt_json((index, signed): (usize, &SignedReceipt)) -> Value {
    let receipt = &signed.receipt;
    json!({
        "fields": {
            "program": hex::encode(receipt.program),
            "cluster": hex::encode(receipt.cluster),
            "board": hex::encode(receipt.board),
            "lease": receipt.lease,
            "generation": receipt.generation,
            "node_key": hex::encode(receipt.node_key),
            "supplier": hex::encode(receipt.supplier),
            "seq": receipt.seq.to_string(),
            "end_ms": receipt.end_ms.to_string(),
            "slot": receipt.slot,
            "class": receipt.class,
            "buyer": hex::encode(receipt.buyer),
            "model": hex::encode(receipt.model),
            "request": hex::encode(receipt.request),
            "response": hex::encode(receipt.response),
            "units": receipt.units.to_string(),
            "tokens_in": receipt.tokens_in,
            "tokens_out": receipt.tokens_out,
            "price": receipt.price.to_string(),
            "mint": hex::encode(receipt.mint),
            "start_ms": receipt.start_ms.to_string(),
        },
        "request_body": format!("request {index}"),
        "response_body": format!("response {index}"),
        "bytes": hex::encode(receipt.bytes()),
        "rest": hex::encode(receipt.rest()),
        "id": hex::encode(receipt.id()),
        "message": hex::encode(receipt.message()),
        "signature": hex::encode(signed.signature),
    })
}

fn node_json(node: &SumNode) -> Value {
    let SumNode { hash, units, price } = node;
    json!({ "hash": hex::encode(hash), "units": units.to_string(), "price": price.to_string() })
}

fn batch_json(header: &BatchHeader) -> Value {
    json!({
        "fields": {
            "board": hex::encode(header.board),
            "node_key": hex::encode(header.node_key),
            "slot": header.slot,
            "generation": header.generation,
            "lease": header.lease,
            "number": header.number,
            "count": header.count,
            "first_seq": header.first_seq.to_string(),
            "root": node_json(&header.root),
            "first_ms": header.first_ms.to_string(),
            "last_ms": header.last_ms.to_string(),
            "source": hex::encode(header.source),
        },
        "bytes": hex::encode(bytemuck::bytes_of(header)),
        "leaf": hex::encode(header.leaf()),
    })
}

fn voucher_json(signed: &SignedVoucher) -> Value {
    let voucher = &signed.voucher;
    json!({
        "fields": {
            "program": hex::encode(voucher.program),
            "lease": hex::encode(voucher.lease),
            "cluster": hex::encode(voucher.cluster),
            "node_key": hex::encode(voucher.node_key),
            "supplier": hex::encode(voucher.supplier),
            "generation": voucher.generation,
            "from": voucher.from,
            "slot": voucher.slot,
            "seq": voucher.seq.to_string(),
            "units": voucher.units.to_string(),
            "price": voucher.price.to_string(),
            "root": hex::encode(voucher.root),
        },
        "bytes": hex::encode(voucher.bytes()),
        "signature": hex::encode(signed.signature),
    })
}

#[test]
fn vectors_are_as_committed() {
    if std::env::var_os("LEASEHOLD_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vectors()).unwrap();
        std::fs::create_dir_all(std::path::Path::new(FILE).parent().unwrap()).unwrap();
        std::fs::write(FILE, text + "\n").unwrap();
    }
    let committed: Value = serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap();
    let (committed, found) = (committed.as_object().unwrap(), vectors());
    assert_eq!(committed.len(), found.as_object().unwrap().len());
    for (name, value) in committed {
        assert_eq!(value, &found[name], "{name}");
    }
}
