//! `leasehold machine detect`.

use std::{fmt, io, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use clap::{Args, ValueHint};
use serde::Serialize;
use solana_pubkey::Pubkey;
use tokio::{process::Command, time::timeout};

use super::{
    class,
    file::Entry,
    gpus::{self, Gpu},
    key::KeyArgs,
    rows::Sections,
};
use leasehold_client::search::Country;
use leasehold_operate::{
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    text::print_stderr,
};

/// How long nvidia-smi may take. Without its daemon it first wakes every GPU, for seconds each.
const PATIENCE: Duration = Duration::from_secs(60);

/// A damaged inforom, of which nvidia-smi warns with this exit code after it has answered.
const DAMAGED_INFOROM: i32 = 14;

#[derive(Args)]
pub struct DetectArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    #[command(flatten)]
    pub key: KeyArgs,
    /// Speed of its connection, as the market ranks it.
    #[arg(long, value_name = "RANK")]
    pub speed: u8,
    /// Country it stands in: DE, DEU or 276.
    #[arg(long)]
    pub country: Country,
    /// Region it stands in, as the market numbers it.
    #[arg(long, value_name = "NUMBER")]
    pub region: u8,
    /// Address and UDP port at which it answers keepers: 203.0.113.7:7000.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = super::endpoint::parse)]
    pub endpoint: SocketAddr,
    /// Price per GPU and hour, in the market's payment mint.
    #[arg(long, value_name = "AMOUNT")]
    pub price: String,
    /// Allow metered leases too.
    #[arg(long)]
    pub metered: bool,
    /// Use only the GPUs of this class, by the market's name or number.
    #[arg(long, value_name = "NAME|NUMBER")]
    pub class: Option<String>,
    /// The program nvidia-smi, of NVIDIA's driver.
    #[arg(long, env = "LEASEHOLD_NVIDIA_SMI", value_name = "FILE", default_value = "nvidia-smi")]
    #[arg(value_hint = ValueHint::ExecutablePath)]
    pub nvidia_smi: PathBuf,
}

/// A machine that is ready to be listed, and the GPUs that it was made of.
#[derive(Debug, Serialize)]
struct Detected {
    #[serde(flatten)]
    file: Sections<Entry>,
    gpus: Vec<Gpu>,
}

pub async fn run(chain: &Chain, args: DetectArgs) -> Result<(), Failure> {
    let key = args.key.read()?;
    let gpus = gpus::parse(&ask(&args.nvidia_smi).await?)?;
    let market = chain.market(args.market.id.0).await?;
    chain.settings.output.print(&Detected::new(&args, key, &gpus, &market)?)
}

/// Answer of nvidia-smi.
async fn ask(program: &PathBuf) -> Result<String, Failure> {
    print_stderr(format!("Asking {} for GPUs", program.display()));
    let wrong = |what: String| Failure::Input(format!("{} {what}", program.display()));
    let mut command = Command::new(program);
    let answer = command.args(gpus::QUERY).stdin(Stdio::null()).kill_on_drop(true).output();
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.map_err(|_| wrong("does not answer: check for a GPU that hangs".to_owned()))?;
    let answer = answer.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => wrong(
            "not found: install NVIDIA's driver, name the program with --nvidia-smi, or write the file by \
             hand as `leasehold machine list --help` shows it"
                .to_owned(),
        ),
        _ => wrong(format!("can't be started: {error}")),
    })?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    if answer.status.success() || answer.status.code() == Some(DAMAGED_INFOROM) {
        return Ok(text);
    }
    // It tells of some mistakes on one stream, and of some on the other.
    let told = text + &String::from_utf8_lossy(&answer.stderr);
    let told = told.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing");
    let told: String = told.chars().filter(|character| !character.is_control()).collect();
    Err(wrong(format!("failed ({}) and said {told:?}: repair NVIDIA's driver", answer.status)))
}

impl Detected {
    fn new(args: &DetectArgs, key: [u8; 32], gpus: &[Gpu], market: &MarketView) -> Result<Self, Failure> {
        let (class, gpus) = class::choose(gpus, market, args.class.as_deref())?;
        let count = u8::try_from(gpus.len());
        let count = count.map_err(|_| Failure::Input("a machine has 255 GPUs at most".to_owned()))?;
        let entry = Entry {
            node_key: Pubkey::new_from_array(key).to_string(),
            class: market.class_name(class),
            gpus: count,
            speed: args.speed,
            country: args.country.to_string(),
            region: args.region,
            metered: args.metered,
            endpoint: args.endpoint,
            price: args.price.clone(),
            bond: None,
            profile: None,
            turnaround: None,
        };
        // What `machine list` would refuse is refused now.
        entry.machine(market)?;
        Ok(Detected { file: Sections { machines: vec![entry] }, gpus })
    }
}

impl fmt::Display for Detected {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for gpu in &self.gpus {
            writeln!(f, "# {gpu}")?;
        }
        let text = toml::to_string(&self.file).map_err(|_| fmt::Error)?;
        f.write_str(text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            class::tests::market,
            file,
            rows::{FileFormat, parse},
        },
        *,
    };
    use leasehold_operate::chain::MarketId;

    fn args() -> DetectArgs {
        DetectArgs {
            market: MarketArgs { id: MarketId(Pubkey::default()) },
            key: KeyArgs { node_key: None, node_key_file: None },
            speed: 3,
            country: "DE".parse().unwrap(),
            region: 1,
            endpoint: "[2001:db8::1]:7000".parse().unwrap(),
            price: "0.70".to_owned(),
            metered: true,
            class: None,
            nvidia_smi: PathBuf::from("nvidia-smi"),
        }
    }

    fn gpus() -> Vec<Gpu> {
        let line = "NVIDIA GeForce RTX 4090, GPU-1b724e78-eef5-4163-d43c-e4da15d41176, 24564 MiB, [N/A]\n";
        gpus::parse(&line.repeat(2)).unwrap()
    }

    #[test]
    fn what_is_printed_can_be_listed() {
        let market = market(&["RTX 4090"]);
        let detected = Detected::new(&args(), [4; 32], &gpus(), &market).unwrap();
        let text = detected.to_string();
        assert!(text.starts_with("# NVIDIA GeForce RTX 4090, 24564 MiB, GPU-1b724e78"), "{text}");
        let machines = file::machines(&parse(&text, FileFormat::Toml).unwrap(), &market).unwrap();
        let [machine] = machines[..] else { panic!("{text}") };
        assert_eq!((machine.node_key, machine.price), ([4; 32], 700_000));
        let traits = machine.traits;
        assert_eq!((traits.class, traits.gpus, traits.speed, traits.country), (0, 2, 3, 276));
        assert_eq!((traits.region, traits.flags), (1, leasehold::state::Traits::METERED));
        let json = serde_json::to_value(&detected).unwrap();
        assert_eq!((&json["machine"][0]["gpus"], &json["machine"][0]["price"]), (&2.into(), &"0.70".into()));
        assert_eq!(json["gpus"][1]["memory_mib"], 24_564);
    }

    #[test]
    fn what_could_not_be_listed_is_refused() {
        let market = market(&["RTX 4090"]);
        let refused = |args: DetectArgs, gpus: &[Gpu]| {
            Detected::new(&args, [4; 32], gpus, &market).unwrap_err().to_string()
        };
        let free = refused(DetectArgs { price: "0".to_owned(), ..args() }, &gpus());
        assert!(free.contains("the price is zero"), "{free}");
        let nowhere = refused(DetectArgs { endpoint: "0.0.0.0:1".parse().unwrap(), ..args() }, &gpus());
        assert!(nowhere.contains("the endpoint is unroutable"), "{nowhere}");
        let many = refused(args(), &vec![gpus()[0].clone(); 256]);
        assert!(many.contains("255 GPUs at most"), "{many}");
    }
}
