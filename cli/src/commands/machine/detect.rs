//! `leasehold machine detect`.

use std::{fmt, net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::{class, file::Entry, key::KeyArgs, rows::Sections};
use leasehold_client::{
    gpu::{self, Answer, Gpu, GpuError},
    search::Country,
};
use leasehold_operate::{
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    text::print_stderr,
};

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
    /// Address and UDP port at which it answers keepers: 203.0.113.7:7000. Several machines may share an address; each
    /// has a port.
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
    /// Leave out GPUs that don't work, instead of failing.
    #[arg(long)]
    pub skip_broken: bool,
}

/// Machines that are ready to be listed, and the GPUs that they were made of.
#[derive(Debug, Serialize)]
struct Detected {
    #[serde(flatten)]
    file: Sections<Entry>,
    gpus: Vec<Gpu>,
}

pub async fn run(chain: &Chain, args: DetectArgs) -> Result<(), Failure> {
    let keys = args.key.read()?;
    print_stderr(format!("Asking {} for GPUs", args.nvidia_smi.display()));
    let answer = gpu::ask(&args.nvidia_smi).await.map_err(|error| match error {
        GpuError::NotFound(_) => Failure::Input(format!(
            "{error}, name the program with --nvidia-smi, or write the file by hand as `leasehold machine list --help` \
             shows it"
        )),
        error => Failure::Input(error.to_string()),
    })?;
    let gpus = working(answer, args.skip_broken)?;
    let market = chain.market(args.market.id.0).await?;
    chain.settings.output.print(&Detected::new(&args, &keys, &gpus, &market)?)
}

/// The GPUs that work.
fn working(answer: Answer, skip_broken: bool) -> Result<Vec<Gpu>, Failure> {
    let Answer { gpus, broken, notes } = answer;
    for note in notes {
        print_stderr(format!("nvidia-smi says: {note}"));
    }
    match broken.first() {
        Some(first) if !skip_broken => Err(Failure::Input(format!(
            "a GPU here doesn't work: nvidia-smi says {first:?}; repair it (a reboot may help), or pass --skip-broken \
             to list {} without",
            if gpus.len() == 1 {
                "the other GPU".to_owned()
            } else {
                format!("the other {} GPUs", gpus.len())
            }
        ))),
        _ => {
            for line in broken {
                print_stderr(format!("WARNING: left out: {line}"));
            }
            Ok(gpus)
        }
    }
}

impl Detected {
    /// Splits the GPUs evenly into a machine for each key, with ports one after the other.
    fn new(args: &DetectArgs, keys: &[[u8; 32]], gpus: &[Gpu], market: &MarketView) -> Result<Self, Failure> {
        let (class, gpus) = class::choose(gpus, market, args.class.as_deref())?;
        let wrong = |what: String| Err(Failure::Input(what));
        let (count, of) = (gpus.len(), keys.len());
        let each = count.checked_div(of).filter(|each| *each > 0 && each.saturating_mul(of) == count);
        let Some(each) = each else {
            return wrong(format!("{count} GPUs can't be split evenly into {of} machines: give fewer keys"));
        };
        let Ok(each) = u8::try_from(each) else {
            return wrong(format!("a machine has 255 GPUs at most, not {each}: give more keys"));
        };
        let mut machines = Vec::with_capacity(of);
        for (offset, key) in (0..).zip(keys) {
            let mut endpoint = args.endpoint;
            let Some(port) = endpoint.port().checked_add(offset) else {
                return wrong(format!("{endpoint} has no {of} ports from its own on: give a lower one"));
            };
            endpoint.set_port(port);
            let entry = Entry {
                node_key: Pubkey::new_from_array(*key).to_string(),
                class: market.class_name(class),
                gpus: each,
                speed: args.speed,
                country: args.country.to_string(),
                region: args.region,
                metered: args.metered,
                endpoint,
                price: args.price.clone(),
                bond: None,
                profile: None,
                turnaround: None,
            };
            // What `machine list` would refuse is refused now.
            entry.machine(market)?;
            machines.push(entry);
        }
        Ok(Detected { file: Sections { machines }, gpus })
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
            key: KeyArgs { node_key: vec![], node_key_file: vec![] },
            speed: 3,
            country: "DE".parse().unwrap(),
            region: 1,
            endpoint: "[2001:db8::1]:7000".parse().unwrap(),
            price: "0.70".to_owned(),
            metered: true,
            class: None,
            nvidia_smi: PathBuf::from("nvidia-smi"),
            skip_broken: false,
        }
    }

    fn gpus() -> Vec<Gpu> {
        let line = |last| {
            format!(
                "NVIDIA GeForce RTX 4090, GPU-1b724e78-eef5-4163-d43c-e4da15d4117{last}, 24564 MiB, [N/A]\n"
            )
        };
        gpu::parse(&[line(6), line(7)].concat()).gpus
    }

    #[test]
    fn what_is_printed_can_be_listed() {
        let market = market(&["RTX 4090"]);
        let detected = Detected::new(&args(), &[[4; 32]], &gpus(), &market).unwrap();
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
            Detected::new(&args, &[[4; 32]], gpus, &market).unwrap_err().to_string()
        };
        let free = refused(DetectArgs { price: "0".to_owned(), ..args() }, &gpus());
        assert!(free.contains("the price is zero"), "{free}");
        let nowhere = refused(DetectArgs { endpoint: "0.0.0.0:1".parse().unwrap(), ..args() }, &gpus());
        assert!(nowhere.contains("the endpoint is unroutable"), "{nowhere}");
        let many = refused(args(), &vec![gpus()[0].clone(); 256]);
        assert!(many.contains("255 GPUs at most"), "{many}");
    }

    #[test]
    fn several_keys_make_several_machines_behind_one_address() {
        let market = market(&["RTX 4090"]);
        let args = DetectArgs { endpoint: "203.0.113.7:7000".parse().unwrap(), ..args() };
        let detected = Detected::new(&args, &[[4; 32], [5; 32]], &gpus(), &market).unwrap();
        let text = detected.to_string();
        let machines = file::machines(&parse(&text, FileFormat::Toml).unwrap(), &market).unwrap();
        assert_eq!(machines.iter().map(|machine| machine.node_key).collect::<Vec<_>>(), [[4; 32], [5; 32]]);
        assert!(machines.iter().all(|machine| machine.traits.gpus == 1));
        let ports: Vec<_> = machines.iter().map(|machine| machine.endpoint.port()).collect();
        assert_eq!(ports, [7_000, 7_001], "{text}");

        let uneven = Detected::new(&args, &[[4; 32], [5; 32], [6; 32]], &gpus(), &market).unwrap_err();
        assert!(uneven.to_string().contains("2 GPUs can't be split evenly into 3 machines"), "{uneven}");
        let last = DetectArgs { endpoint: "203.0.113.7:65535".parse().unwrap(), ..args };
        let beyond = Detected::new(&last, &[[4; 32], [5; 32]], &gpus(), &market).unwrap_err();
        assert!(beyond.to_string().contains("give a lower one"), "{beyond}");
    }

    #[test]
    fn a_gpu_that_does_not_work_is_left_out_on_demand_only() {
        let answer = || Answer { gpus: gpus(), broken: vec!["GPU is lost".to_owned()], notes: vec![] };
        let refused = working(answer(), false).unwrap_err().to_string();
        assert!(refused.contains("\"GPU is lost\"") && refused.contains("the other 2 GPUs"), "{refused}");
        assert_eq!(working(answer(), true).unwrap(), gpus());
    }
}
