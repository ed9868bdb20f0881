use anchor_lang::system_program;
use leasehold::{
    accounts, instruction,
    instructions::{Batch, BatchProof},
    math::sum_tree::SumNode,
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

/// Demands that the receipt with that id is shown in the log. Must come right after
/// [`crate::record::SignedReceipt::instruction`].
pub fn demand_receipt(board: &BoardRef, claimant: Pubkey, lease: Pubkey, id: [u8; 32]) -> Instruction {
    build(
        accounts::DemandReceipt {
            claimant,
            board: board.address,
            lease,
            demand: address::demand(&id),
            instructions: sysvar::instructions::ID,
            system_program: system_program::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::DemandReceipt { id },
    )
}

/// First half of an answer to a demand: shows the batch that contains the receipt's number. Nobody needs to sign.
pub fn show_batch(demand: Pubkey, log: Pubkey, batch: BatchProof) -> Instruction {
    build(accounts::ShowBatch { demand, log }, instruction::ShowBatch { batch })
}

/// Second half: shows the receipt in that batch. `answerer` gets the demand's rent.
pub fn answer_demand(answerer: Pubkey, lease: Pubkey, demand: Pubkey, path: Vec<SumNode>) -> Instruction {
    build(
        accounts::AnswerDemand {
            answerer,
            lease,
            demand,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::AnswerDemand { path },
    )
}

/// Enforces a demand that was not answered in time: the machine loses its bond. `claimant` gets the demand's rent back;
/// `keeper`: the caller's keeper account, which gets the caller's part of slashed stake.
pub fn enforce_demand(
    board: &BoardRef,
    caller: Pubkey,
    claimant: Pubkey,
    lease: Pubkey,
    demand: Pubkey,
    keeper: Option<Pubkey>,
) -> Instruction {
    build(
        accounts::EnforceDemand {
            caller,
            claimant,
            board: board.address,
            lease,
            demand,
            keeper,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::EnforceDemand {},
    )
}

/// Takes the bond of a machine that signed two different receipts with one number. Must come right after
/// [`crate::record::signatures::of_both`].
pub fn prove_equivocation(
    board: &BoardRef,
    caller: Pubkey,
    lease: Pubkey,
    keeper: Option<Pubkey>,
) -> Instruction {
    build(
        accounts::ProveEquivocation {
            caller,
            board: board.address,
            lease,
            keeper,
            instructions: sysvar::instructions::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ProveEquivocation {},
    )
}

/// Closes the log of a supplier without machines. Its receipts can't be verified any more.
pub fn close_log(authority: Pubkey, supplier: Pubkey) -> Instruction {
    build(accounts::CloseLog { authority, supplier, log: address::log(&supplier) }, instruction::CloseLog {})
}
