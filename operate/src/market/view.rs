//! A market as read from the chain.

use leasehold::state::{HardwareClass, Market};
use leasehold_client::{BoardRef, MarketRef, fetch::MintInfo};
use solana_pubkey::Pubkey;

use crate::{amount::Token, failure::Failure, plan::market};

/// A market with its mints.
#[derive(Clone, Debug)]
pub struct MarketView {
    pub reference: MarketRef,
    pub account: Market,
    pub payment: Token,
    pub stake: Token,
    /// Authorities that may freeze accounts of the mints, vaults included.
    pub payment_freeze_authority: Option<Pubkey>,
    pub stake_freeze_authority: Option<Pubkey>,
}

impl MarketView {
    pub fn new(address: Pubkey, account: Market, payment: MintInfo, stake: MintInfo) -> Self {
        MarketView {
            reference: MarketRef::of(address, &account, payment.token_program, stake.token_program),
            payment: Token { mint: account.payment_mint, decimals: payment.decimals },
            stake: Token { mint: account.stake_mint, decimals: stake.decimals },
            payment_freeze_authority: payment.freeze_authority,
            stake_freeze_authority: stake.freeze_authority,
            account,
        }
    }

    /// Its number and address.
    pub fn name(&self) -> String {
        market(self.account.id, self.reference.address)
    }

    pub fn board(&self, index: u32) -> BoardRef {
        self.reference.board(index)
    }

    /// Name of a hardware class, or its number if it has none.
    pub fn class_name(&self, class: u16) -> String {
        let found = self.account.params.classes.get(usize::from(class)).map(name);
        found.filter(|name| !name.is_empty()).unwrap_or_else(|| class.to_string())
    }

    /// Name and number of a hardware class. Leases and machines have the number.
    pub fn class_in_full(&self, class: u16) -> String {
        format!("{} (number {class})", self.class_name(class))
    }

    /// Number of a hardware class, by its name or number.
    pub fn class(&self, text: &str) -> Result<u16, Failure> {
        let classes = &self.account.params.classes;
        // A number is always the class with that number, whatever others are called.
        let numbered = text.parse::<usize>().ok().filter(|number| *number < classes.len());
        let alike = classes.iter().enumerate().filter(|(_, class)| name(class).eq_ignore_ascii_case(text));
        let alike: Vec<_> = alike.map(|(place, _)| place).collect();
        let place = match (numbered, &alike[..]) {
            (Some(place), _) => Some(place),
            (None, [one]) => Some(*one),
            (None, []) => None,
            (None, several) => {
                let numbers: Vec<_> = several.iter().map(usize::to_string).collect();
                let numbers = numbers.join(", ");
                return Err(Failure::Input(format!(
                    "several classes of the market match {text:?}: give a number, {numbers}"
                )));
            }
        };
        let place = place.and_then(|place| u16::try_from(place).ok());
        place.ok_or_else(|| {
            let names: Vec<_> = classes.iter().map(name).collect();
            Failure::Input(format!("unknown class {text:?}: the market has {}", names.join(", ")))
        })
    }
}

/// Name of a class without its padding. Other characters than printable ASCII are replaced by question marks: they
/// could be invisible, or look like another name.
pub fn name(class: &HardwareClass) -> String {
    let name = String::from_utf8_lossy(&class.name);
    let printable = |character| if is_of_names(character) { character } else { '?' };
    name.trim_end_matches('\0').chars().map(printable).collect()
}

/// True if a class name may have the character.
pub fn is_of_names(character: char) -> bool {
    matches!(character, ' '..='~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::view;

    #[test]
    fn a_class_is_named_as_the_market_has_it() {
        let view = view();
        assert_eq!(view.class_name(0), "RTX 4090");
        assert_eq!((view.class_name(9), view.class_in_full(0)), ("9".into(), "RTX 4090 (number 0)".into()));
        assert_eq!((view.class("rtx 4090").unwrap(), view.class("0").unwrap()), (0, 0));
        let unknown = view.class("1").unwrap_err();
        assert_eq!(unknown.code(), 2);
        assert!(unknown.to_string().ends_with("the market has RTX 4090"), "{unknown}");
        let hostile = HardwareClass { name: *b"\x1b[31mred\0\0\0\0\0\0\0\0", weight_bps: 1 };
        assert_eq!(name(&hostile), "?[31mred");
    }

    #[test]
    fn classes_that_look_alike_are_named_by_number() {
        let mut view = view();
        let class = |name: &[u8]| {
            let mut padded = [0; 16];
            padded[..name.len()].copy_from_slice(name);
            HardwareClass { name: padded, weight_bps: 1 }
        };
        view.account.params.classes.extend([class(b"rtx 4090"), class(b"0"), class("\u{410}100".as_bytes())]);
        let unclear = view.class("RTX 4090").unwrap_err();
        assert!(unclear.code() == 2 && unclear.to_string().ends_with("give a number, 0, 1"), "{unclear}");
        assert_eq!((view.class("1").unwrap(), view.class("0").unwrap()), (1, 0), "numbers are never names");
        assert!(view.class("A100").is_err(), "the letter is not ASCII");
        assert_eq!(view.class_name(3), "?100");
    }
}
