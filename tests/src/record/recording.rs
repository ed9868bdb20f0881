//! A scene whose machines sign receipts and append them to a log.

use leasehold::{
    instructions::Batch,
    math::{
        mmr::{self, Range},
        sum_tree::SumTree,
    },
    state::{BatchHeader, ComputeLog, Lane, Receipt},
};
use leasehold_client::{
    account::Account,
    address,
    event::Event,
    instruction,
    record::{LogData, Proof, SignedReceipt},
};
use litesvm::types::TransactionMetadata;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::{Archive, SOURCE, Sealed, events, signing_machine, tree};
use crate::{KeeperActor, Scene, SupplierActor, World, anything};

/// A [`Scene`] whose machines sign, and whose supplier has a log with a lane for each machine.
pub struct Recording {
    pub world: World,
    pub supplier: SupplierActor,
    pub keepers: Vec<KeeperActor>,
    pub buyer: Keypair,
    /// May append to the log.
    pub operator: Keypair,
    pub log: Pubkey,
    /// Everything that was appended.
    pub archive: Archive,
}

impl Recording {
    /// `machines` idle machines; slot i has key number i.
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

    /// `machines` machines. The first `leased` of them form lease 1. Its first of `rounds` rounds is running.
    pub fn leased(machines: u16, leased: u32, rounds: u32) -> Self {
        let mut scene = Recording::listed(machines);
        scene.world.open(&scene.buyer, anything(), leased, rounds);
        scene.world.end_round();
        scene
    }

    /// A leased machine with a log of `batches` batches of `count` receipts each, written into the account as if
    /// they had been appended. All batches have the same tree, which is returned, and different numbers.
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

    /// A copy that goes its own way from here on.
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

    /// Lane of a slot of the first board; its machine may not have appended anything yet.
    pub fn lane(&self, slot: u16) -> Lane {
        *self.log_data().lane(0, slot).expect("it has a lane")
    }

    /// The next `count` receipts of a machine in a lease, all signed now.
    pub fn receipts(&self, serial: u32, slot: u16, count: u64) -> Vec<SignedReceipt> {
        let mut lane = self.lane(slot);
        lane.adopt(&self.world.slot(slot));
        let first = lane.next_seq;
        (first..first + count).map(|seq| self.world.signed(serial, slot, seq)).collect()
    }

    /// These receipts as the next batch of their machine.
    pub fn batch(&self, slot: u16, receipts: &[SignedReceipt]) -> Batch {
        let mut lane = self.lane(slot);
        lane.adopt(&self.world.slot(slot));
        let (first, last) = (receipts[0].receipt, receipts[receipts.len() - 1].receipt);
        Batch {
            slot,
            lease: first.lease,
            number: lane.batches,
            count: u32::try_from(receipts.len()).expect("a batch"),
            first_seq: first.seq,
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

    /// Appends batches, each with its receipts, and keeps the headers that the program reports.
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

    /// Appends receipts as one batch. Returns its index in the log.
    #[track_caller]
    pub fn seal(&mut self, slot: u16, receipts: Vec<SignedReceipt>) -> usize {
        let batch = self.batch(slot, &receipts);
        self.append(vec![(batch, receipts)]);
        self.archive.batches.len() - 1
    }

    /// Appends the next receipts of a machine in lease 1. Returns the batch's index in the log.
    #[track_caller]
    pub fn seal_next(&mut self, slot: u16, count: u64) -> usize {
        let receipts = self.receipts(1, slot, count);
        self.seal(slot, receipts)
    }

    /// Proof that a receipt is in the log as it is now.
    pub fn proof(&self, index: usize, place: usize) -> Proof {
        self.archive.proof(self.log, index, place)
    }

    /// The two instructions that answer a demand: one shows the batch, one the receipt in it.
    pub fn answer_instructions(&self, answerer: &Keypair, index: usize, place: usize) -> [Instruction; 2] {
        let proof = self.proof(index, place);
        let receipt = &proof.receipt;
        let demand = address::demand(&receipt.id());
        let account = self.world.demand_account(&demand);
        let show = instruction::show_batch(demand, self.log, proof.batch());
        [show, instruction::answer_demand(answerer.pubkey(), demand, &account, proof.path)]
    }

    /// Asserts all invariants, that the log holds the appended batches, and that leases and machines count their demands.
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
        let open = |index: usize| {
            let on = |account: &Account| matches!(account, Account::Demand(demand) if usize::from(demand.slot) == index);
            accounts.iter().filter(|(_, account)| on(account)).count()
        };
        self.world.with_board(|_, slots| {
            for (index, slot) in slots.iter().enumerate() {
                assert_eq!(usize::from(slot.demands), open(index), "demands on slot {index}");
            }
        });
        for (address, account) in &accounts {
            if let Account::Lease(lease) = account {
                let of_lease = |account: &Account| matches!(account, Account::Demand(demand) if demand.lease == *address);
                let demands = accounts.iter().filter(|(_, account)| of_lease(account)).count();
                assert_eq!(lease.demands as usize, demands, "demands of lease {}", lease.serial);
            }
        }
    }
}
