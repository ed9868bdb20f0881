use anchor_lang::system_program;
use leasehold::{
    accounts, instruction,
    instructions::{Batch, BatchProof, BatchToShow},
    math::sum_tree::SumNode,
    rules::dispute::Namesake,
    state::{BatchHeader, Demand, Receipt},
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_sdk_ids::sysvar;

use super::build;
use crate::{address, market::BoardRef};

/// Creates a supplier's compute log, to which the wallet `operator` may append.
pub fn create_log(authority: Pubkey, supplier: Pubkey, operator: Pubkey) -> Instruction {
    build(
        accounts::CreateLog {
            authority,
            supplier,
            log: address::log(&supplier),
            system_program: system_program::ID,
        },
        instruction::CreateLog { operator },
    )
}

/// Sets the wallet that may append to a supplier's log.
pub fn set_log_operator(authority: Pubkey, supplier: Pubkey, operator: Pubkey) -> Instruction {
    build(
        accounts::SetLogOperator { authority, supplier, log: address::log(&supplier) },
        instruction::SetLogOperator { operator },
    )
}

/// Opens lanes in a supplier's log for machines of a board, by slot.
pub fn open_lanes(board: &BoardRef, authority: Pubkey, supplier: Pubkey, machines: Vec<u16>) -> Instruction {
    build(
        accounts::OpenLanes {
            authority,
            supplier,
            log: address::log(&supplier),
            board: board.address,
            system_program: system_program::ID,
        },
        instruction::OpenLanes { machines },
    )
}

/// Appends batches of machines of one board to their supplier's log. `operator`: the log's operator or the supplier's
/// authority; `source`: the base URL that serves the receipts. [`crate::packet`] tells how many batches fit.
pub fn append_batches(
    board: &BoardRef,
    operator: Pubkey,
    supplier: Pubkey,
    source: &str,
    batches: Vec<Batch>,
) -> Instruction {
    build(
        accounts::AppendBatches {
            operator,
            supplier,
            log: address::log(&supplier),
            board: board.address,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::AppendBatches { source: source.to_owned(), batches },
    )
}

/// Leaves out the next 2^20 numbers of a machine's receipts in the lease with that serial, which it serves. `operator`: the
/// log's operator or the supplier's authority.
pub fn skip_receipts(
    board: &BoardRef,
    operator: Pubkey,
    supplier: Pubkey,
    slot: u16,
    lease: u32,
) -> Instruction {
    build(
        accounts::SkipReceipts { operator, supplier, log: address::log(&supplier), board: board.address },
        instruction::SkipReceipts { slot, lease },
    )
}

/// Succeeds only if the receipt with that leaf is in a log, at index `place` of a batch. Nobody needs to sign.
pub fn verify_receipt(
    log: Pubkey,
    leaf: SumNode,
    place: u32,
    path: Vec<SumNode>,
    batch: BatchProof,
) -> Instruction {
    build(accounts::VerifyReceipt { log }, instruction::VerifyReceipt { leaf, place, path, batch })
}

/// Succeeds only if a batch is in a log. Nobody needs to sign.
pub fn verify_batch(log: Pubkey, batch: BatchProof) -> Instruction {
    build(accounts::VerifyReceipt { log }, instruction::VerifyBatch { batch })
}

/// Demands that a receipt is shown in the log. `claimant` pays the demand's rent, which returns to it, and the market's
/// `ask_fee`. Must come right after [`crate::record::SignedReceipt::instruction`].
pub fn demand_receipt(board: &BoardRef, claimant: Pubkey, lease: Pubkey, receipt: &Receipt) -> Instruction {
    let id = receipt.id();
    build(
        accounts::DemandReceipt {
            claimant,
            market: board.market.address,
            board: board.address,
            lease,
            demand: address::demand(&id),
            instructions: sysvar::instructions::ID,
            system_program: system_program::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::DemandReceipt { id, receipt: *receipt },
    )
}

/// First half of an answer to a demand: shows the batch that contains the receipt's number. Nobody needs to sign.
pub fn show_batch(demand: Pubkey, log: Pubkey, proof: BatchProof) -> Instruction {
    let BatchProof { header, index, path } = proof;
    let shown = BatchToShow { batch: batch(&header), source: header.source, index, path };
    build(accounts::ShowBatch { demand, log }, instruction::ShowBatch { shown })
}

/// A batch as it is appended and shown: its header without what the program knows of its machine.
pub fn batch(header: &BatchHeader) -> Batch {
    Batch {
        slot: header.slot,
        lease: header.lease,
        number: header.number,
        count: header.count,
        first_seq: header.first_seq,
        root: header.root,
        first_ms: header.first_ms,
        last_ms: header.last_ms,
    }
}

/// Second half: shows the receipt in that batch. `answerer` gets the demand's fee, the claimant its rent. `account`: the
/// demand at the address `demand`.
pub fn answer_demand(answerer: Pubkey, demand: Pubkey, account: &Demand, path: Vec<SumNode>) -> Instruction {
    build(
        accounts::AnswerDemand {
            answerer,
            claimant: account.claimant,
            board: account.board,
            lease: account.lease,
            demand,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::AnswerDemand { path },
    )
}

/// Enforces a demand that was not answered in time: the machine loses its bond. `caller` gets the demand's fee, the claimant
/// its rent. `account`: the demand at the address `demand`.
pub fn enforce_demand(caller: Pubkey, demand: Pubkey, account: &Demand) -> Instruction {
    build(
        accounts::EnforceDemand {
            caller,
            claimant: account.claimant,
            board: account.board,
            lease: account.lease,
            demand,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::EnforceDemand {},
    )
}

/// Takes the bond of a machine that signed two different receipts with one number. Must come right after
/// [`crate::record::signatures::of_both`] of the same two. Whoever pays for the transaction signs it; nobody else needs to.
pub fn prove_equivocation(board: &BoardRef, lease: Pubkey, one: &Receipt, other: &Receipt) -> Instruction {
    build(
        accounts::ProveEquivocation {
            board: board.address,
            lease,
            instructions: sysvar::instructions::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ProveEquivocation { receipt: *one, other: Namesake::of(other) },
    )
}

/// Closes the log of a supplier without machines. Its receipts can't be verified any more.
pub fn close_log(authority: Pubkey, supplier: Pubkey) -> Instruction {
    build(accounts::CloseLog { authority, supplier, log: address::log(&supplier) }, instruction::CloseLog {})
}
