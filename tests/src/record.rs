use ed25519_dalek::SigningKey;
use leasehold::{
    instructions::{Batch, BatchProof, Machine, MeterArgs, OpenLeaseArgs},
    math::{
        matching::Criteria,
        mmr::{self, Range},
        sum_tree::SumTree,
    },
    state::{BatchHeader, ComputeLog, Demand, Lane, Receipt, Traits, Voucher},
};
use leasehold_client::{
    account::Account,
    address,
    event::{self, Event},
    instruction,
    record::{LogData, Proof, SignedReceipt, SignedVoucher, receipt, voucher},
};
use litesvm::types::TransactionMetadata;
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

use crate::{KeeperActor, Scene, SupplierActor, World, anything, machine};

/// First bytes of the genesis hash of the tests' cluster.
pub const CLUSTER: [u8; 8] = *b"LiteSVM!";
/// Where the tests' receipts can be had.
pub const SOURCE: &str = "https://node.example/leasehold";

/// Key of machine `number`.
pub fn node_key(number: u16) -> SigningKey {
    let mut seed = *b"a machine of Leasehold's tests..";
    seed[30..].copy_from_slice(&number.to_le_bytes());
    SigningKey::from_bytes(&seed)
}

/// As [`machine`], with a key that signs. It may be leased by use.
pub fn signing_machine(number: u16) -> Machine {
    let Machine { traits, .. } = machine(number);
    let node_key = node_key(number).verifying_key().to_bytes();
    Machine { node_key, traits: Traits { flags: Traits::METERED, ..traits }, ..machine(number) }
}

/// Key that signs a buyer's vouchers.
pub fn spender() -> SigningKey {
    SigningKey::from_bytes(b"a buyer's software signs voucher")
}

pub fn public(key: &SigningKey) -> Pubkey {
    Pubkey::new_from_array(key.verifying_key().to_bytes())
}

/// What the program reported in a transaction.
pub fn events(meta: &TransactionMetadata) -> Vec<Event> {
    let inner = meta.inner_instructions.iter().flatten();
    inner.filter_map(|inner| event::decode(&inner.instruction.data)).collect()
}

impl World {
    /// Lets time pass until a second of that round has.
    pub fn go_to_round(&mut self, round: u32) {
        let begin = self.with_board(|board, _| board.round_end(round - 1));
        self.set_time(begin + 1);
    }

    /// What the machine in a slot would sign for an answer just now.
    pub fn receipt(&self, serial: u32, slot: u16, seq: u64) -> Receipt {
        let (machine, lease) = (self.slot(slot), self.lease(serial));
        let now = u64::try_from(self.now()).expect("after 1970") * 1_000;
        let board = self.board().address.to_bytes();
        Receipt {
            cluster: CLUSTER,
            board: board[..8].try_into().expect("eight bytes"),
            lease: serial.into(),
            node_key: machine.node_key,
            buyer: lease.buyer.to_bytes(),
            seq,
            model: [3; 32],
            request: [5; 32],
            response: [6; 32],
            units: 10 + seq,
            tokens_in: 20,
            tokens_out: 30,
            price: 100 + seq,
            mint: self.market.payment_mint.to_bytes(),
            start_ms: now - 500,
            end_ms: now,
            class: machine.traits.class,
            slot,
            generation: machine.generation,
            ..receipt::blank()
        }
    }

    /// The same, signed. The machine in slot i has key number i.
    pub fn signed(&self, serial: u32, slot: u16, seq: u64) -> SignedReceipt {
        SignedReceipt::sign(&node_key(slot), self.receipt(serial, slot, seq))
    }

    /// Demands a receipt. The Ed25519 program's instruction comes first.
    pub fn demand_instructions(&self, claimant: &Keypair, receipt: &SignedReceipt) -> [Instruction; 2] {
        let board = self.board();
        let lease = address::lease(&board.address, receipt.receipt.lease);
        let demand = instruction::demand_receipt(&board, claimant.pubkey(), lease, receipt.id());
        [receipt.instruction(), demand]
    }

    /// Demands a receipt. Returns the demand's address.
    #[track_caller]
    pub fn demand(&mut self, claimant: &Keypair, receipt: &SignedReceipt) -> Pubkey {
        let demand = self.demand_instructions(claimant, receipt);
        self.ok(&demand, &[claimant]);
        address::demand(&receipt.id())
    }

    pub fn demand_account(&self, address: &Pubkey) -> Demand {
        self.account(address)
    }

    /// Arguments for the next lease, paid by use.
    pub fn metered_args(&self, deposit: u64, rounds: u32) -> OpenLeaseArgs {
        let criteria = Criteria { metered: true, ..anything() };
        let meter = MeterArgs { spender: public(&spender()), deposit };
        OpenLeaseArgs { meter: Some(meter), ..self.lease_args(criteria, 1, rounds) }
    }

    /// Opens a lease paid by use. Returns its serial.
    pub fn open_metered(&mut self, buyer: &Keypair, deposit: u64, rounds: u32) -> u32 {
        let args = self.metered_args(deposit, rounds);
        let open = self.open_instruction(buyer, args);
        self.ok(&[open], &[buyer]);
        u32::try_from(args.serial).expect("a serial")
    }

    /// What the buyer of a metered lease owes in all, signed by its software.
    pub fn voucher(&self, serial: u32, price: u64) -> SignedVoucher {
        SignedVoucher::sign(&spender(), self.unsigned_voucher(serial, price))
    }

    pub fn unsigned_voucher(&self, serial: u32, price: u64) -> Voucher {
        Voucher {
            lease: self.board().lease(serial).to_bytes(),
            cluster: CLUSTER,
            from: self.lease(serial).from,
            seq: price / 100,
            units: price / 10,
            price,
            ..voucher::blank()
        }
    }

    /// Redeems a voucher. The Ed25519 program's instruction comes first.
    pub fn redeem_instructions(&self, serial: u32, voucher: &SignedVoucher, slot: u16) -> [Instruction; 2] {
        let board = self.board();
        let redeem = instruction::redeem_voucher(&board, board.lease(serial), slot);
        [voucher.instruction(&public(&spender())), redeem]
    }

    /// Sends instructions of which the last must be refused with exactly that error, and so change nothing.
    #[track_caller]
    pub fn fails_last(&mut self, instructions: &[Instruction], signers: &[&Keypair], error: impl Into<u32>) {
        let code = error.into();
        let failed = match self.send(instructions, signers) {
            Ok(meta) => panic!("was not refused\n{}", meta.pretty_logs()),
            Err(failed) => failed,
        };
        println!("{}", failed.meta.pretty_logs());
        // Instruction 0 sets the compute budget.
        let last = u8::try_from(instructions.len()).expect("few instructions");
        let expected = TransactionError::InstructionError(last, InstructionError::Custom(code));
        assert_eq!(failed.err, expected, "expected {code}");
    }
}

/// A batch as an archive keeps it.
#[derive(Clone)]
pub struct Sealed {
    pub header: BatchHeader,
    pub receipts: Vec<SignedReceipt>,
    pub tree: SumTree,
}

/// What an archive keeps of a log.
#[derive(Clone, Default)]
pub struct Archive {
    pub range: Range,
    pub batches: Vec<Sealed>,
}

impl Archive {
    pub fn add(&mut self, header: BatchHeader, receipts: Vec<SignedReceipt>) {
        self.range.append(header.leaf());
        self.batches.push(Sealed { header, tree: tree(&receipts), receipts });
    }

    /// Where a batch stands in the log as it is now.
    pub fn batch(&self, index: usize) -> BatchProof {
        let (header, index) = (self.batches[index].header, index as u64);
        let path = self.range.path(index, self.range.len()).expect("it is in the log");
        BatchProof { header, index, path }
    }

    /// That the receipt in a place of a batch is in the log as it is now.
    pub fn proof(&self, log: Pubkey, index: usize, place: usize) -> Proof {
        let batch = &self.batches[index];
        let BatchProof { header, index, path: batch_path } = self.batch(index);
        Proof {
            receipt: batch.receipts[place],
            log,
            header,
            index,
            batch_path,
            place: u32::try_from(place).expect("at most 65,536"),
            path: batch.tree.path(place).expect("it is in the batch"),
        }
    }
}

/// The tree over a batch.
pub fn tree(receipts: &[SignedReceipt]) -> SumTree {
    let leaves = receipts.iter().map(|signed| signed.receipt.leaf()).collect();
    SumTree::new(leaves).expect("sums fit")
}

/// A [`Scene`] whose machines sign and whose supplier has a log with a lane for each of them.
pub struct Recording {
    pub world: World,
    pub supplier: SupplierActor,
    pub keepers: Vec<KeeperActor>,
    pub buyer: Keypair,
    /// May append to the log.
    pub operator: Keypair,
    pub log: Pubkey,
    /// What was appended.
    pub archive: Archive,
}

impl Recording {
    /// Machines that nobody has leased; slot i has key number i.
    pub fn listed(machines: u16) -> Self {
        let mut scene = Scene::listed(0);
        let batch: Vec<_> = (0..machines).map(signing_machine).collect();
        scene.world.list(&scene.supplier, crate::COMMITTED, &batch);
        let Scene { mut world, supplier, keepers, buyer } = scene;
        let operator = world.wallet();
        let (key, account) = (supplier.wallet.pubkey(), supplier.account);
        let create = instruction::create_log(key, account, operator.pubkey());
        let lanes = instruction::open_lanes(&world.board(), key, account, (0..machines).collect());
        world.ok(&[create, lanes], &[&supplier.wallet]);
        let (log, archive) = (address::log(&account), Archive::default());
        Recording { world, supplier, keepers, buyer, operator, log, archive }
    }

    /// Machines of which the first `leased` are lease 1 for `rounds` rounds, the first of which runs.
    pub fn leased(machines: u16, leased: u32, rounds: u32) -> Self {
        let mut scene = Recording::listed(machines);
        scene.world.open(&scene.buyer, anything(), leased, rounds);
        scene.world.end_round();
        scene
    }

    /// With a log of that many batches of `count` receipts: peaks, numbers and sums as if they had been
    /// appended. All batches have one tree, which is returned, and differ in their numbers.
    pub fn grown(batches: u32, count: u32) -> (Self, SumTree) {
        let mut scene = Recording::leased(1, 1, 100);
        let first = scene.receipts(1, 0, 1);
        scene.seal(0, first.clone());
        let Sealed { header: one, .. } = scene.archive.batches.remove(0);
        let sample: Receipt = first[0].receipt;
        let leaf = |seq: u64| Receipt { seq, units: 1 + seq % 1_000, price: 1 + seq % 77, ..sample }.leaf();
        let tree = SumTree::new((0..u64::from(count)).map(leaf).collect()).expect("sums fit");
        let mut range = Range::default();
        let header = |number| BatchHeader {
            number,
            count,
            first_seq: u64::from(number) * u64::from(count),
            root: tree.root(),
            ..one
        };
        for number in 0..batches {
            range.append(header(number).leaf());
        }
        let mut account = scene.world.svm.get_account(&scene.log).expect("a log");
        let mut data = LogData::new(&account.data).expect("a log");
        let (log, _) = data.view_mut().expect("a log");
        log.batches = batches.into();
        log.receipts = u64::from(batches) * u64::from(count);
        log.units = u64::from(batches) * tree.root().units;
        log.price = u64::from(batches) * tree.root().price;
        log.peaks = range.peaks();
        account.data = data.bytes().to_vec();
        scene.world.svm.set_account(scene.log, account).expect("any account can be made up");
        scene.archive.range = range;
        scene.archive.batches = (0..batches)
            .map(|number| Sealed { header: header(number), receipts: first.clone(), tree: tree.clone() })
            .collect();
        (scene, tree)
    }

    /// The same once more, to go another way from here on.
    pub fn fork(&self) -> Self {
        let Recording { world, supplier, keepers, buyer, operator, log, archive } = self;
        let keepers = keepers.iter().map(|keeper| KeeperActor {
            wallet: keeper.wallet.insecure_clone(),
            account: keeper.account,
            seat: keeper.seat,
        });
        Recording {
            world: world.clone(),
            supplier: SupplierActor { wallet: supplier.wallet.insecure_clone(), account: supplier.account },
            keepers: keepers.collect(),
            buyer: buyer.insecure_clone(),
            operator: operator.insecure_clone(),
            log: *log,
            archive: archive.clone(),
        }
    }

    pub fn log_data(&self) -> LogData {
        LogData::new(&self.world.data(&self.log)).expect("a log")
    }

    pub fn log_header(&self) -> ComputeLog {
        *self.log_data().view().expect("a log").0
    }

    /// Where a slot of the first board stands; its machine may still have to begin.
    pub fn lane(&self, slot: u16) -> Lane {
        *self.log_data().lane(0, slot).expect("it has a lane")
    }

    /// The next receipts of a machine in a lease, all of them signed now.
    pub fn receipts(&self, serial: u32, slot: u16, count: u64) -> Vec<SignedReceipt> {
        let mut lane = self.lane(slot);
        lane.adopt(&self.world.slot(slot));
        let first = if lane.lease == serial { lane.next_seq } else { 0 };
        (first..first + count).map(|seq| self.world.signed(serial, slot, seq)).collect()
    }

    /// The batch of these receipts, if it is the next that its machine appends.
    pub fn batch(&self, slot: u16, receipts: &[SignedReceipt]) -> Batch {
        let mut lane = self.lane(slot);
        lane.adopt(&self.world.slot(slot));
        let (first, last) = (receipts[0].receipt, receipts[receipts.len() - 1].receipt);
        Batch {
            slot,
            lease: u32::try_from(first.lease).expect("a serial"),
            number: lane.batches,
            count: u32::try_from(receipts.len()).expect("a batch"),
            root: tree(receipts).root(),
            first_ms: first.end_ms,
            last_ms: last.end_ms,
        }
    }

    pub fn append_instruction(&self, batches: Vec<Batch>) -> Instruction {
        self.append_by(&self.operator, batches)
    }

    pub fn append_by(&self, signer: &Keypair, batches: Vec<Batch>) -> Instruction {
        let board = self.world.board();
        instruction::append_batches(&board, signer.pubkey(), self.supplier.account, SOURCE, batches)
    }

    /// Appends batches, each with its receipts, and keeps what the program reports of them.
    #[track_caller]
    pub fn append(&mut self, batches: Vec<(Batch, Vec<SignedReceipt>)>) -> TransactionMetadata {
        let append = self.append_instruction(batches.iter().map(|(batch, _)| *batch).collect());
        let operator = self.operator.insecure_clone();
        let meta = self.world.ok(&[append], &[&operator]);
        let reported = events(&meta).into_iter().find_map(|event| match event {
            Event::BatchesAppended(appended) => Some(appended),
            _ => None,
        });
        let reported = reported.expect("it reports the batches");
        assert_eq!((reported.log, reported.first), (self.log, self.archive.range.len()));
        assert_eq!(reported.source, SOURCE);
        assert_eq!(reported.headers.len(), batches.len());
        for (header, (_, receipts)) in reported.headers.into_iter().zip(batches) {
            self.archive.add(header, receipts);
        }
        meta
    }

    /// Appends these receipts as one batch. Returns its place in the log.
    #[track_caller]
    pub fn seal(&mut self, slot: u16, receipts: Vec<SignedReceipt>) -> usize {
        let batch = self.batch(slot, &receipts);
        self.append(vec![(batch, receipts)]);
        self.archive.batches.len() - 1
    }

    /// Appends the next receipts of a machine in lease 1. Returns the batch's place in the log.
    #[track_caller]
    pub fn seal_next(&mut self, slot: u16, count: u64) -> usize {
        let receipts = self.receipts(1, slot, count);
        self.seal(slot, receipts)
    }

    /// That a receipt is in the log as it is now.
    pub fn proof(&self, index: usize, place: usize) -> Proof {
        self.archive.proof(self.log, index, place)
    }

    /// Shows the batch, then the receipt in it: answers the demand to see it.
    pub fn answer_instructions(&self, answerer: &Keypair, index: usize, place: usize) -> [Instruction; 2] {
        let proof = self.proof(index, place);
        let receipt = &proof.receipt;
        let demand = address::demand(&receipt.id());
        let lease = address::lease(&self.world.board().address, receipt.receipt.lease);
        let show = instruction::show_batch(demand, self.log, proof.batch());
        [show, instruction::answer_demand(answerer.pubkey(), lease, demand, proof.path)]
    }

    /// Asserts all invariants, that the log is what was appended, and that leases know their demands.
    #[track_caller]
    pub fn assert_invariants(&self) {
        self.world.assert_invariants();
        let (log, archive) = (self.log_header(), &self.archive);
        let sum = |of: fn(&BatchHeader) -> u64| -> u64 {
            archive.batches.iter().map(|batch| of(&batch.header)).sum()
        };
        assert_eq!(log.batches, archive.range.len());
        assert_eq!(log.receipts, sum(|header| header.count.into()));
        assert_eq!((log.units, log.price), (sum(|header| header.root.units), sum(|h| h.root.price)));
        let roots = [log.peaks, archive.range.peaks()].map(|peaks| mmr::root(&peaks, log.batches));
        assert_eq!(roots[0], roots[1]);
        let accounts = self.world.svm.get_program_accounts(&leasehold::ID);
        let accounts: Vec<_> = accounts
            .into_iter()
            .map(|(address, account)| (address, Account::decode(&account.data).expect("of the program")))
            .collect();
        for (address, account) in &accounts {
            if let Account::Lease(lease) = account {
                let of_lease = |account: &Account| matches!(account, Account::Demand(demand) if demand.lease == *address);
                let demands = accounts.iter().filter(|(_, account)| of_lease(account)).count();
                assert_eq!(lease.demands as usize, demands, "demands of lease {}", lease.serial);
            }
        }
    }
}
