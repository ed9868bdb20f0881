use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../testdata/probe_v1.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn bytes32(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn public(key: &SigningKey) -> Pubkey {
    Pubkey::from(key.verifying_key().to_bytes())
}

fn challenge() -> Challenge {
    Challenge {
        program: Pubkey::from([1; 32]),
        market: Pubkey::from([2; 32]),
        board: Pubkey::from([3; 32]),
        slot: 4,
        generation: 5,
        round: 6,
        cluster: [9; 4],
        keeper: public(&key(7)),
        seed: [8; 32],
    }
}

#[test]
fn vectors_of_another_implementation_agree() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let keeper = SigningKey::from_bytes(&bytes32(&case["keeper_secret"]));
        let node = SigningKey::from_bytes(&bytes32(&case["node_secret"]));
        let challenge = Challenge {
            program: Pubkey::from(bytes32(&case["program"])),
            market: Pubkey::from(bytes32(&case["market"])),
            board: Pubkey::from(bytes32(&case["board"])),
            slot: case["slot"].as_u64().unwrap() as u32,
            generation: case["generation"].as_u64().unwrap() as u32,
            round: case["round"].as_u64().unwrap() as u32,
            cluster: bytes(&case["cluster"]).try_into().unwrap(),
            keeper: Pubkey::from(bytes32(&case["keeper"])),
            seed: bytes32(&case["seed"]),
        };
        let datagram = challenge.sign(&keeper).unwrap();
        assert_eq!(datagram.to_vec(), bytes(&case["challenge"]));
        let decoded = SignedChallenge::decode(&datagram).unwrap();
        assert_eq!(decoded.challenge, challenge);
        decoded.verify().unwrap();

        let pong = challenge.answer(&node);
        assert_eq!(pong.encode().to_vec(), bytes(&case["pong"]));
        assert_eq!(Pong::decode(&pong.encode()).unwrap(), pong);
        let signed = SignedPong::new(&challenge, &pong, &Pubkey::from(bytes32(&case["node_key"]))).unwrap();
        assert_eq!(signed.leaf(), bytes32(&case["leaf"]));
        assert_eq!(SignedPong::decode(&signed.encode()).unwrap(), signed);
    }
}

#[test]
fn tree_vectors_of_another_implementation_agree() {
    let vectors = vectors();
    let leaves: Vec<_> =
        vectors["cases"].as_array().unwrap().iter().map(|case| bytes32(&case["leaf"])).collect();
    for (count, expected) in vectors["trees"].as_array().unwrap().iter().enumerate() {
        let tree = PongTree::new(leaves[..count].to_vec());
        assert_eq!(tree.root(), bytes32(&expected["root"]));
        for (index, proof) in expected["proofs"].as_array().unwrap().iter().enumerate() {
            let proof: Vec<_> = proof.as_array().unwrap().iter().map(bytes32).collect();
            assert_eq!(tree.proof(index).unwrap(), proof);
            assert!(verify_proof(&tree.root(), &leaves[index], index, count, &proof));
        }
    }
}

#[test]
fn every_changed_bit_of_a_challenge_is_refused() {
    let datagram = challenge().sign(&key(7)).unwrap();
    for bit in 0..CHALLENGE_LEN * 8 {
        let mut changed = datagram;
        changed[bit / 8] ^= 1 << (bit % 8);
        let accepted = SignedChallenge::decode(&changed).and_then(|decoded| decoded.verify());
        assert!(accepted.is_err(), "bit {bit} can be changed");
    }
}

#[test]
fn every_changed_bit_of_an_answer_is_refused() {
    let node = key(9);
    let datagram = challenge().answer(&node).encode();
    for bit in 0..PONG_LEN * 8 {
        let mut changed = datagram;
        changed[bit / 8] ^= 1 << (bit % 8);
        let accepted =
            Pong::decode(&changed).and_then(|pong| SignedPong::new(&challenge(), &pong, &public(&node)));
        assert!(accepted.is_err(), "bit {bit} can be changed");
    }
}

#[test]
fn an_answer_serves_no_other_challenge() {
    let node = key(9);
    let pong = challenge().answer(&node);
    let other_key = |byte| Pubkey::from([byte; 32]);
    let others: [fn(&mut Challenge, Pubkey); 10] = [
        |c, key| c.program = key,
        |c, key| c.market = key,
        |c, key| c.board = key,
        |c, _| c.slot += 1,
        |c, _| c.generation += 1,
        |c, _| c.generation += 1 << 16,
        |c, _| c.round += 1,
        |c, _| c.cluster[3] ^= 1,
        |c, key| c.keeper = key,
        |c, _| c.seed[31] ^= 1,
    ];
    for change in others {
        let mut other = challenge();
        change(&mut other, other_key(77));
        assert_eq!(SignedPong::new(&other, &pong, &public(&node)), Err(ProbeError::OtherChallenge));
        // Nor with the hash put right: the signature is over the fields.
        let renamed = Pong { challenge: other.hash(), ..pong };
        assert_eq!(SignedPong::new(&other, &renamed, &public(&node)), Err(ProbeError::Signature));
    }
    assert_eq!(SignedPong::new(&challenge(), &pong, &public(&key(10))), Err(ProbeError::Signature));
}

#[test]
fn a_challenge_of_another_key_than_its_keeper_is_not_signed() {
    assert_eq!(challenge().sign(&key(8)), Err(ProbeError::WrongKeeper));
}

#[test]
fn wrong_lengths_and_tags_are_named() {
    let datagram = challenge().sign(&key(7)).unwrap();
    assert_eq!(
        SignedChallenge::decode(&datagram[..255]),
        Err(ProbeError::Length { expected: CHALLENGE_LEN, got: 255 })
    );
    let pong = challenge().answer(&key(9)).encode();
    assert_eq!(Pong::decode(&pong[1..]), Err(ProbeError::Length { expected: PONG_LEN, got: 111 }));
    assert_eq!(SignedPong::decode(&[]), Err(ProbeError::Length { expected: SIGNED_PONG_LEN, got: 0 }));
    let with = |offset: usize, byte: u8| {
        let mut changed = datagram;
        changed[offset] = byte;
        SignedChallenge::decode(&changed)
    };
    assert_eq!(with(15, b'2'), Err(ProbeError::Tag));
}

/// A key of small order verifies one signature for many messages unless verification is strict; and
/// bytes that are no point of the curve are no key.
#[test]
fn weak_and_impossible_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut pong = challenge().answer(&key(9));
    // R = identity, s = 0: valid under the identity key by the plain equation, for any message.
    pong.signature = [0; 64];
    pong.signature[0] = 1;
    assert_eq!(SignedPong::new(&challenge(), &pong, &Pubkey::from(identity)), Err(ProbeError::Signature));
    let mut no_point = [0; 32];
    no_point[0] = 2;
    assert_eq!(SignedPong::new(&challenge(), &pong, &Pubkey::from(no_point)), Err(ProbeError::PublicKey));
}

/// The definition of RFC 9162, section 2.1.1, word by word.
fn naive_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let mut half = 1;
            while half * 2 < leaves.len() {
                half *= 2;
            }
            let (left, right) = leaves.split_at(half);
            let mut node = vec![1];
            node.extend(naive_root(left));
            node.extend(naive_root(right));
            Sha256::digest(node).into()
        }
    }
}

proptest! {
    #[test]
    fn tree_equals_its_definition(leaves in prop::collection::vec(any::<[u8; 32]>(), 0..200)) {
        let tree = PongTree::new(leaves.clone());
        prop_assert_eq!(tree.root(), naive_root(&leaves));
        prop_assert_eq!(tree.len(), leaves.len());
        prop_assert_eq!(tree.proof(leaves.len()), None);
        for (index, leaf) in leaves.iter().enumerate() {
            let proof = tree.proof(index).unwrap();
            prop_assert!(verify_proof(&tree.root(), leaf, index, leaves.len(), &proof));
        }
    }

    #[test]
    fn proof_of_anything_else_is_refused(
        leaves in prop::collection::vec(any::<[u8; 32]>(), 1..200),
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        bit in 0usize..256,
    ) {
        let (index, other) = (at.index(leaves.len()), other.index(leaves.len()));
        let tree = PongTree::new(leaves.clone());
        let (root, count) = (tree.root(), leaves.len());
        let mut proof = tree.proof(index).unwrap();
        let mut leaf = leaves[index];
        if other != index {
            prop_assert!(!verify_proof(&root, &leaf, other, count, &proof));
        }
        prop_assert!(!verify_proof(&root, &leaf, count, count, &proof));
        leaf[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_proof(&root, &leaf, index, count, &proof));
        leaf = leaves[index];
        for step in 0..proof.len() {
            proof[step][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_proof(&root, &leaf, index, count, &proof));
            proof[step][bit / 8] ^= 1 << (bit % 8);
        }
        proof.push([0; 32]);
        prop_assert!(!verify_proof(&root, &leaf, index, count, &proof));
        proof.pop();
        if proof.pop().is_some() {
            prop_assert!(!verify_proof(&root, &leaf, index, count, &proof));
        }
    }

    /// An inner node never passes for an answer: it would need the leaf prefix before its content.
    #[test]
    fn inner_node_is_no_leaf(leaves in prop::collection::vec(any::<[u8; 32]>(), 2..50)) {
        let tree = PongTree::new(leaves.clone());
        let content = [leaves[0], leaves[1]].concat();
        prop_assert_ne!(tree::leaf_hash(&content), naive_root(&leaves[..2]));
        prop_assert_eq!(tree.proof(0).unwrap()[0], leaves[1]);
    }

    #[test]
    fn garbage_is_never_a_message(garbage in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(SignedChallenge::decode(&garbage).is_err());
        prop_assert!(Pong::decode(&garbage).is_err());
        prop_assert!(SignedPong::decode(&garbage).is_err());
    }
}

#[test]
fn pong_root_is_over_the_answers_in_order_of_their_slots() {
    let node = key(9);
    let answers: BTreeMap<u32, SignedPong> = [30, 2, 17]
        .map(|slot| {
            let challenge = Challenge { slot, ..challenge() };
            let pong = challenge.answer(&node);
            (slot, SignedPong::new(&challenge, &pong, &public(&node)).unwrap())
        })
        .into();
    let leaves = [2, 17, 30].map(|slot| answers[&slot].leaf());
    assert_eq!(pong_root(&answers), naive_root(&leaves));
    assert_ne!(pong_root(&answers), pong_root(&BTreeMap::new()));
}
