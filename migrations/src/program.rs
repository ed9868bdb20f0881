//! Checks that the cluster runs the committed program.

use anchor_lang::{
    AccountDeserialize,
    solana_program::bpf_loader_upgradeable::{self, UpgradeableLoaderState},
};
use leasehold_client::fetch::FetchError;
use leasehold_operate::{chain::Chain, failure::Failure, text};
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;
use url::Url;

use crate::report::{Finding, State};

/// The committed program.
pub const COMMITTED: &[u8] = include_bytes!("../../programs/leasehold/leasehold.so");
/// Where it lies, from the root of the repository.
const PATH: &str = "programs/leasehold/leasehold.so";
/// Bytes of a program's data account before its code.
const CODE: usize = UpgradeableLoaderState::size_of_programdata_metadata();

/// State of the program's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    Missing,
    /// Not a program, or one of another loader.
    Foreign {
        owner: Pubkey,
    },
    /// A program whose code was deleted, for good.
    Closed,
    Deployed {
        /// Of the code without the zeros after it.
        sha256: [u8; 32],
        /// It is the committed one.
        committed: bool,
        /// Authority that may upgrade it.
        authority: Option<Pubkey>,
    },
}

impl Program {
    pub async fn read(chain: &Chain) -> Result<Self, Failure> {
        let Some((owner, data)) = account(chain, &leasehold::ID).await? else { return Ok(Program::Missing) };
        let Some(place) = place_of_code(&owner, &data) else { return Ok(Program::Foreign { owner }) };
        let found = account(chain, &place).await?;
        Ok(found.map_or(Program::Closed, |(_, data)| Program::of(&data)))
    }

    /// Contents of a program's data account.
    fn of(mut data: &[u8]) -> Self {
        let code = data.get(CODE..).unwrap_or_default();
        let state = UpgradeableLoaderState::try_deserialize_unchecked(&mut data);
        let Ok(UpgradeableLoaderState::ProgramData { upgrade_authority_address: authority, .. }) = state
        else {
            return Program::Closed;
        };
        // An account may have been made larger than its code, for upgrades to come.
        let committed = code.strip_prefix(COMMITTED).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        let code = if committed { COMMITTED } else { without_padding(code) };
        Program::Deployed { sha256: Sha256::digest(code).into(), committed, authority }
    }

    /// Refuses to go on without the committed program, saying how to deploy it. `any`: other code will do.
    pub fn finding(&self, url: &Url, any: bool) -> Result<Finding, Failure> {
        let (id, url) = (leasehold::ID, text::url(url));
        let refused = |text: String| Err(Failure::Refused(text));
        match self {
            Program::Missing => refused(format!(
                "program {id} is not on this cluster: deploy it first, by `solana program deploy --url {url} \
                 --program-id <KEYPAIR OF {id}> {PATH}`"
            )),
            Program::Foreign { owner } => refused(format!(
                "account {id} belongs to {owner} and not to the upgradeable loader: check --url"
            )),
            Program::Closed => refused(format!(
                "program {id} was closed on this cluster, and nothing can be deployed there again: check --url"
            )),
            Program::Deployed { sha256, committed: true, authority } => {
                let who = authority.map_or("nobody".to_owned(), |authority| authority.to_string());
                let detail = format!("sha256 {}, can be upgraded by {who}", hex::encode(sha256));
                Ok(Finding::new("program", State::Unchanged, detail))
            }
            Program::Deployed { sha256, authority, .. } => {
                let digests =
                    format!("sha256 {} there, {} here", hex::encode(sha256), hex::encode(committed_sha256()));
                if any {
                    let detail = format!("other code than {PATH}: {digests}");
                    return Ok(Finding::new("program", State::Unchanged, detail));
                }
                let advice = match authority {
                    Some(authority) => format!(
                        "upgrade it first, by `solana program deploy --url {url} --program-id {id} \
                         --upgrade-authority <KEYPAIR OF {authority}> {PATH}`, or pass --any-program"
                    ),
                    None => "nobody can upgrade it any more, so pass --any-program".to_owned(),
                };
                refused(format!("program {id} has other code than {PATH} ({digests}): {advice}"))
            }
        }
    }
}

fn committed_sha256() -> [u8; 32] {
    Sha256::digest(COMMITTED).into()
}

/// Where a program's account says that its code is.
fn place_of_code(owner: &Pubkey, mut data: &[u8]) -> Option<Pubkey> {
    let state = UpgradeableLoaderState::try_deserialize_unchecked(&mut data);
    match state {
        Ok(UpgradeableLoaderState::Program { programdata_address })
            if *owner == bpf_loader_upgradeable::ID =>
        {
            Some(programdata_address)
        }
        _ => None,
    }
}

fn without_padding(code: &[u8]) -> &[u8] {
    let end = code.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    code.get(..end).unwrap_or_default()
}

/// Owner and data of an account.
async fn account(chain: &Chain, address: &Pubkey) -> Result<Option<(Pubkey, Vec<u8>)>, Failure> {
    let read = chain.rpc.get_account_with_commitment(address, chain.settings.commitment).await;
    let account = read.map_err(FetchError::from)?.value;
    Ok(account.map(|account| (account.owner, account.data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: Pubkey = Pubkey::new_from_array([7; 32]);

    fn local() -> Url {
        "http://127.0.0.1:8899".parse().unwrap()
    }

    /// A data account as the upgradeable loader writes it: number of the variant, slot, authority.
    fn data(authority: Option<Pubkey>, code: &[u8]) -> Vec<u8> {
        let mut data = [3u32.to_le_bytes().as_slice(), &5u64.to_le_bytes()].concat();
        match authority {
            Some(authority) => data.extend([[1].as_slice(), authority.as_ref()].concat()),
            None => data.push(0),
        }
        data.resize(45, 0);
        data.extend_from_slice(code);
        data
    }

    fn refusal(program: &Program, url: &str) -> String {
        let failure = program.finding(&url.parse().unwrap(), false).unwrap_err();
        assert_eq!(failure.code(), 3);
        failure.to_string()
    }

    #[test]
    fn the_committed_program_is_known_with_and_without_room_after_it() {
        for code in [COMMITTED.to_vec(), [COMMITTED, &[0; 1_000]].concat()] {
            for authority in [Some(AUTHORITY), None] {
                let program = Program::of(&data(authority, &code));
                let sha256 = committed_sha256();
                assert_eq!(program, Program::Deployed { sha256, committed: true, authority });
                let finding = program.finding(&local(), false).unwrap();
                let upgradable = authority.is_some();
                assert_eq!(finding.detail.ends_with(&AUTHORITY.to_string()), upgradable, "{finding:?}");
            }
        }
    }

    #[test]
    fn its_digest_is_that_of_the_manifest_beside_it() {
        let manifest: serde_json::Value =
            serde_json::from_str(include_str!("../../programs/leasehold/leasehold.so.json")).unwrap();
        assert_eq!(manifest["sha256"], hex::encode(committed_sha256()));
    }

    #[test]
    fn other_code_is_refused_with_the_command_that_mends_it() {
        let mut other = COMMITTED.to_vec();
        other[1_000] ^= 1;
        let longer = [COMMITTED, &[1]].concat();
        for code in [&other, &longer, &COMMITTED[..COMMITTED.len() - 1].to_vec()] {
            let program = Program::of(&data(Some(AUTHORITY), code));
            let text = refusal(&program, "http://127.0.0.1:8899");
            let command = format!(
                "`solana program deploy --url http://127.0.0.1:8899/ --program-id {} --upgrade-authority \
                 <KEYPAIR OF {AUTHORITY}> programs/leasehold/leasehold.so`",
                leasehold::ID
            );
            assert!(text.contains(&command) && text.contains("--any-program"), "{text}");
            assert!(program.finding(&local(), true).unwrap().detail.starts_with("other code than"));
        }
        let text = refusal(&Program::of(&data(None, &other)), "http://127.0.0.1:8899");
        assert!(!text.contains("solana program deploy") && text.ends_with("pass --any-program"), "{text}");
    }

    #[test]
    fn a_missing_program_is_refused() {
        let text = refusal(&Program::Missing, "https://a.example/v2/key");
        assert!(
            text.contains("--url https://a.example/<...> --program-id <KEYPAIR OF") && !text.contains("key`"),
            "{text}"
        );
        assert!(Program::Missing.finding(&local(), true).is_err());
        assert!(refusal(&Program::of(&[0; 4]), "http://a").contains("was closed"));
        assert!(refusal(&Program::Foreign { owner: AUTHORITY }, "http://a").contains(&AUTHORITY.to_string()));
    }

    #[test]
    fn only_accounts_of_the_upgradeable_loader_say_where_code_is() {
        let account = [2u32.to_le_bytes().as_slice(), AUTHORITY.as_ref()].concat();
        assert_eq!(place_of_code(&bpf_loader_upgradeable::ID, &account), Some(AUTHORITY));
        assert_eq!(place_of_code(&AUTHORITY, &account), None);
        assert_eq!(place_of_code(&bpf_loader_upgradeable::ID, &data(None, &[])), None);
    }
}
