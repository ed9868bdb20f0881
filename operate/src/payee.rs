//! Token accounts that are paid to.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

use crate::{failure::Failure, plan::Plan};

/// Bytes of an associated token account of Token-2022, with its one extension. One of the classic program has five
/// less.
const TOKEN_ACCOUNT: usize = 170;

/// A wallet's associated token account that is paid to.
#[derive(Clone, Copy, Debug)]
pub struct Payee {
    /// Pays the account's rent if it must be created.
    pub payer: Pubkey,
    pub owner: Pubkey,
    pub account: Pubkey,
    pub mint: Pubkey,
    pub token_program: Pubkey,
    pub exists: bool,
}

impl Payee {
    /// Creates the account before it is paid to, unless it exists.
    pub fn prepare(&self, plan: Plan, instructions: &mut Vec<Instruction>) -> Plan {
        if self.exists {
            return plan;
        }
        // Idempotent, since somebody else may create it meanwhile. See [`Plan::step`] for accounts of others.
        instructions.push(create_associated_token_account_idempotent(
            &self.payer,
            &self.owner,
            &self.mint,
            &self.token_program,
        ));
        plan.creates_shared(self.account, TOKEN_ACCOUNT)
    }
}

/// Refuses to pay anybody but the wallet or the one named by `flag`, whatever the RPC node says.
pub fn require_payee(what: &str, told: &Pubkey, meant: &Pubkey, flag: &str) -> Result<(), Failure> {
    if told == meant {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "the {what}'s {flag} is {told} by the RPC node, not {meant}: if you know that {told} is right, pass it as \
         --{flag}"
    )))
}

#[cfg(test)]
mod tests {
    use leasehold_client::instruction::creates_foreign_account;

    use super::*;
    use crate::plan::Growth;

    #[test]
    fn a_missing_account_is_created_at_the_wallets_cost() {
        let [payer, owner, account] = [1, 2, 3].map(|byte| Pubkey::new_from_array([byte; 32]));
        let mint = Pubkey::new_from_array([4; 32]);
        let payee = Payee { payer, owner, account, mint, token_program: Pubkey::default(), exists: false };
        let mut instructions = Vec::new();
        let plan = payee.prepare(Plan::new("Claim"), &mut instructions);
        assert_eq!(plan.growths, [Growth { from: None, to: 170, shared: Some(account) }]);
        assert_eq!(instructions.len(), 1);
        assert!(instructions[0].accounts.iter().any(|meta| meta.pubkey == payer && meta.is_signer));
        assert!(creates_foreign_account(&instructions[0]));
        let mut own = Vec::new();
        Payee { owner: payer, ..payee }.prepare(Plan::new("Claim"), &mut own);
        assert!(!creates_foreign_account(&own[0]), "its rent is the payer's");
        let plan = Payee { exists: true, ..payee }.prepare(Plan::new("Claim"), &mut instructions);
        assert!(plan.growths.is_empty() && instructions.len() == 1);
    }
}
