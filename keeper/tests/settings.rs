//! The command line: every mistake gets a sentence that says what to do.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use leasehold_client::{address, sender::Price};
use leasehold_keeper::{Args, Config, EvidenceSettings, Keeper, KeeperError, Settings, SettingsError};
use solana_keypair::{Keypair, write_keypair_file};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;

/// A folder with a keypair in it.
struct Home {
    folder: tempfile::TempDir,
    keypair: Keypair,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), keypair: Keypair::new() };
        write_keypair_file(&home.keypair, home.file()).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("keeper.json")
    }

    /// Settings of a command line with these flags, a keypair and a market.
    fn config(&self, flags: &[&str]) -> Result<Config, SettingsError> {
        let file = self.file();
        let needed = ["--keypair", file.to_str().unwrap(), "--market", "7"];
        config(&[&needed, flags].concat())
    }

    fn sentence(&self, flags: &[&str]) -> String {
        self.config(flags).unwrap_err().to_string()
    }
}

fn config(flags: &[&str]) -> Result<Config, SettingsError> {
    Config::new(&Args::try_parse_from([&["leasehold-keeper"], flags].concat()).unwrap())
}

#[test]
fn a_keypair_and_a_market_are_enough() {
    let home = Home::new();
    let config = home.config(&[]).unwrap();
    assert_eq!(config.keypair.pubkey(), home.keypair.pubkey());
    assert_eq!(config.rpc.as_str(), "http://127.0.0.1:8899/");
    assert!(!config.once);
    let settings = config.settings;
    assert_eq!(settings.market, address::market(7));
    assert_eq!(settings.boards, None);
    assert!(!settings.take_seat && !settings.bond && !settings.crank && !settings.prober.allow_private);
    assert_eq!((settings.evidence, settings.metrics, settings.claim_fees), (None, None, None));
    assert_eq!(settings.poll, Duration::from_secs(5));
    assert!(matches!(settings.sender.price, Price::Fixed(0)));
}

#[test]
fn every_flag_has_its_effect() {
    let home = Home::new();
    let config = home
        .config(&[
            "--rpc=https://rpc.example.org/key",
            "--board=3,1",
            "--board=2",
            "--take-seat",
            "--bond",
            "--crank",
            "--claim-fees=5000",
            "--evidence=pongs",
            "--evidence-hours=12",
            "--allow-private",
            "--max-in-flight=64",
            "--poll=0.5",
            "--priority-fee=900",
            "--metrics=[::1]:9464",
            "--once",
        ])
        .unwrap();
    assert_eq!(config.rpc.as_str(), "https://rpc.example.org/key");
    assert!(config.once);
    let settings = config.settings;
    assert_eq!(settings.boards, Some([1, 2, 3].into()));
    assert!(settings.take_seat && settings.bond && settings.crank && settings.prober.allow_private);
    assert_eq!(settings.claim_fees, Some(5_000));
    assert_eq!(settings.evidence, Some(EvidenceSettings { folder: "pongs".into(), secs: 12 * 3_600 }));
    assert_eq!(settings.prober.max_in_flight, 64);
    assert_eq!(settings.poll, Duration::from_millis(500));
    assert!(matches!(settings.sender.price, Price::Recent { at_most: 900 }));
    assert_eq!(settings.metrics, Some("[::1]:9464".parse().unwrap()));
}

#[test]
fn a_market_is_named_by_number_or_by_address() {
    let home = Home::new();
    let market = address::market(41);
    let file = home.file();
    let named = |market: &str| config(&["--keypair", file.to_str().unwrap(), "--market", market]);
    assert_eq!(named("41").unwrap().settings.market, market);
    assert_eq!(named(&market.to_string()).unwrap().settings.market, market);
    assert_eq!(
        named("the first").unwrap_err().to_string(),
        "--market the first is neither the number nor the address of a market"
    );
}

#[test]
fn a_missing_flag_is_named() {
    let home = Home::new();
    assert_eq!(
        config(&["--market=7"]).unwrap_err().to_string(),
        "--keypair is missing: give the file with this keeper's own keypair, as solana-keygen writes it"
    );
    assert_eq!(
        config(&["--keypair", home.file().to_str().unwrap()]).unwrap_err().to_string(),
        "--market is missing: give the market's number or address"
    );
}

#[test]
fn a_malformed_keypair_and_an_unreadable_one_have_different_errors() {
    let home = Home::new();
    let sentence =
        |path: &Path| config(&["--market=7", "--keypair", path.to_str().unwrap()]).unwrap_err().to_string();
    let nowhere = home.folder.path().join("nowhere.json");
    let said = sentence(&nowhere);
    assert!(
        said.starts_with(&format!("--keypair: cannot read the keypair {} (", nowhere.display())),
        "{said}"
    );
    assert!(said.ends_with("check the path and who may read the file"), "{said}");
    for text in ["", "[1, 2, 3]", "not a key", &format!("{:?}", [1u8; 64])] {
        fs::write(home.file(), text).unwrap();
        let wanted = format!("--keypair: {} is not a keypair: ", home.file().display());
        assert!(sentence(&home.file()).starts_with(&wanted), "{text}");
    }
}

#[test]
fn every_bad_flag_gets_its_sentence() {
    let home = Home::new();
    for (flags, sentence) in [
        (
            &["--rpc=localhost"][..],
            "--rpc is not an http or https URL: give one such as https://api.devnet.solana.com",
        ),
        (
            &["--rpc=ftp://host"],
            "--rpc is not an http or https URL: give one such as https://api.devnet.solana.com",
        ),
        (&["--board=first"], "--board first is not a board's number: boards are numbered from 0"),
        (&["--board=1,-1"], "--board -1 is not a board's number: boards are numbered from 0"),
        (&["--bond"], "--bond bonds stake for a seat: give it together with --take-seat"),
        (&["--claim-fees=0"], "--claim-fees 0 is not an amount in base units of the payment mint"),
        (&["--claim-fees=1.5"], "--claim-fees 1.5 is not an amount in base units of the payment mint"),
        (&["--evidence-hours=0"], "--evidence-hours 0 is not a number of hours from 1 to 8784"),
        (&["--max-in-flight=0"], "--max-in-flight 0 is not a number from 1 to 1048576"),
        (&["--poll=0"], "--poll 0 is not a number of seconds from 0.1 to 3600"),
        (&["--poll=NaN"], "--poll NaN is not a number of seconds from 0.1 to 3600"),
        (&["--priority-fee=much"], "--priority-fee much is not a number of micro-lamports from 0 up"),
        (&["--metrics=9464"], "--metrics 9464 is not an address and a port, such as 127.0.0.1:9464"),
        (
            &["--metrics=0.0.0.0:9464"],
            "--metrics 0.0.0.0:9464 can be reached from outside: choose a loopback address such as 127.0.0.1:9464",
        ),
    ] {
        assert_eq!(home.sentence(flags), sentence);
    }
    let args = Args::try_parse_from(["leasehold-keeper", "--log=leasehold=loud"]).unwrap();
    assert_eq!(
        args.filter().unwrap_err().to_string(),
        "--log leasehold=loud is not a filter: give error, warn, info, debug or trace, or one such as leasehold_client=debug"
    );
}

fn keeper(settings: Settings) -> Result<Keeper, KeeperError> {
    Keeper::new(settings, Keypair::new(), Arc::new(RpcClient::new("http://127.0.0.1:9".to_owned())))
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_anything_runs() {
    let home = Home::new();
    let folder = home.file().join("pongs");
    let evidence = Some(EvidenceSettings { folder: folder.clone(), secs: 3_600 });
    let error = keeper(Settings { evidence, ..Settings::new(address::market(7)) }).err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot save evidence in {} (", folder.display())), "{error}");
    assert!(error.ends_with("check --evidence and who may write there"), "{error}");
}

#[test]
fn a_taken_port_is_refused_before_anything_runs() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let settings = Settings { metrics: Some(address), ..Settings::new(address::market(7)) };
    let error = keeper(settings).err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot serve metrics on {address} (")), "{error}");
    assert!(error.ends_with("choose another address or port with --metrics"), "{error}");
}

/// The keeper as a process, without the environment's say.
fn process(flags: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold-keeper"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LEASEHOLD_KEEPER_") {
            command.env_remove(name);
        }
    }
    command.args(flags).envs(environment.iter().copied()).output().unwrap()
}

#[test]
fn a_mistake_is_one_line_and_a_failure() {
    let output = process(&["--market=7"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "leasehold-keeper: --keypair is missing: give the file with this keeper's own keypair, as solana-keygen writes it\n"
    );
}

#[test]
fn the_environment_says_the_same_as_flags() {
    let output = process(
        &["--take-seat"],
        &[
            ("LEASEHOLD_KEEPER_MARKET", "7"),
            ("LEASEHOLD_KEEPER_BOND", "true"),
            ("LEASEHOLD_KEEPER_BOARDS", "1,x"),
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "leasehold-keeper: --board x is not a board's number: boards are numbered from 0\n");
}

#[test]
fn a_keeper_that_runs_once_fails_if_the_rpc_node_does_not_answer() {
    let home = Home::new();
    // A port that was free a moment ago.
    let port: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (file, rpc) = (home.file(), format!("http://{port}"));
    let output = process(
        &["--once", "--market=7", "--keypair", file.to_str().unwrap(), "--rpc", &rpc, "--log=off"],
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("leasehold-keeper: the RPC node does not answer: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
