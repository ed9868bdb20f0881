//! Whom something is paid to.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

use crate::{failure::Failure, plan::Plan};

/// Bytes of a token account of Token-2022 with the one extension that associated accounts have; those of the
/// classic program have five less.
const TOKEN_ACCOUNT: usize = 170;

/// A wallet's associated token account, to which something is paid.
#[derive(Clone, Copy, Debug)]
pub struct Payee {
    /// Who pays the account's rent where it is to be created.
    pub payer: Pubkey,
    pub owner: Pubkey,
    pub account: Pubkey,
    pub mint: Pubkey,
    pub token_program: Pubkey,
    pub exists: bool,
}

impl Payee {
    /// Has the account created before something is paid to it.
    pub fn prepare(&self, plan: Plan, instructions: &mut Vec<Instruction>) -> Plan {
        if self.exists {
            return plan;
        }
        // Idempotent: somebody else may create it meanwhile. A plan leaves another's out of later steps.
        instructions.push(create_associated_token_account_idempotent(
            &self.payer,
            &self.owner,
            &self.mint,
            &self.token_program,
        ));
        plan.creates_shared(self.account, TOKEN_ACCOUNT)
    }
}

/// Refuses to pay anybody who was not named, whatever the RPC node says. `flag`: names another than the wallet.
pub fn require_payee(what: &str, told: &Pubkey, meant: &Pubkey, flag: &str) -> Result<(), Failure> {
    if told == meant {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "the {what}'s {flag} is {told}, as the RPC node has it, and {meant} was to be paid: if you know that the \
         other is right, name it by --{flag}"
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
