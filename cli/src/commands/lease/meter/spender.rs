//! The key that signs for a metered lease.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use leasehold::state::Meter;
use leasehold_client::{keypair, meter::require_meter, probe::SigningKey};
use leasehold_operate::{config::Settings, failure::Failure};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::commands::lease::leased::Leased;

#[derive(Args, Clone, Debug, Default)]
pub struct SpenderArgs {
    /// Keypair of the lease's spender (of its owner, under a lease by the hour), as solana-keygen writes it [default: the keypair that --keypair names]
    #[arg(long, value_name = "FILE")]
    pub spender_keypair: Option<PathBuf>,
}

impl SpenderArgs {
    /// The key, which must be the one that the lease names as its `role`.
    pub fn key(&self, settings: &Settings, role: &str, signer: &Pubkey) -> Result<SigningKey, Failure> {
        let keypair = match &self.spender_keypair {
            Some(path) => keypair::read(path).map(Arc::new).map_err(|error| {
                Failure::Input(format!("{error}; name the spender's with --spender-keypair"))
            })?,
            None => settings.wallet()?,
        };
        if keypair.pubkey() != *signer {
            let found = keypair.pubkey();
            return Err(Failure::Refused(format!(
                "the lease's {role} is {signer}, but the keypair is of {found}: name the {role}'s with \
                 --spender-keypair"
            )));
        }
        Ok(SigningKey::from_bytes(keypair.secret_bytes()))
    }
}

impl Leased {
    /// The lease's meter, or a refusal if it is not metered.
    pub fn meter(&self) -> Result<&Meter, Failure> {
        Ok(require_meter(&self.lease)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use solana_keypair::Keypair;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn only_the_key_that_the_lease_names_signs_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let [wallet, spender] = ["wallet", "spender"].map(|name| {
            let keypair = Keypair::new();
            let json = serde_json::to_string(&keypair.to_bytes().to_vec()).unwrap();
            std::fs::write(dir.path().join(name), json).unwrap();
            keypair.pubkey()
        });
        let path = dir.path().join("wallet");
        let config = dir.path().join("config");
        std::fs::write(&config, "").unwrap();
        let [path, config] = [path, config].map(|path| path.to_str().unwrap().to_owned());
        let args = ["leasehold", "-k", &path, "-C", &config, "board", "show", "--market", "1", "0"];
        let settings = Settings::load(&Cli::try_parse_from(args).unwrap().global).unwrap();
        let named = SpenderArgs { spender_keypair: Some(dir.path().join("spender")) };
        let public = |key: SigningKey| Pubkey::new_from_array(key.verifying_key().to_bytes());
        assert_eq!(public(named.key(&settings, "spender", &spender).unwrap()), spender);
        assert_eq!(public(SpenderArgs::default().key(&settings, "spender", &wallet).unwrap()), wallet);
        let other = SpenderArgs::default().key(&settings, "spender", &spender).unwrap_err();
        assert_eq!(other.code(), 3);
        assert!(other.to_string().contains(&wallet.to_string()), "{other}");
        let missing = SpenderArgs { spender_keypair: Some(dir.path().join("none")) };
        let missing = missing.key(&settings, "spender", &spender).unwrap_err();
        assert!(missing.code() == 2 && missing.to_string().ends_with("with --spender-keypair"), "{missing}");
    }
}
