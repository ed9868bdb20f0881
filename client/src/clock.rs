//! The cluster's clock, which rounds go by: its account, and the Unix time in it.

use std::ops::Range;

use solana_pubkey::Pubkey;

/// Address of the clock's account.
pub const ADDRESS: Pubkey = solana_sdk_ids::sysvar::clock::ID;

/// Slot, start of the epoch, epoch and leader schedule's epoch come before it, 8 bytes each.
const UNIX_TIME: Range<usize> = 32..40;

/// Unix time in seconds in the data of the clock's account; `None` if the data is too short.
pub fn unix_time(data: &[u8]) -> Option<i64> {
    let bytes = data.get(UNIX_TIME)?;
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_last_field_of_the_clock() {
        assert_eq!(ADDRESS.to_string(), "SysvarC1ock11111111111111111111111111111111");
        let data: Vec<u8> =
            [7u64, 6, 5, 4, 1_700_000_000].iter().flat_map(|field| field.to_le_bytes()).collect();
        assert_eq!(unix_time(&data), Some(1_700_000_000));
        assert_eq!(unix_time(&data[..39]), None);
    }
}
