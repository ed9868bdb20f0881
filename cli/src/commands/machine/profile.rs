//! `leasehold machine profile`: descriptions of machines, which nobody checks.

use std::{fmt, path::PathBuf};

use clap::{Args, Subcommand, ValueHint};
use leasehold::{
    error::LeaseholdError,
    state::{Interconnect, Profile, ProfileKind, Profiles},
};
use leasehold_client::{error::Refusal, instruction};
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    flags::parse_address,
    market::{MarketView, file::read_toml},
    plan::Plan,
    table::{Table, count},
};
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

use crate::commands::supplier::account;

/// Entries of one transaction.
const AT_ONCE: usize = 8;

#[derive(Subcommand)]
pub enum ProfileCommand {
    /// Appends profiles; they never change. Machines name them by number, in the field profile of `machine list`.
    ///
    /// The file is TOML, with a section for each profile. kind is vm, container or metal; interconnect is none, pcie, nvlink,
    /// nvswitch or infinity-fabric; the driver may be left out. VRAM is of one GPU, everything else of the whole machine.
    ///
    /// [[profile]]
    /// kind = "vm"
    /// interconnect = "nvswitch"
    /// vram_mb = 81559
    /// cores = 192
    /// memory_gb = 2048
    /// disk_gb = 15000
    /// driver = "570.86.15"
    #[command(verbatim_doc_comment)]
    Add(AddArgs),
    /// Profiles of a supplier.
    List(ListArgs),
}

#[derive(Args)]
pub struct AddArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// The profiles, in TOML.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Wallet of the supplier [default: the keypair's]
    #[arg(long, value_name = "WALLET")]
    #[arg(value_parser = parse_address)]
    pub supplier: Option<Pubkey>,
}

/// A file of profiles.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "profile")]
    profiles: Vec<Entry>,
}

/// A profile in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub kind: String,
    pub interconnect: String,
    /// Memory of one GPU in MB (10^6 bytes).
    pub vram_mb: u32,
    /// CPU cores, memory and local disk in GB (10^9 bytes) of the whole machine.
    pub cores: u16,
    pub memory_gb: u32,
    pub disk_gb: u32,
    /// Version of the GPUs' driver; `None` if the tenant installs it.
    #[serde(default)]
    pub driver: Option<String>,
}

/// Profiles of a supplier, by number.
#[derive(Debug, Serialize)]
struct Listed {
    supplier: String,
    profiles: Vec<Numbered>,
}

/// A profile with the number by which machines name it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Numbered {
    number: usize,
    #[serde(flatten)]
    entry: Entry,
}

fn numbered(entries: &[Profile]) -> Vec<Numbered> {
    let entries = entries.iter().map(Entry::of).enumerate();
    entries.map(|(number, entry)| Numbered { number, entry }).collect()
}

const KINDS: [(&str, ProfileKind); 3] =
    [("vm", ProfileKind::Vm), ("container", ProfileKind::Container), ("metal", ProfileKind::Metal)];
const INTERCONNECTS: [(&str, Interconnect); 5] = [
    ("none", Interconnect::None),
    ("pcie", Interconnect::Pcie),
    ("nvlink", Interconnect::NvLink),
    ("nvswitch", Interconnect::NvSwitch),
    ("infinity-fabric", Interconnect::InfinityFabric),
];

pub async fn run(chain: &Chain, command: ProfileCommand) -> Result<(), Failure> {
    match command {
        ProfileCommand::Add(args) => {
            let file: File = read_toml(&args.file)?;
            let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
            account(chain, &market.reference.address, &wallet).await?;
            let there = chain.fetch().profiles(&market.reference.supplier(&wallet)).await?;
            act(chain, plan(&market, wallet, there.as_ref().map(|there| &there.account), &file.profiles)?)
                .await
        }
        ProfileCommand::List(args) => {
            let wallet = chain.wallet_or(args.supplier)?;
            let market = chain.market(args.market.id.0).await?;
            let there = chain.fetch().profiles(&market.reference.supplier(&wallet)).await?;
            let entries = there.map(|there| there.account.entries).unwrap_or_default();
            let profiles = numbered(&entries);
            chain.settings.output.print(&Listed { supplier: wallet.to_string(), profiles })
        }
    }
}

/// Appends profiles to those that are `there`; `None` if the supplier has no list yet.
fn plan(
    market: &MarketView,
    wallet: Pubkey,
    there: Option<&Profiles>,
    entries: &[Entry],
) -> Result<Plan, Failure> {
    let added = entries.iter().zip(1u32..).map(|(entry, place)| {
        entry.profile().map_err(|error| Failure::Input(format!("profile {place}: {error}")))
    });
    let added = added.collect::<Result<Vec<_>, _>>()?;
    let mut after = match there {
        Some(there) => there.clone(),
        None => Profiles { version: Profiles::VERSION, bump: 0, supplier: wallet, entries: Vec::new() },
    };
    let first = after.entries.len();
    after.append(&added).map_err(|error| {
        let refusal = Refusal::from(error);
        match refusal.error() {
            Some(LeaseholdError::ProfilesFull) => {
                Failure::rule(refusal, format!("there are {first}, and {} are to be added", added.len()))
            }
            _ => refusal.into(),
        }
    })?;
    let (reference, numbers) = (&market.reference, first..after.entries.len());
    let mut plan = Plan::new(format!("Add {}", count(added.len(), "profile")));
    for (number, entry) in numbers.clone().zip(entries) {
        let value = serde_json::json!({ "number": number, "profile": entry });
        plan = plan.item("Profile:", "profiles", format!("{number}: {entry}"), value);
    }
    let size = Profiles::len(after.entries.len());
    plan = match there {
        Some(_) => plan.grows(Profiles::len(first), size),
        None => plan.creates(size),
    };
    let parts = added.len().div_ceil(AT_ONCE);
    for (part, entries) in added.chunks(AT_ONCE).enumerate() {
        let mut instructions = vec![instruction::add_profiles(reference, wallet, entries.to_vec())];
        if part == 0 && there.is_none() {
            instructions.insert(0, instruction::create_profiles(reference, wallet));
        }
        let what = format!("add profiles, part {} of {parts}", part.saturating_add(1));
        // Their order gives them their numbers.
        plan = if part == 0 { plan.step(what, instructions) } else { plan.step_after(what, instructions) };
    }
    Ok(plan)
}

/// Number of a name.
fn number<T: Copy>(field: &str, name: &str, names: &[(&str, T)]) -> Result<T, String> {
    let found = names.iter().find(|(known, _)| *known == name);
    let known = || names.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
    found.map(|(_, number)| *number).ok_or_else(|| {
        format!("unknown {field} {}: give one of {}", leasehold_operate::text::quoted(name), known())
    })
}

impl Entry {
    fn profile(&self) -> Result<Profile, String> {
        let text = self.driver.as_deref().unwrap_or_default();
        let mut driver = [0; 16];
        let place =
            driver.get_mut(..text.len()).ok_or("the driver's version has more than 16 bytes: shorten it")?;
        place.copy_from_slice(text.as_bytes());
        let profile = Profile {
            kind: number("kind", &self.kind, &KINDS)? as u8,
            interconnect: number("interconnect", &self.interconnect, &INTERCONNECTS)? as u8,
            cores: self.cores,
            vram_mb: self.vram_mb,
            memory_gb: self.memory_gb,
            disk_gb: self.disk_gb,
            driver,
            reserved: [0; 32],
        };
        profile.validate().map_err(|error| Refusal::from(error).to_string())?;
        Ok(profile)
    }

    fn of(profile: &Profile) -> Self {
        let kind = KINDS.iter().find(|(_, kind)| *kind as u8 == profile.kind);
        let interconnect = INTERCONNECTS.iter().find(|(_, known)| *known as u8 == profile.interconnect);
        let named = |name: Option<&str>, number: u8| name.map_or_else(|| number.to_string(), str::to_owned);
        Entry {
            kind: named(kind.map(|(name, _)| *name), profile.kind),
            interconnect: named(interconnect.map(|(name, _)| *name), profile.interconnect),
            vram_mb: profile.vram_mb,
            cores: profile.cores,
            memory_gb: profile.memory_gb,
            disk_gb: profile.disk_gb,
            driver: profile.driver().filter(|driver| !driver.is_empty()).map(leasehold_operate::text::line),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Entry { kind, interconnect, vram_mb, cores, memory_gb, disk_gb, driver } = self;
        let driver = driver.as_ref().map(|driver| format!(", driver {driver}")).unwrap_or_default();
        write!(
            f,
            "{kind}, {vram_mb} MB per GPU, interconnect {interconnect}, {cores} cores, {memory_gb} GB memory, {disk_gb} GB \
             disk{driver}"
        )
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.profiles.is_empty() {
            return write!(f, "{} has no profiles on this market.", self.supplier);
        }
        let mut table = Table::new(&[
            ">NUMBER",
            "KIND",
            ">VRAM MB",
            "INTERCONNECT",
            ">CORES",
            ">MEMORY GB",
            ">DISK GB",
            "DRIVER",
        ]);
        for Numbered { number, entry } in &self.profiles {
            table.row(vec![
                number.to_string(),
                entry.kind.clone(),
                entry.vram_mb.to_string(),
                entry.interconnect.clone(),
                entry.cores.to_string(),
                entry.memory_gb.to_string(),
                entry.disk_gb.to_string(),
                entry.driver.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::sample::wallet;
    use leasehold_operate::sample::{rule, view};

    use super::*;

    fn entry() -> Entry {
        Entry {
            kind: "vm".to_owned(),
            interconnect: "nvswitch".to_owned(),
            vram_mb: 81_559,
            cores: 192,
            memory_gb: 2_048,
            disk_gb: 15_000,
            driver: Some("570.86.15".to_owned()),
        }
    }

    fn there(entries: usize) -> Profiles {
        let entries = vec![entry().profile().unwrap(); entries];
        Profiles { version: Profiles::VERSION, bump: 255, supplier: wallet(0), entries }
    }

    #[test]
    fn the_first_profiles_create_the_list_and_later_ones_go_on_counting() {
        let first = plan(&view(), wallet(0), None, &[entry(), entry()]).unwrap();
        let [step] = &first.steps[..] else { panic!("{first:?}") };
        let [create, add] = &step.instructions[..] else { panic!("{step:?}") };
        assert!(create.data.starts_with(data::CreateProfiles::DISCRIMINATOR));
        assert!(add.data.starts_with(data::AddProfiles::DISCRIMINATOR));
        assert_eq!((first.growths[0].from, first.growths[0].to), (None, Profiles::len(2)));
        let more = plan(&view(), wallet(0), Some(&there(2)), &vec![entry(); 20]).unwrap();
        assert_eq!(more.steps.iter().map(|step| step.builds).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(more.growths[0].from, Some(Profiles::len(2)));
        assert_eq!(more.details()["profiles"][0]["number"], 2);
        assert!(more.facts[0].text.starts_with("2: vm, 81559 MB per GPU, interconnect nvswitch"));
    }

    #[test]
    fn profiles_that_the_program_refuses_are_refused_with_their_place() {
        let refused = |entries: &[Entry]| plan(&view(), wallet(0), Some(&there(60)), entries).unwrap_err();
        assert_eq!(rule(refused(&[])), "NoProfiles");
        assert_eq!(rule(refused(&vec![entry(); 5])), "ProfilesFull");
        for (wrong, expected) in [
            (Entry { kind: "VM".to_owned(), ..entry() }, "profile 2: unknown kind \"VM\": give one of vm"),
            (Entry { interconnect: String::new(), ..entry() }, "profile 2: unknown interconnect \"\""),
            (Entry { cores: 0, ..entry() }, "profile 2: "),
            (Entry { driver: Some("a".repeat(17)), ..entry() }, "profile 2: the driver's version has more"),
        ] {
            let failure = refused(&[entry(), wrong]);
            assert!(failure.code() == 2 && failure.to_string().starts_with(expected), "{failure}");
        }
    }

    #[test]
    fn profiles_are_listed_by_number() {
        let profiles = numbered(&there(1).entries);
        let listed = Listed { supplier: "Me".to_owned(), profiles };
        let expected = "\
NUMBER  KIND  VRAM MB  INTERCONNECT  CORES  MEMORY GB  DISK GB  DRIVER
     0  vm      81559  nvswitch        192       2048    15000  570.86.15";
        assert_eq!(listed.to_string(), expected);
        assert_eq!(listed.profiles, [Numbered { number: 0, entry: entry() }]);
        let json = serde_json::to_value(&listed).unwrap();
        assert_eq!((&json["profiles"][0]["number"], &json["profiles"][0]["kind"]), (&0.into(), &"vm".into()));
        let none = Listed { supplier: "Me".to_owned(), profiles: vec![] };
        assert_eq!(none.to_string(), "Me has no profiles on this market.");
    }
}
