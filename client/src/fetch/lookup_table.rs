//! Lookup tables of versioned transactions.

use solana_address_lookup_table_interface::{program, state::AddressLookupTable};
use solana_message::AddressLookupTableAccount;
use solana_pubkey::Pubkey;

use super::{Fetch, FetchError, Raw};

impl Fetch<'_> {
    /// A lookup table, for [`crate::sender::Job::lookup_table`]. An address can be looked up from the Solana slot after
    /// the one that added it.
    ///
    /// # Errors
    /// [`FetchError::LookupTable`] if the account is not an active lookup table.
    pub async fn lookup_table(&self, address: Pubkey) -> Result<AddressLookupTableAccount, FetchError> {
        self.existing(address).await?.lookup_table()
    }
}

impl Raw {
    fn lookup_table(&self) -> Result<AddressLookupTableAccount, FetchError> {
        let unusable = |reason| FetchError::LookupTable { address: self.address, reason };
        if self.owner != program::ID {
            return Err(unusable("not a lookup table"));
        }
        let table =
            AddressLookupTable::deserialize(&self.data).map_err(|_| unusable("not a lookup table"))?;
        if table.meta.deactivation_slot != u64::MAX {
            return Err(unusable("a deactivated lookup table"));
        }
        Ok(AddressLookupTableAccount { key: self.address, addresses: table.addresses.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_lookup_tables_are_read() {
        let [address, one, two] = [1, 2, 3].map(|byte| Pubkey::new_from_array([byte; 32]));
        let raw = |owner, deactivation_slot: u64, kind: u8| {
            // Kind, deactivation slot, last extended slot and its start index, authority, padding.
            let mut data = vec![kind, 0, 0, 0];
            data.extend(deactivation_slot.to_le_bytes());
            data.extend([0; 9]);
            data.push(0);
            data.resize(56, 0);
            data.extend([one.to_bytes(), two.to_bytes()].concat());
            Raw { address, owner, lamports: 1, data }
        };
        let table = raw(program::ID, u64::MAX, 1).lookup_table().unwrap();
        assert_eq!(table, AddressLookupTableAccount { key: address, addresses: vec![one, two] });
        for (raw, expected) in [
            (raw(program::ID, 5, 1), "a deactivated lookup table"),
            (raw(program::ID, u64::MAX, 0), "not a lookup table"),
            (raw(leasehold::ID, u64::MAX, 1), "not a lookup table"),
        ] {
            let error = raw.lookup_table().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
