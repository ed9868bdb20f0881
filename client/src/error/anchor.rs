use anchor_lang::error::ErrorCode;

/// All errors of the framework: its enum can't be built from a number.
const EVERY: &[ErrorCode] = &[
    ErrorCode::InstructionMissing,
    ErrorCode::InstructionFallbackNotFound,
    ErrorCode::InstructionDidNotDeserialize,
    ErrorCode::InstructionDidNotSerialize,
    ErrorCode::IdlInstructionStub,
    ErrorCode::IdlInstructionInvalidProgram,
    ErrorCode::IdlAccountNotEmpty,
    ErrorCode::EventInstructionStub,
    ErrorCode::ConstraintMut,
    ErrorCode::ConstraintHasOne,
    ErrorCode::ConstraintSigner,
    ErrorCode::ConstraintRaw,
    ErrorCode::ConstraintOwner,
    ErrorCode::ConstraintRentExempt,
    ErrorCode::ConstraintSeeds,
    ErrorCode::ConstraintExecutable,
    ErrorCode::ConstraintState,
    ErrorCode::ConstraintAssociated,
    ErrorCode::ConstraintAssociatedInit,
    ErrorCode::ConstraintClose,
    ErrorCode::ConstraintAddress,
    ErrorCode::ConstraintZero,
    ErrorCode::ConstraintTokenMint,
    ErrorCode::ConstraintTokenOwner,
    ErrorCode::ConstraintMintMintAuthority,
    ErrorCode::ConstraintMintFreezeAuthority,
    ErrorCode::ConstraintMintDecimals,
    ErrorCode::ConstraintSpace,
    ErrorCode::ConstraintAccountIsNone,
    ErrorCode::ConstraintTokenTokenProgram,
    ErrorCode::ConstraintMintTokenProgram,
    ErrorCode::ConstraintAssociatedTokenTokenProgram,
    ErrorCode::ConstraintMintGroupPointerExtension,
    ErrorCode::ConstraintMintGroupPointerExtensionAuthority,
    ErrorCode::ConstraintMintGroupPointerExtensionGroupAddress,
    ErrorCode::ConstraintMintGroupMemberPointerExtension,
    ErrorCode::ConstraintMintGroupMemberPointerExtensionAuthority,
    ErrorCode::ConstraintMintGroupMemberPointerExtensionMemberAddress,
    ErrorCode::ConstraintMintMetadataPointerExtension,
    ErrorCode::ConstraintMintMetadataPointerExtensionAuthority,
    ErrorCode::ConstraintMintMetadataPointerExtensionMetadataAddress,
    ErrorCode::ConstraintMintCloseAuthorityExtension,
    ErrorCode::ConstraintMintCloseAuthorityExtensionAuthority,
    ErrorCode::ConstraintMintPermanentDelegateExtension,
    ErrorCode::ConstraintMintPermanentDelegateExtensionDelegate,
    ErrorCode::ConstraintMintTransferHookExtension,
    ErrorCode::ConstraintMintTransferHookExtensionAuthority,
    ErrorCode::ConstraintMintTransferHookExtensionProgramId,
    ErrorCode::ConstraintDuplicateMutableAccount,
    ErrorCode::AccountAlreadyMigrated,
    ErrorCode::AccountNotMigrated,
    ErrorCode::ConstraintMintPausableExtension,
    ErrorCode::ConstraintMintPausableAuthority,
    ErrorCode::RequireViolated,
    ErrorCode::RequireEqViolated,
    ErrorCode::RequireKeysEqViolated,
    ErrorCode::RequireNeqViolated,
    ErrorCode::RequireKeysNeqViolated,
    ErrorCode::RequireGtViolated,
    ErrorCode::RequireGteViolated,
    ErrorCode::AccountDiscriminatorAlreadySet,
    ErrorCode::AccountDiscriminatorNotFound,
    ErrorCode::AccountDiscriminatorMismatch,
    ErrorCode::AccountDidNotDeserialize,
    ErrorCode::AccountDidNotSerialize,
    ErrorCode::AccountNotEnoughKeys,
    ErrorCode::AccountNotMutable,
    ErrorCode::AccountOwnedByWrongProgram,
    ErrorCode::InvalidProgramId,
    ErrorCode::InvalidProgramExecutable,
    ErrorCode::AccountNotSigner,
    ErrorCode::AccountNotSystemOwned,
    ErrorCode::AccountNotInitialized,
    ErrorCode::AccountNotProgramData,
    ErrorCode::AccountNotAssociatedTokenAccount,
    ErrorCode::AccountSysvarMismatch,
    ErrorCode::AccountReallocExceedsLimit,
    ErrorCode::AccountDuplicateReallocs,
    ErrorCode::DeclaredProgramIdMismatch,
    ErrorCode::TryingToInitPayerAsProgramAccount,
    ErrorCode::InvalidNumericConversion,
    ErrorCode::Deprecated,
];

/// The framework's error with a number.
pub fn from_code(code: u32) -> Option<ErrorCode> {
    EVERY.iter().copied().find(|error| u32::from(*error) == code)
}

/// Remedy for an error of the framework; specific for those that Leasehold's instructions can cause.
pub fn advice(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::InstructionMissing
        | ErrorCode::InstructionFallbackNotFound
        | ErrorCode::InstructionDidNotDeserialize => {
            "the client doesn't match the deployed program: update it"
        }
        ErrorCode::AccountNotInitialized => "create the account first, or check the address and the cluster",
        ErrorCode::AccountDiscriminatorMismatch
        | ErrorCode::AccountDiscriminatorNotFound
        | ErrorCode::AccountDidNotDeserialize => "pass an account of the kind that is asked for",
        ErrorCode::AccountOwnedByWrongProgram => "pass an account of the program that is asked for",
        ErrorCode::AccountNotSigner | ErrorCode::ConstraintSigner => "sign with this wallet too",
        ErrorCode::AccountNotEnoughKeys => "pass every account of the instruction",
        ErrorCode::ConstraintMut | ErrorCode::AccountNotMutable => "pass the account as writable",
        ErrorCode::ConstraintSeeds => "pass the account at the address that the program derives",
        ErrorCode::ConstraintDuplicateMutableAccount => "pass different accounts",
        ErrorCode::ConstraintMintTokenProgram | ErrorCode::ConstraintTokenTokenProgram => {
            "pass the token program that the mint belongs to"
        }
        ErrorCode::InvalidProgramId | ErrorCode::InvalidProgramExecutable => {
            "pass the program that is asked for"
        }
        _ => "check the accounts of the instruction",
    }
}
