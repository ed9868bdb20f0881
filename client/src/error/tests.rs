use super::*;

fn logs(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn explained(error: InstructionError, lines: &[&str]) -> Explanation {
    explain(&ProgramFailure { instruction: 2, error: &error, logs: &logs(lines) })
}

const REFUSED: &str =
    "Program 7X3EmA4YqbFVaHbPv75NUc1i3x39adzzzBDFSdRETqvS failed: custom program error: 0x1";
const TOKEN_REFUSED: &str =
    "Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA failed: custom program error: 0x1";
const SYSTEM_REFUSED: &str = "Program 11111111111111111111111111111111 failed: custom program error: 0x1";

#[test]
fn every_error_of_the_program_has_a_sentence_with_advice() {
    let mut sentences = std::collections::HashSet::new();
    for (number, error) in every().iter().enumerate() {
        assert_eq!(u32::from(*error) as usize, 6_000 + number, "{}", error.name());
        let explanation = explained(InstructionError::Custom(u32::from(*error)), &[]);
        assert_eq!(explanation.origin, Origin::Leasehold);
        assert_eq!(explanation.instruction, 2);
        assert_eq!(explanation.name, error.name());
        assert_eq!(explanation.leasehold().map(u32::from), Some(u32::from(*error)));
        let (rule, what_to_do) = explanation.sentence.split_once(": ").unwrap();
        assert!(error.to_string().starts_with(rule), "{}", explanation.sentence);
        assert!(what_to_do.len() > 8 && !explanation.sentence.ends_with('.'), "{}", explanation.sentence);
        assert!(what_to_do.starts_with(char::is_lowercase), "{}", explanation.sentence);
        sentences.insert(explanation.sentence);
    }
    assert_eq!(sentences.len(), every().len(), "no two errors have the same sentence");
    assert!(from_code(6_000 + u32::try_from(every().len()).unwrap()).is_none());
}

#[test]
fn an_error_of_a_called_program_is_attributed_to_it() {
    let code = InstructionError::Custom(1);
    let token = explained(code.clone(), &[TOKEN_REFUSED, REFUSED]);
    assert_eq!((token.origin, token.name.as_str()), (Origin::Token, "InsufficientFunds"));
    assert_eq!(token.sentence, "Insufficient funds: put more tokens into the wallet's account");
    let system = explained(code.clone(), &[SYSTEM_REFUSED, REFUSED]);
    assert_eq!(system.origin, Origin::System);
    assert_eq!(system.sentence, "the paying wallet has too little SOL: fund it first");
    let unknown = explained(code, &[]);
    assert_eq!(unknown.origin, Origin::Token, "without logs the likelier program");
}

#[test]
fn the_frameworks_errors_name_the_account() {
    let line = "Program log: AnchorError caused by account: tokens.vault. Error Code: AccountNotInitialized. \
                Error Number: 3012. Error Message: The program expected this account to be already initialized.";
    let found = explained(InstructionError::Custom(3_012), &[line, REFUSED]);
    assert_eq!((found.origin, found.name.as_str()), (Origin::Anchor, "AccountNotInitialized"));
    assert_eq!(
        found.sentence,
        "account `tokens.vault`: The program expected this account to be already initialized: create the \
         account first, or check the address and the cluster"
    );
    for (code, name) in [(100, "InstructionMissing"), (2_006, "ConstraintSeeds"), (5_000, "Deprecated")] {
        assert_eq!(explained(InstructionError::Custom(code), &[]).name, name);
    }
}

#[test]
fn codes_of_other_programs_are_not_attributed_to_leasehold() {
    let line = "Program Stake11111111111111111111111111111111111111 failed: custom program error: 0x1770";
    let found = explained(InstructionError::Custom(6_000), &[line]);
    assert_eq!((found.origin, found.leasehold().is_none()), (Origin::Other, true));
    assert!(
        found
            .sentence
            .contains("program Stake11111111111111111111111111111111111111 refused with error 6000")
    );
    assert_eq!(explained(InstructionError::Custom(9_999), &[]).origin, Origin::Other);
}

#[test]
fn runtime_errors_have_advice() {
    let found = explained(InstructionError::ComputationalBudgetExceeded, &[]);
    assert_eq!((found.origin, found.code), (Origin::Runtime, None));
    assert_eq!(found.name, "ComputationalBudgetExceeded");
    assert_eq!(found.sentence, "Computational budget exceeded: request more compute units");
    let crash =
        "Program 7X3EmA4YqbFVaHbPv75NUc1i3x39adzzzBDFSdRETqvS failed: divide by zero at BPF instruction";
    let found = explained(InstructionError::ProgramFailedToComplete, &[crash]);
    let expected =
        "Program failed to complete (divide by zero at BPF instruction): see the transaction's logs";
    assert_eq!(found.sentence, expected);
    let sentence = |error| explain_transaction(&error, &[]);
    assert!(sentence(TransactionError::InsufficientFundsForFee).contains("fund it first"));
    assert!(sentence(TransactionError::AccountInUse).starts_with("the network refused the transaction: "));
    let nested =
        TransactionError::InstructionError(3, InstructionError::Custom(LeaseholdError::NoGpus.into()));
    assert_eq!(sentence(nested), "A machine must have at least one GPU: name how many it has");
}

#[test]
fn errors_of_functions_keep_their_number() {
    let refused = Refusal::from(anchor_lang::error::Error::from(LeaseholdError::NotInLease));
    assert_eq!(refused, LeaseholdError::NotInLease.into());
    assert_eq!(refused.error().map(|error| error.name()).as_deref(), Some("NotInLease"));
    assert!(refused.to_string().starts_with("The machine is not in this lease: "));
}
