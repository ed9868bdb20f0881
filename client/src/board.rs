//! Reading a board: its header and up to 6,144 machines, where they lie.

use anchor_lang::Discriminator;
use leasehold::{
    constants::HISTORY_ROUNDS,
    state::{Board, SLOTS_OFFSET, Seat, Slot, SlotState, Verdict, split},
};
use solana_pubkey::Pubkey;

use crate::decode::{DecodeError, check_version};

const KIND: &str = "board";

/// Bytes of a board's account up to the votes of the running round: what most of those who watch a board need of its header.
pub const HEAD_LEN: usize = 8 + std::mem::offset_of!(Board, tally);

/// The header from the first [`HEAD_LEN`] bytes of a board's account or more; `tally`, `sums` and what follows them are zero.
///
/// # Errors
/// [`DecodeError`] if the bytes are not those of a board.
pub fn header(data: &[u8]) -> Result<Box<Board>, DecodeError> {
    if !data.starts_with(Board::DISCRIMINATOR) {
        return Err(DecodeError::Kind { expected: KIND });
    }
    let head = data.get(8..HEAD_LEN).ok_or(DecodeError::Malformed { kind: KIND })?;
    let mut header: Box<Board> = Box::new(bytemuck::Zeroable::zeroed());
    for (byte, read) in bytemuck::bytes_of_mut(&mut *header).iter_mut().zip(head) {
        *byte = *read;
    }
    check_version(KIND, header.version, Board::VERSION)?;
    Ok(header)
}

/// A board's account, borrowed: nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct BoardView<'a> {
    pub header: &'a Board,
    /// Every slot, vacant ones too; a slot's index is its place here.
    pub slots: &'a [Slot],
}

/// How many slots are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub vacant: u32,
    pub idle: u32,
    pub leased: u32,
    pub suspended: u32,
    /// Lied and lost their bonds.
    pub barred: u32,
}

impl<'a> BoardView<'a> {
    /// Borrows header and slots of an account's data, which must lie at a multiple of 8 as every larger
    /// allocation does; [`BoardData`] sees to that where in doubt.
    pub fn new(data: &'a [u8]) -> Result<Self, DecodeError> {
        if !data.starts_with(Board::DISCRIMINATOR) {
            return Err(DecodeError::Kind { expected: KIND });
        }
        let (header, slots) = split(data).map_err(|_| DecodeError::Malformed { kind: KIND })?;
        check_version(KIND, header.version, Board::VERSION)?;
        if usize::try_from(header.slots) != Ok(slots.len()) {
            return Err(DecodeError::Malformed { kind: KIND });
        }
        Ok(BoardView { header, slots })
    }

    /// The slot at an index, vacant or not.
    pub fn slot(&self, index: u16) -> Option<&'a Slot> {
        self.slots.get(usize::from(index))
    }

    /// Every slot with its index.
    pub fn indexed(&self) -> impl Iterator<Item = (u16, &'a Slot)> + use<'a> {
        (0..=u16::MAX).zip(self.slots)
    }

    /// Slots that hold a machine.
    pub fn machines(&self) -> impl Iterator<Item = (u16, &'a Slot)> + use<'a> {
        self.indexed().filter(|(_, slot)| !slot.is(SlotState::Vacant))
    }

    /// Slots without a machine.
    pub fn vacant(&self) -> impl Iterator<Item = (u16, &'a Slot)> + use<'a> {
        self.indexed().filter(|(_, slot)| slot.is(SlotState::Vacant))
    }

    /// Machines of a lease that is not settled. Empty for serial 0, which no lease has.
    pub fn leased(&self, serial: u32) -> impl Iterator<Item = (u16, &'a Slot)> + use<'a> {
        self.indexed().filter(move |(_, slot)| serial != 0 && slot.lease == serial)
    }

    /// Machines of the supplier with that account.
    pub fn of_supplier(&self, supplier: Pubkey) -> impl Iterator<Item = (u16, &'a Slot)> + use<'a> {
        self.machines().filter(move |(_, slot)| slot.supplier == supplier)
    }

    pub fn counts(&self) -> Counts {
        self.slots.iter().fold(Counts::default(), |mut counts, slot| {
            let count = match slot.state {
                state if state == SlotState::Vacant as u8 => &mut counts.vacant,
                state if state == SlotState::Idle as u8 => &mut counts.idle,
                state if state == SlotState::Leased as u8 => &mut counts.leased,
                state if state == SlotState::Suspended as u8 => &mut counts.suspended,
                _ => &mut counts.barred,
            };
            *count = count.saturating_add(1);
            counts
        })
    }

    /// Seats of this board, with their numbers.
    pub fn seats(&self) -> impl Iterator<Item = (u8, &'a Seat)> + use<'a> {
        (0..self.header.seat_count).zip(&self.header.seats)
    }

    /// The seat that a keeper's wallet holds.
    pub fn seat_of(&self, authority: &Pubkey) -> Option<(u8, &'a Seat)> {
        self.seats().find(|(_, seat)| !seat.is_vacant() && seat.keeper == *authority)
    }

    /// The first seat that nobody holds.
    pub fn vacant_seat(&self) -> Option<u8> {
        self.seats().find(|(_, seat)| seat.is_vacant()).map(|(index, _)| index)
    }

    /// Closed rounds that the board remembers, at most the last 64.
    pub fn remembered(&self) -> std::ops::Range<u32> {
        let next = self.header.next_round;
        // The constant is 64.
        next.saturating_sub(u32::try_from(HISTORY_ROUNDS).unwrap_or(u32::MAX))..next
    }

    /// Verdicts of a machine in the rounds that the board remembers, the oldest first.
    pub fn verdicts(&self, slot: &'a Slot) -> impl Iterator<Item = (u32, Verdict)> + use<'a> {
        let header = self.header;
        self.remembered().filter_map(move |round| Some((round, header.verdict(slot, round)?)))
    }

    /// True if a machine was down in the last closed round.
    pub fn was_down(&self, slot: &Slot) -> bool {
        let last = self.header.next_round.checked_sub(1);
        last.and_then(|last| self.header.verdict(slot, last)) == Some(Verdict::Down)
    }

    /// Verdicts of [`BoardView::verdicts`] as a line: `#` up, `x` down, `o` unseen, `.` void.
    pub fn uptime_strip(&self, slot: &'a Slot) -> String {
        let letter = |verdict| match verdict {
            Verdict::Up => '#',
            Verdict::Down => 'x',
            Verdict::Unseen => 'o',
            Verdict::Void => '.',
        };
        self.verdicts(slot).map(|(_, verdict)| letter(verdict)).collect()
    }
}

/// A board's account, owned, at an address that [`BoardView`] can borrow from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardData {
    /// The account's data: its length is a multiple of 8.
    words: Vec<u64>,
}

impl BoardData {
    /// Copies an account's data, and checks that it is a board's.
    pub fn new(data: &[u8]) -> Result<Self, DecodeError> {
        if !data.len().is_multiple_of(8) || data.len() < SLOTS_OFFSET {
            let kind = data.starts_with(Board::DISCRIMINATOR);
            let malformed = DecodeError::Malformed { kind: KIND };
            return Err(if kind { malformed } else { DecodeError::Kind { expected: KIND } });
        }
        let mut board = BoardData { words: vec![0; data.len() / 8] };
        board.bytes_mut().copy_from_slice(data);
        BoardView::new(board.bytes())?;
        Ok(board)
    }

    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// The account's data to change, as a test or a simulation may.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    /// Header and slots. Fails only where [`BoardData::bytes_mut`] was used to spoil them.
    pub fn view(&self) -> Result<BoardView<'_>, DecodeError> {
        BoardView::new(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{change, snapshot, wallet};

    #[test]
    fn a_view_borrows_the_account_and_finds_its_machines() {
        let data = snapshot().boards.remove(0).data;
        let view = BoardView::new(data.bytes()).unwrap();
        let range = data.bytes().as_ptr_range();
        assert!(range.contains(&view.slots.as_ptr().cast()), "nothing is copied");
        assert_eq!(view.counts(), Counts { vacant: 1, idle: 1, leased: 2, ..Counts::default() });
        assert_eq!(view.machines().map(|(index, _)| index).collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(view.vacant().map(|(index, _)| index).collect::<Vec<_>>(), [2]);
        assert_eq!(view.leased(1).map(|(index, _)| index).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(view.leased(0).count(), 0, "no lease has serial 0");
        assert_eq!(view.of_supplier(view.slots[2].supplier).count(), 2, "a vacant slot is nobody's machine");
        assert_eq!(view.seat_of(&wallet(3)).map(|(seat, _)| seat), Some(1));
        assert_eq!(view.seat_of(&Pubkey::default()), None, "a vacant seat is held by nobody");
        assert_eq!(view.vacant_seat(), Some(2));
    }

    #[test]
    fn the_strip_shows_64_rounds_the_oldest_first() {
        let data = snapshot().boards.remove(0).data;
        let view = data.view().unwrap();
        assert_eq!(view.uptime_strip(&view.slots[0]), ".".repeat(54) + "#x###x####");
        assert_eq!(
            view.verdicts(&view.slots[0]).find(|(_, v)| *v == Verdict::Down),
            Some((991, Verdict::Down))
        );
        assert_eq!(view.remembered(), 936..1_000);
    }

    #[test]
    fn a_machine_is_down_by_the_last_closed_round() {
        let mut data = snapshot().boards.remove(0).data;
        let down = |data: &BoardData| data.view().unwrap().was_down(&data.view().unwrap().slots[0]);
        assert!(!down(&data));
        change(&mut data, |board, _| board.next_round = 996);
        assert!(down(&data), "in round 995");
        change(&mut data, |board, _| board.quorate = 0);
        assert!(!down(&data), "nobody voted");
        change(&mut data, |board, _| board.next_round = 0);
        assert!(!down(&data), "no round is closed");
    }

    #[test]
    fn bytes_that_are_no_board_are_refused() {
        let data = snapshot().boards.remove(0).data;
        let kind = DecodeError::Kind { expected: "board" };
        let malformed = DecodeError::Malformed { kind: "board" };
        assert_eq!(BoardView::new(&[]).unwrap_err(), kind);
        assert_eq!(BoardData::new(&[0; 8_192]).unwrap_err(), kind);
        assert_eq!(BoardView::new(&data.bytes()[..100]).unwrap_err(), malformed);
        assert_eq!(BoardData::new(&data.bytes()[..data.bytes().len() - 1]).unwrap_err(), malformed);
        let cut = data.bytes().len() - size_of::<Slot>();
        assert_eq!(BoardView::new(&data.bytes()[..cut]).unwrap_err(), malformed, "a slot is missing");
        let mut newer = data.clone();
        change(&mut newer, |board, _| board.version = 9);
        let version = DecodeError::Version { kind: "board", version: 9, known: Board::VERSION };
        assert_eq!(newer.view().unwrap_err(), version);
    }

    #[test]
    fn a_header_is_read_from_an_accounts_first_bytes() {
        let data = snapshot().boards.remove(0).data;
        let whole = data.view().unwrap().header;
        let read = header(&data.bytes()[..HEAD_LEN]).unwrap();
        assert_eq!(
            (read.market, read.next_round, read.quorate),
            (whole.market, whole.next_round, whole.quorate)
        );
        assert_eq!((read.seats, read.round_secs), (whole.seats, whole.round_secs));
        assert_eq!(read.tally, bytemuck::Zeroable::zeroed());
        assert_eq!(
            header(&data.bytes()[..HEAD_LEN - 1]).unwrap_err(),
            DecodeError::Malformed { kind: "board" }
        );
        assert_eq!(header(&[0; HEAD_LEN]).unwrap_err(), DecodeError::Kind { expected: "board" });
    }

    #[test]
    fn data_at_an_odd_address_is_copied_to_an_even_one() {
        let data = snapshot().boards.remove(0).data;
        let mut shifted = vec![0];
        shifted.extend_from_slice(data.bytes());
        assert_eq!(BoardData::new(&shifted[1..]).unwrap(), data);
    }
}
