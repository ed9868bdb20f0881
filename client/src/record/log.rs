//! Views of a compute log's account.

use anchor_lang::Discriminator;
use leasehold::state::{ComputeLog, LANES_OFFSET, Lane, split_log, split_log_mut};

use crate::decode::{DecodeError, check_version};

const KIND: &str = "compute log";

/// A log's account, owned, at an aligned address that header and lanes can be borrowed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogData {
    /// The account's data: its length is a multiple of 8.
    words: Vec<u64>,
}

impl LogData {
    /// Copies an account's data, and checks that it is a log's.
    ///
    /// # Errors
    /// [`DecodeError::Kind`], [`DecodeError::Malformed`] or [`DecodeError::Version`].
    pub fn new(data: &[u8]) -> Result<Self, DecodeError> {
        if !data.starts_with(ComputeLog::DISCRIMINATOR) {
            return Err(DecodeError::Kind { expected: KIND });
        }
        let malformed = DecodeError::Malformed { kind: KIND };
        if !data.len().is_multiple_of(8) || data.len() < LANES_OFFSET {
            return Err(malformed);
        }
        let mut log = LogData { words: vec![0; data.len() / 8] };
        log.bytes_mut().copy_from_slice(data);
        let (header, lanes) = log.view()?;
        check_version(KIND, header.version, ComputeLog::VERSION)?;
        if usize::try_from(header.lanes) != Ok(lanes.len()) {
            return Err(malformed);
        }
        Ok(log)
    }

    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// The account's data to modify, for tests and simulations.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    /// Header and lanes, ordered by board and slot.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`], only after [`LogData::bytes_mut`] was used to corrupt the data.
    pub fn view(&self) -> Result<(&ComputeLog, &[Lane]), DecodeError> {
        split_log(self.bytes()).map_err(|_| DecodeError::Malformed { kind: KIND })
    }

    /// Like [`LogData::view`], mutable.
    pub fn view_mut(&mut self) -> Result<(&mut ComputeLog, &mut [Lane]), DecodeError> {
        split_log_mut(self.bytes_mut()).map_err(|_| DecodeError::Malformed { kind: KIND })
    }

    /// Lane of a slot on the board with that index in its market; `None` if the log has none.
    pub fn lane(&self, board: u32, slot: u16) -> Option<&Lane> {
        let (_, lanes) = self.view().ok()?;
        lanes.get(lanes.binary_search_by_key(&(board, slot), Lane::key).ok()?)
    }
}
