//! `leasehold lease connect`.

mod ansible;
mod dstack;
mod ray;
mod skypilot;

use clap::{Args, ValueEnum};
use solana_pubkey::Pubkey;

use super::{
    group::{Group, load_group},
    inventory::Inventory,
    selection::{LeaseArgs, LeaseId},
    session::{self, LoginArgs, Session},
};
use leasehold_operate::{
    chain::{Chain, MarketId},
    failure::Failure,
    flags::parse_address,
    format::Format,
    output::write,
    progress::with_spinner,
    text::print_stderr,
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
    /// Try to connect to each machine, and say whether its port answers.
    #[arg(long)]
    pub check_port: bool,
    #[command(flatten)]
    pub login: LoginArgs,
}

/// Format of an inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// An array of machines, as --output json.
    Json,
    /// Ansible's inventory in YAML, for a file whose name ends in .yml: a group for each lease.
    Ansible,
    /// Cluster file of Ray's launcher, with the provider `local`; `lease ray up` needs none.
    Ray,
    /// A part of ssh's configuration.
    Ssh,
    /// SSH node pools of SkyPilot, for ~/.sky/ssh_node_pools.yaml.
    Skypilot,
    /// An SSH fleet of dstack, for `dstack apply -f`, while `lease forward` runs beside the dstack server.
    Dstack,
}

pub async fn run(chain: &Chain, args: ConnectArgs) -> Result<(), Failure> {
    let output = printed(chain.settings.output, args.format)?;
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
    if args.check_port {
        with_spinner("Trying the machines' ports", inventory.try_ports()).await;
    }
    let session = Session::of(inventory, &leases, &args.login)?;
    match output {
        Printed::As(format) => format.print(&session.inventory),
        Printed::Text(form) => write(text(&session, form)?.as_bytes()),
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

fn text(session: &Session, form: Form) -> Result<String, Failure> {
    let inventory = &session.inventory;
    Ok(match form {
        Form::Ansible => ansible::inventory(session)?,
        Form::Ray => ray::cluster(session)?,
        Form::Ssh => session::config(inventory, &session.known_hosts())?,
        Form::Skypilot => skypilot::pool(session)?,
        Form::Dstack => dstack::fleet(inventory)?,
        Form::Json => Format::Json.render(inventory),
    })
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
