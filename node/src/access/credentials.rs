//! Host keys and their certificates.

use super::MachineKey;
use leasehold_client::probe::SigningKey;
use rand::RngCore;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Certificate, LineEnding, PrivateKey};

/// A certificate is valid from so many seconds before it is made, for clients whose clocks are slow.
const SLOW_CLOCKS: u64 = 3_600;

/// A host key and its certificate.
#[derive(Debug)]
pub(super) struct Credentials {
    pub key: PrivateKey,
    pub certificate: Certificate,
}

impl Credentials {
    /// A new host key, certified.
    pub fn new(
        node_key: &SigningKey,
        machine: &MachineKey,
        alias: &str,
        now: u64,
        end: u64,
    ) -> ssh_key::Result<Self> {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let key = private_key(&seed)?;
        Self::certify(key, node_key, machine, alias, now, end)
    }

    /// A certificate for a key that exists: for `alias` from an hour ago until `end`, both in Unix seconds.
    pub fn certify(
        key: PrivateKey,
        node_key: &SigningKey,
        machine: &MachineKey,
        alias: &str,
        now: u64,
        end: u64,
    ) -> ssh_key::Result<Self> {
        let mut nonce = [0; Builder::RECOMMENDED_NONCE_SIZE];
        rand::rng().fill_bytes(&mut nonce);
        let begin = now.saturating_sub(SLOW_CLOCKS);
        let mut builder = Builder::new(nonce, key.public_key().key_data().clone(), begin, end)?;
        builder.cert_type(CertType::Host)?.key_id(machine.to_string())?.valid_principal(alias)?;
        let certificate = builder.sign(&private_key(&node_key.to_bytes())?)?;
        Ok(Self { key, certificate })
    }

    /// True if the key was made for this alias by this `node_key`.
    pub fn fits(&self, node_key: &SigningKey, alias: &str) -> bool {
        let Ok(authority) = private_key(&node_key.to_bytes()) else { return false };
        let Self { key, certificate } = self;
        certificate.valid_principals() == [alias]
            && certificate.public_key() == key.public_key().key_data()
            && certificate.signature_key() == authority.public_key().key_data()
    }

    /// The key as `sshd` reads it.
    pub fn key_text(&self) -> ssh_key::Result<String> {
        Ok(self.key.to_openssh(LineEnding::LF)?.as_str().to_owned())
    }

    /// The certificate as `sshd` reads it.
    pub fn certificate_text(&self) -> ssh_key::Result<String> {
        Ok(format!("{}\n", self.certificate.to_openssh()?))
    }
}

fn private_key(seed: &[u8; 32]) -> ssh_key::Result<PrivateKey> {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(seed)), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_client::probe::Pubkey;
    use ssh_key::HashAlg;

    fn machine() -> MachineKey {
        MachineKey { board: Pubkey::new_from_array([3; 32]), slot: 7 }
    }

    #[test]
    fn the_certificate_names_the_alias_and_ends_with_the_lease() {
        let node_key = SigningKey::from_bytes(&[5; 32]);
        let made =
            Credentials::new(&node_key, &machine(), "lease-1-2-0-slot7-abcdefgh", 10_000, 20_000).unwrap();
        let Credentials { certificate, .. } = &made;
        assert_eq!(certificate.cert_type(), CertType::Host);
        assert_eq!(certificate.valid_principals(), ["lease-1-2-0-slot7-abcdefgh"]);
        assert_eq!((certificate.valid_after(), certificate.valid_before()), (6_400, 20_000));
        let authority = private_key(&[5; 32]).unwrap().public_key().fingerprint(HashAlg::Sha256);
        certificate.validate_at(19_999, [&authority]).unwrap();
        certificate.validate_at(20_000, [&authority]).unwrap_err();
    }

    #[test]
    fn keys_are_new_each_time_and_fit_one_alias_and_one_node_key() {
        let node_key = SigningKey::from_bytes(&[5; 32]);
        let make = || Credentials::new(&node_key, &machine(), "one", 10_000, 20_000).unwrap();
        let (first, second) = (make(), make());
        assert_ne!(first.key.public_key(), second.key.public_key());
        assert!(first.fits(&node_key, "one"));
        assert!(!first.fits(&node_key, "other"));
        assert!(!first.fits(&SigningKey::from_bytes(&[6; 32]), "one"));
        let mixed = Credentials { key: first.key, certificate: second.certificate };
        assert!(!mixed.fits(&node_key, "one"), "the certificate is for another key");
    }
}
