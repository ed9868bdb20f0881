//! What is needed to log in to the machines of leases: their keys from the chain, the tenant's key, and a configuration of
//! ssh with both, which is written anew for each command.
//!
//! | file in `ssh/LEASE` of the command line's folder | content |
//! |---|---|
//! | `config` | a section for each machine |
//! | `known_hosts` | the machines' keys, each trusted under the alias of this lease and access epoch |

mod config;
mod program;
pub mod quote;
mod user;

use std::path::{Path, PathBuf, absolute};

use leasehold_client::access::display;
use leasehold_operate::{chain::Chain, failure::Failure, text::print_stderr};

pub use self::{
    config::{config, served, through},
    program::{program, unstartable},
    user::{LoginArgs, User},
};
use super::{
    inventory::{Host, Inventory, require_begun},
    keys::{self, Home, Public},
    leased::Leased,
};
use crate::ports;

/// Machines that can be logged in to.
#[derive(Debug)]
pub struct Session {
    pub inventory: Inventory,
    folder: PathBuf,
}

impl Session {
    /// Machines of leases that run and let somebody in, whose key is known.
    pub async fn open(
        chain: &Chain,
        leases: &[Leased],
        group: Option<u64>,
        login: &LoginArgs,
    ) -> Result<Self, Failure> {
        let now = chain.fetch().now().await?;
        // Private addresses are not left out: a machine there would need the key that the chain names.
        let (mut inventory, notes) = Inventory::new(group, leases, now)?;
        for note in notes {
            print_stderr(format!("leasehold: {note}"));
        }
        for leased in inventory.among(leases) {
            require_begun(leased, now)?;
            let Some(access) = leased.lease.access else { return Err(nobody(leased)) };
            let home = login.home.folder()?;
            let found = identity(&home, login, leased)?;
            let file = found.ok_or_else(|| unknown_key(leased, &access, &home))?;
            inventory.log_in(leased, login, &file)?;
        }
        Self::write(inventory, login)
    }

    /// Like [`Self::open`] for an inventory: whatever is not known is left out.
    pub fn of(mut inventory: Inventory, leases: &[Leased], login: &LoginArgs) -> Result<Self, Failure> {
        let home = login.home.folder()?;
        for leased in inventory.among(leases) {
            inventory.user(leased, &login.user);
            if let Some(file) = identity(&home, login, leased)? {
                inventory.log_in(leased, login, &file)?;
            } else if leased.lease.access.is_some() {
                print_stderr(format!(
                    "leasehold: the key that {} names is not on this computer: pass --identity",
                    leased.name()
                ));
            } else {
                print_stderr(format!("leasehold: {}", nobody(leased)));
            }
        }
        Self::write(inventory, login)
    }

    fn write(inventory: Inventory, login: &LoginArgs) -> Result<Self, Failure> {
        let home = login.home.folder()?;
        let folder = home.ssh(&inventory.folder_name());
        let session = Session { inventory, folder };
        keys::create_folder(&session.folder)?;
        let (known_hosts, config) = (session.known_hosts(), session.config());
        keys::replace(&known_hosts, config::known_hosts(&session.inventory).as_bytes())?;
        keys::replace(&config, config::full(&session.inventory, &known_hosts, &config)?.as_bytes())?;
        Ok(session)
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// A file beside the configuration.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The machine in that slot, or the only one.
    pub fn one(&self, slot: Option<u16>) -> Result<&Host, Failure> {
        let hosts = &self.inventory.hosts;
        match (slot, &hosts[..]) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Failure::Input(format!(
                "the lease has {}: name a slot of these: {}",
                leasehold_operate::table::count(hosts.len(), "machine"),
                self.slots()
            ))),
            (Some(slot), _) => hosts.iter().find(|host| host.slot == slot).ok_or_else(|| {
                Failure::Input(format!(
                    "no machine of the lease is in slot {slot}: it has slots {}",
                    self.slots()
                ))
            }),
        }
    }

    /// The machines in these slots, or all.
    pub fn some(&self, slots: &[u16]) -> Result<Vec<&Host>, Failure> {
        if let Some(missing) =
            slots.iter().find(|slot| self.inventory.hosts.iter().all(|host| host.slot != **slot))
        {
            let slots = self.slots();
            return Err(Failure::Input(format!(
                "no machine of the lease is in slot {missing}: it has slots {slots}"
            )));
        }
        let wanted = |host: &&Host| slots.is_empty() || slots.contains(&host.slot);
        Ok(self.inventory.hosts.iter().filter(wanted).collect())
    }

    fn slots(&self) -> String {
        let slots: Vec<_> = self.inventory.hosts.iter().map(|host| host.slot).collect();
        leasehold_operate::table::joined(&slots)
    }
}

/// Refuses a machine at whose port nobody answers, before ssh says it in its own words.
pub async fn require_answer(host: &Host) -> Result<(), Failure> {
    if ports::answers(host.endpoint()).await {
        return Ok(());
    }
    let Host { board, serial, slot, .. } = host;
    let down = if host.is_down() { ", and keepers saw it down in the last closed round" } else { "" };
    Err(Failure::Refused(format!(
        "the machine in slot {slot} accepts no connection at {}{down}: try again in a minute if the lease has just begun, or \
         take another by `leasehold lease replace {board}:{serial} {slot}`",
        host.endpoint()
    )))
}

/// File to log in with.
fn identity(home: &Home, login: &LoginArgs, leased: &Leased) -> Result<Option<PathBuf>, Failure> {
    match (&login.identity, leased.lease.access) {
        (Some(file), _) if !file.is_file() => Err(Failure::Input(format!(
            "{} does not exist: name the private key with --identity",
            file.display()
        ))),
        (Some(file), _) => {
            absolute(file).map(Some).map_err(|error| Failure::File { path: file.clone(), error })
        }
        (None, Some(access)) => Ok(keys::find(home, &leased.address, &access)),
        (None, None) => Ok(None),
    }
}

fn nobody(leased: &Leased) -> Failure {
    let (name, board, serial) = (leased.name(), leased.board.index, leased.lease.serial);
    Failure::Refused(format!(
        "{name} names no key, so its machines let nobody in: let a new key in by `leasehold lease access {board}:{serial}`"
    ))
}

fn unknown_key(leased: &Leased, access: &[u8; 32], home: &Home) -> Failure {
    let (name, board, serial) = (leased.name(), leased.board.index, leased.lease.serial);
    Failure::Input(format!(
        "the key that {name} names ({}) is neither in {} nor in ~/.ssh: pass --identity FILE, or let a new key in by \
         `leasehold lease access {board}:{serial}`, which cuts all sessions",
        display(access),
        home.keys().display()
    ))
}

impl Inventory {
    /// The leases that have machines in it.
    fn among<'a>(&self, leases: &'a [Leased]) -> Vec<&'a Leased> {
        let has = |lease: String| self.hosts.iter().any(|host| host.lease == lease);
        leases.iter().filter(|leased| has(leased.address.to_string())).collect()
    }

    fn user(&mut self, leased: &Leased, user: &User) {
        let lease = leased.address.to_string();
        for host in self.hosts.iter_mut().filter(|host| host.lease == lease) {
            host.user.clone_from(&user.0);
        }
    }

    fn log_in(&mut self, leased: &Leased, login: &LoginArgs, file: &Path) -> Result<(), Failure> {
        self.user(leased, &login.user);
        let (lease, authorized) = (leased.address.to_string(), keys::public_half(file));
        let file = quote::plain(file)?;
        for host in self.hosts.iter_mut().filter(|host| host.lease == lease) {
            host.identity_file = Some(file.to_owned());
            host.authorized = authorized.as_ref().map(|Public { line, .. }| line.clone());
        }
        Ok(())
    }

    /// Name of the folder of its files.
    fn folder_name(&self) -> String {
        let lease = self.hosts.first().map(|host| host.lease.as_str()).unwrap_or_default();
        match self.group {
            Some(group) => format!("group-{group}-{lease}"),
            None => lease.to_owned(),
        }
    }
}

#[cfg(test)]
pub mod tests;
