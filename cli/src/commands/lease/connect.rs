//! `leasehold lease connect`.

mod ansible;
mod host;
mod inventory;
mod login;
mod ray;
mod ssh;

use clap::{Args, ValueEnum};
use leasehold::state::LeaseState;
use solana_pubkey::Pubkey;

use self::{
    inventory::Inventory,
    login::{Identity, Login, User},
};
use super::{
    group::{Group, load_group},
    leased::Leased,
    selection::{LeaseArgs, LeaseId},
};
use crate::live::span;
use leasehold_operate::{
    chain::{Chain, MarketId},
    failure::Failure,
    flags::parse_address,
    format::Format,
    output::write,
    progress::with_spinner,
    text::print_stderr,
    time::{rfc3339, start_of},
};

#[derive(Args)]
pub struct ConnectArgs {
    /// The lease: its address; or, with --market, its board's number and its own, for example 0:12.
    #[arg(value_name = "LEASE", required_unless_present = "group", conflicts_with = "group")]
    pub id: Option<LeaseId>,
    /// The market, by number or by address; needed for a lease named by numbers, and for a group.
    #[arg(long, env = "LEASEHOLD_MARKET", value_name = "NUMBER|ADDRESS")]
    pub market: Option<MarketId>,
    /// All open leases of a wallet in this group, on every board of the market.
    #[arg(long, value_name = "NUMBER", requires = "market")]
    pub group: Option<u64>,
    /// Wallet that owns the group's leases [default: the keypair's]
    #[arg(long, value_name = "WALLET", conflicts_with = "id")]
    #[arg(value_parser = parse_address)]
    pub owner: Option<Pubkey>,
    /// Include leases of the group that this wallet opened and then transferred to the owner.
    #[arg(long, value_name = "WALLET", requires = "group", conflicts_with = "id")]
    #[arg(value_parser = parse_address)]
    pub buyer: Option<Pubkey>,
    /// Keep machines with private or loopback addresses, for test networks; by default they are left out.
    #[arg(long)]
    pub allow_private: bool,
    /// Format of the inventory [default: a table, or JSON with --output json]
    #[arg(long, value_name = "FORM")]
    pub format: Option<Form>,
    /// User name to log in with; Ray's file needs it.
    #[arg(long, value_name = "NAME")]
    pub user: Option<User>,
    /// Port of the machines' SSH servers; it is not on the chain.
    #[arg(long, value_name = "PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Private key file to log in with.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<Identity>,
}

/// Format of an inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// An array of machines, as --output json.
    Json,
    /// Ansible's inventory in YAML, for a file whose name ends in .yml: a group for each lease.
    Ansible,
    /// Ray's cluster file, with the provider `local`.
    Ray,
    /// A part of ssh's configuration.
    Ssh,
}

pub async fn run(chain: &Chain, args: ConnectArgs) -> Result<(), Failure> {
    let output = printed(chain.settings.output, args.format)?;
    let login = Login { user: args.user, port: args.port, identity: args.identity };
    let leases = match (args.id, args.group, args.market) {
        (Some(id), ..) => vec![LeaseArgs { id, market: args.market }.load(chain).await?],
        (None, Some(number), Some(market)) => {
            let group = Group { number, owner: chain.wallet_or(args.owner)?, buyer: args.buyer };
            with_spinner("Reading leases", load_group(chain, market, group)).await?
        }
        // The definition of the arguments excludes this.
        (None, ..) => return Err(Failure::Input("give a lease, or --group and --market".to_owned())),
    };
    let now = chain.fetch().now().await?;
    let (mut inventory, mut notes) = Inventory::new(args.group, &leases, now)?;
    if !args.allow_private {
        notes.extend(inventory.leave_out_private()?);
    }
    for note in notes.iter().chain(&inventory.warnings()) {
        print_stderr(format!("leasehold: {note}"));
    }
    match output {
        Printed::As(format) => format.print(&inventory),
        Printed::Text(form) => write(text(&inventory, form, &login)?.as_bytes()),
    }
}

/// Output of the command: the inventory itself, or a file made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Printed {
    As(Format),
    Text(Form),
}

fn printed(output: Format, form: Option<Form>) -> Result<Printed, Failure> {
    match (output, form) {
        (Format::Display, Some(Form::Json)) => Ok(Printed::As(Format::Json)),
        (output, None | Some(Form::Json)) => Ok(Printed::As(output)),
        (Format::Display, Some(form)) => Ok(Printed::Text(form)),
        _ => Err(Failure::Input("--output json needs --format json: leave one out".to_owned())),
    }
}

fn text(inventory: &Inventory, form: Form, login: &Login) -> Result<String, Failure> {
    Ok(match form {
        Form::Ansible => ansible::inventory(inventory, login),
        Form::Ray => ray::cluster(inventory, login)?,
        Form::Ssh => ssh::config(inventory, login),
        Form::Json => Format::Json.render(inventory),
    })
}

/// Refuses a lease that has ended. Returns a note on one that does not run yet or ends soon.
fn require_running(leased: &Leased, now: i64) -> Result<Option<String>, Failure> {
    let Leased { lease, .. } = leased;
    let time = |round| start_of(&lease.terms, round);
    let (start, end) = (time(lease.from), time(lease.until));
    let refused = |why: String| Err(Failure::Refused(format!("{} {why}", leased.name())));
    match lease.state {
        LeaseState::Settled => refused("is settled: its machines no longer serve it".to_owned()),
        _ if now >= end => refused(format!("ended at {}: its machines no longer serve it", rfc3339(end))),
        LeaseState::Cancelled => Ok(Some(format!(
            "{} is cancelled: its machines serve it until {} at the latest",
            leased.name(),
            rfc3339(end)
        ))),
        LeaseState::Open if now < start => {
            let secs = u64::try_from(start.saturating_sub(now)).unwrap_or(0);
            let (name, start) = (leased.name(), rfc3339(start));
            Ok(Some(format!(
                "{name} begins at {start}, in {}: its machines serve it from then on",
                span(secs)
            )))
        }
        LeaseState::Open => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_however_it_is_asked_for() {
        assert_eq!(printed(Format::Display, Some(Form::Json)).unwrap(), Printed::As(Format::Json));
        assert_eq!(printed(Format::Json, None).unwrap(), Printed::As(Format::Json));
        assert_eq!(printed(Format::JsonCompact, Some(Form::Json)).unwrap(), Printed::As(Format::JsonCompact));
        assert_eq!(printed(Format::Display, None).unwrap(), Printed::As(Format::Display));
        assert_eq!(printed(Format::Display, Some(Form::Ssh)).unwrap(), Printed::Text(Form::Ssh));
        assert_eq!(printed(Format::Json, Some(Form::Ssh)).unwrap_err().code(), 2);
    }
}
