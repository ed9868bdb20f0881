//! The section `[access]` of the configuration file.

use crate::config::{ConfigError, read, syntax};
use crate::machines::Serving;
use leasehold_client::probe::Pubkey;
use serde::Deserialize;
use serde::de::Error;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the Debian package installs profiles.
const PROFILES: &str = "/usr/lib/leasehold/profiles";
const STATE: &str = "/var/lib/leasehold/access";
/// What the 107 bytes of a Unix socket's path leave: the longest in the folder is `/doors/slot65535-LEASE/keys.sock`.
const MAX_STATE: usize = 107 - 71;
const HOOK: NonZeroU32 = NonZeroU32::new(1_800).unwrap();

/// Why the section can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    File(#[from] ConfigError),
    #[error("{path}: {source}")]
    Section { path: PathBuf, source: AccessError },
}

/// Why the section is refused.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("[access] needs [chain], from which leases are read: add [chain] with `rpc` and `supplier`")]
    NoChain,
    #[error(
        "[access] needs either `profile` (vm, container or metal) or both `begin` and `end`, programs of your own"
    )]
    NoHooks,
    #[error("[access] has `profile` and `begin` or `end`: remove one of them")]
    TwoHooks,
    #[error("{path} is not an executable file: install the profile, or correct `{field}` in [access]")]
    NotExecutable { field: &'static str, path: PathBuf },
    #[error(
        "profile \"metal\" gives a tenant all of a host, where it would find `node_key` if the node ran there: run the node on \
         another host and name the tenant's with `host`{}", of_slot(*.slot)
    )]
    SameHost { slot: u32 },
    #[error("[[access.machine]] names slot {slot}{}, which is no [[machine]] of this file: correct `slot` or `board`", of_board(.board.as_ref()))]
    NoMachine { slot: u32, board: Option<Pubkey> },
    #[error("[[access.machine]] names slot {slot} for several boards: add `board`")]
    NoBoard { slot: u32 },
    #[error("slot {slot} of board {board} has two [[access.machine]]: remove one of them")]
    Twice { slot: u32, board: Pubkey },
    #[error(
        "several machines share this host, and slot {slot} of board {board} has no GPUs of its own: give each machine a \
         [[access.machine]] with `gpus`"
    )]
    NoGpus { slot: u32, board: Pubkey },
    #[error("GPU \"{gpu}\" is given to slot {first} and slot {second}: two tenants can't share it")]
    SharedGpu { gpu: String, first: u32, second: u32 },
    #[error(
        "`{0}` in [access] is no absolute path of letters, digits and / . _ -: hooks mount the folders in it"
    )]
    State(PathBuf),
    #[error(
        "`{0}` in [access] is longer than {MAX_STATE} bytes: paths of Unix sockets in it would be too long"
    )]
    LongState(PathBuf),
}

fn of_slot(slot: u32) -> String {
    format!(" in [access] or in the [[access.machine]] of slot {slot}")
}

fn of_board(board: Option<&Pubkey>) -> String {
    board.map_or_else(String::new, |board| format!(" of board {board}"))
}

/// How tenants are kept from each other and from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A virtual machine for each tenant.
    Vm,
    /// A container, which shares the host's kernel.
    Container,
    /// A whole host, other than the node's.
    Metal,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Profile::Vm => "vm",
            Profile::Container => "container",
            Profile::Metal => "metal",
        })
    }
}

/// The section `[access]`.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// `None`: hooks of the supplier's own.
    pub profile: Option<Profile>,
    /// Programs that prepare a machine and wipe it.
    pub begin: PathBuf,
    pub end: PathBuf,
    /// Folder of what the node remembers of tenancies; survives the host's restarts.
    pub state: PathBuf,
    /// Time limit of a hook.
    pub hook_limit: Duration,
    /// Program that `sshd` runs for each offered key.
    pub key_command: PathBuf,
    /// By board and slot. A machine that is not here has no settings of its own.
    pub machines: HashMap<(Pubkey, u32), MachineSettings>,
    /// For machines that name none.
    pub host: Option<String>,
}

/// Settings of one machine, for its hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineSettings {
    /// GPUs, as the profile names them.
    pub gpus: Vec<String>,
    /// Address of the `sshd` in its virtual machine.
    pub address: Option<SocketAddr>,
    /// The host that the tenant gets, if it is not this one.
    pub host: Option<String>,
}

impl AccessSettings {
    /// Settings of a machine.
    pub fn machine(&self, board: Pubkey, slot: u16) -> MachineSettings {
        let mut machine = self.machines.get(&(board, slot.into())).cloned().unwrap_or_default();
        machine.host = machine.host.or_else(|| self.host.clone());
        machine
    }
}

#[derive(Deserialize)]
struct File {
    access: Option<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    profile: Option<Profile>,
    profiles: Option<PathBuf>,
    begin: Option<PathBuf>,
    end: Option<PathBuf>,
    state: Option<PathBuf>,
    hook_secs: Option<NonZeroU32>,
    key_command: Option<PathBuf>,
    host: Option<String>,
    #[serde(default, rename = "machine")]
    machines: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    slot: u32,
    #[serde(default, deserialize_with = "board")]
    board: Option<Pubkey>,
    #[serde(default)]
    gpus: Vec<String>,
    address: Option<SocketAddr>,
    host: Option<String>,
}

fn board<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Pubkey>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|_| D::Error::custom(format!("`{text}` is not an address in base58")))
}

/// Reads the section; `None` if the file has none. Relative paths start at the file's folder. `has_chain`: whether the file
/// has a section `[chain]`.
///
/// # Errors
/// Any [`LoadError`].
pub fn load(path: &Path, serving: &Serving, has_chain: bool) -> Result<Option<AccessSettings>, LoadError> {
    let text = read(path)?;
    let file: File = toml::from_str(&text).map_err(|error| syntax(path, &error, &text))?;
    let Some(section) = file.access else { return Ok(None) };
    let folder = path.parent().unwrap_or(Path::new(""));
    let settings = resolve(section, folder, serving, has_chain);
    settings.map(Some).map_err(|source| LoadError::Section { path: path.to_owned(), source })
}

fn resolve(
    section: Section,
    folder: &Path,
    serving: &Serving,
    has_chain: bool,
) -> Result<AccessSettings, AccessError> {
    if !has_chain {
        return Err(AccessError::NoChain);
    }
    let (begin, end) = hooks(&section, folder)?;
    let state = folder.join(section.state.unwrap_or_else(|| STATE.into()));
    let state = std::path::absolute(&state).unwrap_or(state);
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-".contains(char);
    if !state.to_str().is_some_and(|path| path.chars().all(is_plain)) {
        return Err(AccessError::State(state));
    }
    if state.as_os_str().len() > MAX_STATE {
        return Err(AccessError::LongState(state));
    }
    let settings = AccessSettings {
        profile: section.profile,
        begin,
        end,
        state,
        hook_limit: Duration::from_secs(section.hook_secs.unwrap_or(HOOK).get().into()),
        key_command: section.key_command.map_or_else(key_command, |path| folder.join(path)),
        machines: machines(section.machines, serving)?,
        host: section.host,
    };
    check_gpus(&settings, serving)?;
    check_hosts(&settings, serving)?;
    Ok(settings)
}

fn hooks(section: &Section, folder: &Path) -> Result<(PathBuf, PathBuf), AccessError> {
    let (begin, end) = match (section.profile, &section.begin, &section.end) {
        (Some(profile), None, None) => {
            let profiles = section.profiles.clone().unwrap_or_else(|| PROFILES.into());
            let profile = folder.join(profiles).join(profile.to_string());
            (profile.join("begin"), profile.join("end"))
        }
        (None, Some(begin), Some(end)) => (folder.join(begin), folder.join(end)),
        (Some(_), _, _) => return Err(AccessError::TwoHooks),
        (None, _, _) => return Err(AccessError::NoHooks),
    };
    let fields = if section.profile.is_some() { ["profile"; 2] } else { ["begin", "end"] };
    for (field, path) in fields.into_iter().zip([&begin, &end]) {
        let is_executable =
            path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        if !is_executable {
            return Err(AccessError::NotExecutable { field, path: path.clone() });
        }
    }
    Ok((begin, end))
}

/// The program beside this one.
fn key_command() -> PathBuf {
    let beside = std::env::current_exe().unwrap_or_default();
    beside.with_file_name("leasehold-authorized-keys")
}

fn machines(
    entries: Vec<Entry>,
    serving: &Serving,
) -> Result<HashMap<(Pubkey, u32), MachineSettings>, AccessError> {
    let mut machines = HashMap::new();
    for Entry { slot, board, gpus, address, host } in entries {
        let boards: Vec<_> = serving
            .machines
            .iter()
            .filter(|machine| machine.slot == slot && board.is_none_or(|board| board == machine.board))
            .map(|machine| machine.board)
            .collect();
        let found = match &boards[..] {
            [] => return Err(AccessError::NoMachine { slot, board }),
            [found] => *found,
            _ => return Err(AccessError::NoBoard { slot }),
        };
        if machines.insert((found, slot), MachineSettings { gpus, address, host }).is_some() {
            return Err(AccessError::Twice { slot, board: found });
        }
    }
    Ok(machines)
}

/// No GPU is two tenants'. Machines of the profile `metal` have a host each.
fn check_gpus(settings: &AccessSettings, serving: &Serving) -> Result<(), AccessError> {
    if settings.profile == Some(Profile::Metal) {
        return Ok(());
    }
    let mut owners = HashMap::new();
    for machine in &serving.machines {
        let (board, slot) = (machine.board, machine.slot);
        let own = settings.machines.get(&(board, slot));
        let gpus = own.map_or(&[][..], |own| &own.gpus);
        if gpus.is_empty() && serving.machines.len() > 1 {
            return Err(AccessError::NoGpus { slot, board });
        }
        for gpu in gpus.iter().collect::<HashSet<_>>() {
            if let Some(first) = owners.insert((own.and_then(|own| own.host.clone()), gpu.clone()), slot) {
                return Err(AccessError::SharedGpu { gpu: gpu.clone(), first, second: slot });
            }
        }
    }
    Ok(())
}

/// With the profile `metal` no machine is on the node's host.
fn check_hosts(settings: &AccessSettings, serving: &Serving) -> Result<(), AccessError> {
    if settings.profile != Some(Profile::Metal) {
        return Ok(());
    }
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for machine in &serving.machines {
        let named = settings.machines.get(&(machine.board, machine.slot)).and_then(|own| own.host.clone());
        let host = named.or_else(|| settings.host.clone()).unwrap_or_default();
        let ip = host.parse::<std::net::IpAddr>();
        let is_here = ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
            || ["", "localhost", own.trim()].contains(&host.as_str());
        if is_here {
            return Err(AccessError::SameHost { slot: machine.slot });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::sample::machine;
    use crate::machines::Machine;

    const BOARD: Pubkey = Pubkey::new_from_array([0xb0; 32]);

    /// Loads a section beside two programs, `begin` and `end`, and a file `notes` that is none.
    fn loaded(text: &str, slots: &[u32], has_chain: bool) -> Result<AccessSettings, String> {
        let folder = tempfile::tempdir().unwrap();
        for profile in ["vm", "container", "metal", "."] {
            std::fs::create_dir_all(folder.path().join("profiles").join(profile)).unwrap();
            for (name, mode) in [("begin", 0o755), ("end", 0o755), ("notes", 0o644)] {
                let at = if profile == "." {
                    folder.path().to_owned()
                } else {
                    folder.path().join("profiles").join(profile)
                };
                std::fs::write(at.join(name), "#!/bin/sh\n").unwrap();
                std::fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        let path = folder.path().join("node.toml");
        let state = if text.contains("state = ") { "" } else { "state = \"/var/lib/t\"\n" };
        std::fs::write(&path, format!("[access]\n{state}profiles = \"profiles\"\n{text}")).unwrap();
        let machines = slots.iter().map(|slot| Machine { slot: *slot, ..machine() }).collect();
        let serving = Serving { machines, keepers: None };
        load(&path, &serving, has_chain).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_or_hooks_of_ones_own_are_found() {
        let settings = loaded("profile = \"vm\"", &[3], true).unwrap();
        assert!(settings.begin.ends_with("profiles/vm/begin") && settings.end.ends_with("profiles/vm/end"));
        assert_eq!((settings.state, settings.hook_limit.as_secs()), ("/var/lib/t".into(), 1_800));
        let own = loaded("begin = \"begin\"\nend = \"end\"\nhook_secs = 9", &[3], true).unwrap();
        assert!(own.begin.ends_with("begin") && own.hook_limit.as_secs() == 9 && own.profile.is_none());
    }

    #[test]
    fn machines_have_gpus_and_addresses_of_their_own() {
        let settings = loaded(
            "profile = \"vm\"\n[[access.machine]]\nslot = 3\ngpus = [\"0\", \"1\"]\naddress = \"10.0.0.2:22\"\n\
             [[access.machine]]\nslot = 4\ngpus = [\"2\"]\n",
            &[3, 4],
            true,
        )
        .unwrap();
        let first = settings.machine(BOARD, 3);
        assert_eq!(
            (first.gpus.join(","), first.address),
            ("0,1".into(), Some("10.0.0.2:22".parse().unwrap()))
        );
        assert_eq!(settings.machine(BOARD, 9), MachineSettings::default());
    }

    #[test]
    fn metal_needs_another_host() {
        for host in ["", "host = \"localhost\"\n", "host = \"127.0.0.1\"\n", "host = \"::1\"\n"] {
            let error = loaded(&format!("profile = \"metal\"\n{host}"), &[3], true).unwrap_err();
            assert!(
                error.contains("run the node on another host and name the tenant's with `host`"),
                "{error}"
            );
        }
        let settings = loaded("profile = \"metal\"\nhost = \"10.1.0.7\"\n", &[3], true).unwrap();
        assert_eq!(settings.machine(BOARD, 3).host.as_deref(), Some("10.1.0.7"));
        let two = "profile = \"metal\"\n[[access.machine]]\nslot = 3\nhost = \"gpu-7\"\n";
        assert!(loaded(two, &[3, 4], true).unwrap_err().contains("slot 4"));
    }

    #[test]
    fn every_mistake_is_named() {
        let refusal = |text: &str, slots: &[u32]| loaded(text, slots, true).unwrap_err();
        assert!(loaded("profile = \"vm\"", &[3], false).unwrap_err().contains("[access] needs [chain]"));
        assert!(refusal("", &[3]).contains("either `profile`"));
        assert!(refusal("begin = \"begin\"", &[3]).contains("both `begin` and `end`"));
        assert!(refusal("profile = \"vm\"\nend = \"end\"", &[3]).contains("remove one of them"));
        assert!(refusal("profile = \"jail\"", &[3]).contains("unknown variant `jail`, expected one of `vm`"));
        let notes = refusal("begin = \"notes\"\nend = \"end\"", &[3]);
        assert!(notes.contains("notes is not an executable file") && notes.contains("`begin`"), "{notes}");
        assert!(refusal("profile = \"vm\"\nsauce = 1", &[3]).contains("unknown field `sauce`"));
        assert!(refusal("profile = \"vm\"\nhook_secs = 0", &[3]).contains("hook_secs"));
        let state = loaded("profile = \"vm\"", &[3], true).map(drop);
        assert_eq!(state, Ok(()));
        let long = |len: usize| format!("profile = \"vm\"\nstate = \"/{}\"", "s".repeat(len - 1));
        assert_eq!(loaded(&long(MAX_STATE), &[3], true).map(drop), Ok(()));
        assert!(refusal(&long(MAX_STATE + 1), &[3]).contains("longer than 36 bytes"));
        let machine = |text: &str, slots: &[u32]| refusal(&format!("profile = \"vm\"\n{text}"), slots);
        assert!(machine("[[access.machine]]\nslot = 9", &[3]).contains("slot 9, which is no [[machine]]"));
        let twice = "[[access.machine]]\nslot = 3\n[[access.machine]]\nslot = 3";
        assert!(machine(twice, &[3]).contains("has two [[access.machine]]"));
        assert!(machine("[[access.machine]]\nslot = 3\ngpus = [\"0\"]", &[3, 4]).contains("slot 4 of board"));
        let shared =
            "[[access.machine]]\nslot = 3\ngpus = [\"0\"]\n[[access.machine]]\nslot = 4\ngpus = [\"0\"]";
        assert!(machine(shared, &[3, 4]).contains("GPU \"0\" is given to slot 3 and slot 4"));
        assert!(machine("[[access.machine]]\nslot = 3\naddress = \"vm\"", &[3]).contains("socket address"));
    }
}
