//! Assigns slots to new machines, and splits listing, repricing, withholding, moving, forfeiting and retiring into
//! transactions.

use leasehold::{
    constants::MAX_SLOTS,
    instructions::{Machine, Move, Offer},
    rules::machine::room,
    state::SlotState,
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::{board::BoardView, instruction, market::BoardRef, packet};

/// Accounts that an instruction may name, repetitions included.
const MAX_ACCOUNTS: usize = 255;

/// Why machines cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    #[error(
        "the board has room for {room} machines, and {asked} are to be listed: list the rest on another board"
    )]
    NoRoom { room: usize, asked: usize },
}

/// Slot for a new machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// A vacant slot to reuse; `None` adds a slot at the board's end.
    pub slot: Option<u16>,
    /// Account of the former supplier, which is owed the slot's rent; `None` for a new slot or one that the supplier
    /// left itself.
    pub former: Option<Pubkey>,
}

/// Slots for new machines of a supplier: first those it left itself, which cost no rent, then those that other
/// suppliers left, then new ones at the end.
///
/// # Errors
/// [`ListingError::NoRoom`].
pub fn places(board: &BoardView, supplier: &Pubkey, count: usize) -> Result<Vec<Place>, ListingError> {
    let (own, others): (Vec<_>, Vec<_>) = board.vacant().partition(|(_, slot)| slot.supplier == *supplier);
    let own = own.into_iter().map(|(slot, _)| Place { slot: Some(slot), former: None });
    let others =
        others.into_iter().map(|(slot, left)| Place { slot: Some(slot), former: Some(left.supplier) });
    let new = (0..room(board.slots.len())).map(|_| Place { slot: None, former: None });
    let places: Vec<_> = own.chain(others).chain(new).take(count).collect();
    if places.len() < count {
        return Err(ListingError::NoRoom { room: places.len(), asked: count });
    }
    Ok(places)
}

/// Instructions that list machines in the slots of [`places`], whatever slots the machines name; each fits in a
/// transaction. They can be sent concurrently and in any order: only one of them names a vacant slot, and new slots are
/// added at the board's current end for the same bonds and rent. Which new slot a machine gets depends on the order. If
/// another supplier takes a vacant slot first, read the board again and plan again.
///
/// # Errors
/// [`ListingError::NoRoom`].
pub fn list(
    board: &BoardRef,
    view: &BoardView,
    authority: Pubkey,
    committed_until: u32,
    machines: &[Machine],
) -> Result<Vec<Instruction>, ListingError> {
    let places = places(view, &board.market.supplier(&authority), machines.len())?;
    let placed: Vec<_> = places
        .iter()
        .zip(machines)
        .map(|(place, machine)| (*place, Machine { slot: place.slot, ..*machine }))
        .collect();
    Ok(packet::batches(&authority, &placed, |batch| {
        let machines = batch.iter().map(|(_, machine)| *machine).collect();
        let former: Vec<_> = batch.iter().filter_map(|(place, _)| place.former).collect();
        instruction::list_machines(board, authority, committed_until, machines, &former)
    }))
}

/// Machines that one transaction can list in new slots, if the supplier pays for it.
pub fn max_machines_per_transaction(board: &BoardRef, authority: Pubkey) -> usize {
    let machine = Machine {
        slot: None,
        node_key: [0; 32],
        traits: Default::default(),
        endpoint: Default::default(),
        price: 0,
        bond: 0,
        profile: Some(0),
        turnaround: 0,
    };
    packet::most(&authority, &vec![machine; MAX_SLOTS], |batch| {
        instruction::list_machines(board, authority, 0, batch.to_vec(), &[])
    })
}

/// Instructions that reprice machines; each fits in a transaction. They can be sent concurrently and in any order if no
/// machine is named twice: each changes its own machines, and the stake they take adds up.
pub fn reprice(board: &BoardRef, authority: Pubkey, offers: &[Offer]) -> Vec<Instruction> {
    packet::batches(&authority, offers, |batch| {
        instruction::reprice_machines(board, authority, batch.to_vec())
    })
}

/// Instructions that withhold a supplier's machines from new leases; each fits in a transaction. They can be sent concurrently
/// and in any order.
pub fn withhold(board: &BoardRef, authority: Pubkey, machines: &[u16]) -> Vec<Instruction> {
    packet::batches(&authority, machines, |batch| {
        instruction::withhold_machines(board, authority, batch.to_vec())
    })
}

/// Instructions that change the addresses of a supplier's machines; each fits in a transaction. They can be sent concurrently
/// and in any order if no machine is named twice.
pub fn relocate(board: &BoardRef, authority: Pubkey, moves: &[Move]) -> Vec<Instruction> {
    packet::batches(&authority, moves, |batch| instruction::move_machines(board, authority, batch.to_vec()))
}

/// Instructions that take a supplier's machines out of their leases; each fits in a transaction. They can be sent
/// concurrently and in any order: each changes its own machines only.
pub fn forfeit(board: &BoardRef, authority: Pubkey, machines: &[u16]) -> Vec<Instruction> {
    packet::batches(&authority, machines, |batch| {
        instruction::forfeit_machines(board, authority, batch.to_vec())
    })
}

/// Instructions that retire machines of a supplier; each fits in a transaction. They can be sent concurrently and in any
/// order: only vacant slots are cut off the board's end, never one that another of them names, and the last one to take
/// effect cuts off all it can. It may need more compute units than its simulation before the others took effect: the
/// sender signs it again then.
pub fn retire(board: &BoardRef, signer: Pubkey, supplier: Pubkey, machines: &[u16]) -> Vec<Instruction> {
    packet::batches(&signer, machines, |batch| {
        instruction::retire_machines(board, signer, supplier, batch.to_vec())
    })
}

/// Instructions that cut all vacant slots off the board's end; each fits in a transaction that `payer` pays. Send them
/// one after the other.
pub fn trim(board: &BoardRef, view: &BoardView, payer: Pubkey) -> Vec<Instruction> {
    let vacant = view.slots.iter().rev().take_while(|slot| slot.is(SlotState::Vacant));
    let suppliers: Vec<_> = vacant.map(|slot| slot.supplier).collect();
    // One of the accounts is the board.
    let some = suppliers.chunks(MAX_ACCOUNTS - 1);
    some.flat_map(|some| packet::batches(&payer, some, |batch| instruction::trim_board(board, batch)))
        .collect()
}

#[cfg(test)]
mod tests {
    use anchor_lang::AnchorDeserialize;
    use leasehold::state::{Endpoint, Slot, Traits};

    use super::*;
    use crate::{
        board::BoardData,
        packet::PACKET_BYTES,
        sample::{self, board_data, wallet},
    };

    /// Slots 0 and 2 were left by supplier 0, slot 1 by supplier 1, slot 3 is listed, slot 4 left by 1.
    fn board() -> BoardData {
        let left = |supplier| {
            let mut slot = sample::slot(supplier);
            slot.vacate().unwrap();
            slot
        };
        let slots: [Slot; 5] = [left(0), left(1), left(0), sample::slot(1), left(1)];
        let header = leasehold::state::Board { version: 1, slots: 5, ..bytemuck::Zeroable::zeroed() };
        board_data(&header, &slots)
    }

    #[test]
    fn own_slots_come_first_then_those_of_others_then_new_ones() {
        let data = board();
        let view = data.view().unwrap();
        let [own, other] = [0, 1].map(|number| sample::market().supplier(&wallet(number)));
        let new = Place { slot: None, former: None };
        let own_slot = |slot| Place { slot: Some(slot), former: None };
        let reused = |slot| Place { slot: Some(slot), former: Some(other) };
        let places = places(&view, &own, 6).unwrap();
        assert_eq!(places, [own_slot(0), own_slot(2), reused(1), reused(4), new, new]);
    }

    #[test]
    fn machines_without_room_are_refused_with_the_room_left() {
        let data = board();
        let refused = places(&data.view().unwrap(), &Pubkey::default(), MAX_SLOTS).unwrap_err();
        assert_eq!(refused, ListingError::NoRoom { room: MAX_SLOTS - 1, asked: MAX_SLOTS });
    }

    #[test]
    fn instructions_name_slots_and_former_suppliers_in_the_same_order() {
        let data = board();
        let board = sample::market().board(0);
        let machine = Machine {
            slot: Some(77),
            node_key: [3; 32],
            traits: Traits { gpus: 1, ..Default::default() },
            endpoint: Endpoint { ip: [9; 16], port: [1, 2] },
            price: 5,
            bond: 0,
            profile: None,
            turnaround: 0,
        };
        let made = list(&board, &data.view().unwrap(), wallet(0), 50, &[machine; 40]).unwrap();
        assert!(made.len() > 2);
        let mut slots = Vec::new();
        for instruction in &made {
            assert!(packet::len(&wallet(0), std::slice::from_ref(instruction)) <= PACKET_BYTES);
            let (until, machines) = <(u32, Vec<Machine>)>::try_from_slice(&instruction.data[8..]).unwrap();
            assert_eq!(until, 50);
            slots.extend(machines.iter().map(|machine| machine.slot));
        }
        let expected = [Some(0), Some(2), Some(1), Some(4)];
        assert_eq!(slots[..4], expected);
        assert_eq!(slots[4..], [None; 36]);
        let former: Vec<_> =
            made[0].accounts[5..].iter().map(|meta| (meta.pubkey, meta.is_writable)).collect();
        assert_eq!(former, [(sample::market().supplier(&wallet(1)), true); 2]);
        assert_eq!(made[1].accounts.len(), 5);
    }

    #[test]
    fn one_transaction_lists_11_machines() {
        let board = sample::market().board(0);
        let most = max_machines_per_transaction(&board, wallet(0));
        // 78 bytes a machine in a new slot, besides those for signature, keys and budget.
        assert_eq!(most, 11);
    }

    #[test]
    fn trimming_pays_the_last_slot_first() {
        let slots = [sample::slot(1), sample::slot(0), sample::slot(1)];
        let mut slots = slots;
        slots[1].vacate().unwrap();
        slots[2].vacate().unwrap();
        let header = leasehold::state::Board { version: 1, slots: 3, ..bytemuck::Zeroable::zeroed() };
        let data = board_data(&header, &slots);
        let made = trim(&sample::market().board(0), &data.view().unwrap(), wallet(5));
        let paid: Vec<_> = made[0].accounts[1..].iter().map(|meta| meta.pubkey).collect();
        assert_eq!(made.len(), 1);
        assert_eq!(paid, [slots[2].supplier, slots[1].supplier]);
    }

    #[test]
    fn trimming_names_no_more_accounts_than_an_instruction_may() {
        let mut slot = sample::slot(0);
        slot.vacate().unwrap();
        let header = leasehold::state::Board { version: 1, slots: 600, ..bytemuck::Zeroable::zeroed() };
        let data = board_data(&header, &[slot; 600]);
        let made = trim(&sample::market().board(0), &data.view().unwrap(), wallet(5));
        assert!(made.iter().all(|trim| trim.accounts.len() <= 255));
        assert_eq!(made.iter().map(|trim| trim.accounts.len() - 1).sum::<usize>(), 600);
    }
}
