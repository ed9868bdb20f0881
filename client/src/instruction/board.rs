use anchor_lang::system_program;
use leasehold::{
    accounts, instruction,
    instructions::{Machine, Move, Offer},
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{build, build_with, payments};
use crate::{address, market::BoardRef};

/// Adds the board to its market; its index must be the market's `next_board`. `creator` pays.
pub fn create_board(board: &BoardRef, creator: Pubkey) -> Instruction {
    build(
        accounts::CreateBoard {
            creator,
            market: board.market.address,
            board: board.address,
            payment_mint: board.market.payment_mint,
            payment_vault: board.payment_vault(),
            token_program: board.market.payment_token_program,
            system_program: system_program::ID,
        },
        instruction::CreateBoard {},
    )
}

/// Lists machines until round `committed_until`, exclusive.
///
/// `former`: accounts of the former suppliers of reused slots, in the order of the machines, without slots that this
/// supplier left itself; see [`crate::listing`].
pub fn list_machines(
    board: &BoardRef,
    authority: Pubkey,
    committed_until: u32,
    machines: Vec<Machine>,
    former: &[Pubkey],
) -> Instruction {
    build_with(
        accounts::ListMachines {
            authority,
            market: board.market.address,
            supplier: board.market.supplier(&authority),
            board: board.address,
            system_program: system_program::ID,
        },
        former,
        instruction::ListMachines { committed_until, machines },
    )
}

/// Changes price and commitment of machines that are not leased, and fills up their bonds. The commitment of a leased one
/// can be shortened to its lease's end.
pub fn reprice_machines(board: &BoardRef, authority: Pubkey, offers: Vec<Offer>) -> Instruction {
    build(
        accounts::RepriceMachines {
            authority,
            market: board.market.address,
            supplier: board.market.supplier(&authority),
            board: board.address,
        },
        instruction::RepriceMachines { offers },
    )
}

/// Withholds machines that are neither leased nor bound from new leases, at once. [`reprice_machines`] offers them again.
pub fn withhold_machines(board: &BoardRef, authority: Pubkey, machines: Vec<u16>) -> Instruction {
    build(
        accounts::WithholdMachines {
            authority,
            supplier: board.market.supplier(&authority),
            board: board.address,
        },
        instruction::WithholdMachines { machines },
    )
}

/// Changes the addresses of machines, leased ones too.
pub fn move_machines(board: &BoardRef, authority: Pubkey, moves: Vec<Move>) -> Instruction {
    build(
        accounts::MoveMachines {
            authority,
            supplier: board.market.supplier(&authority),
            board: board.address,
        },
        instruction::MoveMachines { moves },
    )
}

/// Forfeits a supplier's machines: takes them out of running leases. They lose their whole bonds when the leases are
/// settled.
pub fn forfeit_machines(board: &BoardRef, authority: Pubkey, machines: Vec<u16>) -> Instruction {
    build(
        accounts::ForfeitMachines {
            authority,
            supplier: board.market.supplier(&authority),
            board: board.address,
        },
        instruction::ForfeitMachines { machines },
    )
}

/// Retires machines of a supplier that are not leased, by slot: takes them off the board. Anybody may sign 30 days after
/// a machine's commitment ended.
pub fn retire_machines(
    board: &BoardRef,
    signer: Pubkey,
    supplier: Pubkey,
    machines: Vec<u16>,
) -> Instruction {
    build(
        accounts::RetireMachines { signer, supplier, board: board.address },
        instruction::RetireMachines { machines },
    )
}

/// Cuts vacant slots off the board's end, one for each account in `suppliers`: the former suppliers, from the last slot
/// on. Nobody needs to sign.
pub fn trim_board(board: &BoardRef, suppliers: &[Pubkey]) -> Instruction {
    build_with(accounts::TrimBoard { board: board.address }, suppliers, instruction::TrimBoard {})
}

/// Creates the price index of a hardware class on a board. `payer` pays its rent.
pub fn create_index(board: &BoardRef, payer: Pubkey, class: u16) -> Instruction {
    build(
        accounts::CreateIndex {
            payer,
            market: board.market.address,
            board: board.address,
            price_index: address::index(&board.address, class),
            system_program: system_program::ID,
        },
        instruction::CreateIndex { class },
    )
}

/// Records the day before in the price index of a hardware class. Nobody needs to sign.
pub fn record_day(board: &BoardRef, class: u16) -> Instruction {
    build(
        accounts::RecordDay {
            board: board.address,
            price_index: address::index(&board.address, class),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::RecordDay {},
    )
}

/// Closes a price index whose board is closed; its rent goes to `payer`, who created it. Nobody needs to sign.
pub fn close_index(board: &BoardRef, payer: Pubkey, class: u16) -> Instruction {
    build(
        accounts::CloseIndex {
            payer,
            board: board.address,
            price_index: address::index(&board.address, class),
        },
        instruction::CloseIndex {},
    )
}

/// Closes an empty board. Tokens that were sent to its vault without an instruction go to `wallet`.
pub fn close_board(board: &BoardRef, creator: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::CloseBoard {
            creator,
            market: board.market.address,
            board: board.address,
            tokens: payments(board, wallet),
        },
        instruction::CloseBoard {},
    )
}
