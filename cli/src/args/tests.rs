use clap::CommandFactory;
use leasehold_operate::{
    amount::Token,
    failure::{EXIT_CODES, Failure, GroupFlags},
    format::Format,
    parse::{with_exit_codes, without_urls},
};
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;

use super::*;
use crate::commands::receipt::ReceiptCommand;

fn parse(args: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("leasehold").chain(args.split_whitespace()))
}

#[test]
fn the_definition_of_arguments_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn options_of_all_commands_stand_before_and_after_them() {
    let archive = "--archive http://a.example";
    for args in [
        format!("-u d --output json receipt verify file {archive}"),
        format!("receipt verify file {archive} --url devnet --output json"),
    ] {
        let cli = parse(&args).unwrap();
        assert_eq!(cli.global.url.as_ref().unwrap().as_str(), "https://api.devnet.solana.com/");
        assert_eq!(cli.global.output, Format::Json);
        assert_eq!(cli.global.commitment, None);
        let Command::Receipt { command: ReceiptCommand::Verify(args) } = cli.command else { panic!() };
        assert_eq!(args.file.to_str(), Some("file"));
    }
}

#[test]
fn every_command_says_what_it_needs() {
    let wallet = "11111111111111111111111111111111";
    for args in [
        "address -k a.json".to_owned(),
        "offers --market 1 --class H100 --country DE --sort score --limit 5 --for 24h".to_owned(),
        "quote --market 1 --gpus 8 --for 7d --max-price 0.5 --max-gpus 4 --min-bond 100 --best".to_owned(),
        "quote --market 1 --gpus 8 --for 7d --avoid 0:3,1:7 --allow-unseen".to_owned(),
        "lease open --market 1 --gpus 8 --for 144r --max-deposit 10 --group 3 --nonce 7 -y".to_owned(),
        "lease open --market 1 --board 0 --gpus 8 --for 144r --avoid 3,7".to_owned(),
        format!("lease list --market 1 --owner {wallet}"),
        "lease show 0:1 --market 1".to_owned(),
        format!("lease show {wallet}"),
        "lease list --market 1 --group 3".to_owned(),
        "lease cancel --market 1 --group 3".to_owned(),
        "lease cancel --market 1 0:12 --contest 3,7".to_owned(),
        "lease settle --market 1 --group 3 -y".to_owned(),
        "lease claim --market 1 --group 3".to_owned(),
        format!("lease claim --market 1 --group 3 --buyer {wallet} --owner {wallet}"),
        format!("lease close {wallet}"),
        format!("lease extend {wallet} --for 1d --max-deposit 5 --allow-leaving 2 --dry-run"),
        format!("lease transfer {wallet} {wallet}"),
        format!("lease replace {wallet} 7 --max-deposit 5"),
        format!("lease replace {wallet} 7 --contest --avoid 3,8"),
        "lease watch 0:1 --market 1 --interval 1 --output json-compact".to_owned(),
        format!(
            "lease connect {wallet} --allow-private --check-port --format ssh --user ubuntu --identity ~/.ssh/id"
        ),
        format!("lease connect --group 3 --market 1 --owner {wallet} --format ray --user ray"),
        format!("lease open --market 1 --gpus 8 --for 7d --access id.pub --home {wallet}"),
        "lease open --market 1 --for 7d --gpus 8 --no-access".to_owned(),
        format!("lease access {wallet}"),
        format!("lease access {wallet} --new --wipe"),
        format!("lease access {wallet} --key id.pub --keep"),
        format!("lease ssh {wallet}"),
        format!("lease ssh {wallet} 7 -l me --identity id -L 8888:127.0.0.1:8888 -t -- ls -l"),
        format!("lease run {wallet} --slots 3,5 --parallel 9 -- nvidia-smi -L"),
        "lease run --market 1 --group 3 -- true".to_owned(),
        format!("lease copy {wallet}:7 data :/root/data"),
        "lease copy --market 1 0:12:3 :out .".to_owned(),
        format!("lease forward {wallet} --port 7022"),
        format!("lease ray up {wallet} --ray-version 2.55.0 --port 6379"),
        format!("lease ray up {wallet} --ray-path /opt/ray/bin --object-store-memory 100000000"),
        format!("lease ray status {wallet}"),
        "lease ray down --market 1 --group 3".to_owned(),
        format!("machine watch --market 1 --supplier {wallet} --board 0"),
        format!("machine show --market 1 --supplier {wallet} --board 0 --node-config"),
        "supplier stake --market 1 12.5".to_owned(),
        format!("supplier claim --market 1 --supplier {wallet}"),
        "machine list --market 1 --board 0 --for 30d machines.toml".to_owned(),
        "machine reprice --market 1 --board 0 0-11 14 --price 0.4 --bond 250".to_owned(),
        "machine move --market 1 --board 0 7 203.0.113.7:7000".to_owned(),
        "machine move --market 1 --board 0 --file machines.toml".to_owned(),
        "machine withhold --market 1 --board 0 0-11".to_owned(),
        "machine profile add --market 1 profiles.toml".to_owned(),
        "machine profile list --market 1".to_owned(),
        "machine list --market 1 --board 0 --for 30d - --format csv".to_owned(),
        "machine reprice --market 1 --board 0 --file prices.csv --for 30d".to_owned(),
        format!("machine reprice --market 1 --board 0 {wallet} --price 1"),
        format!(
            "machine detect --market 1 --node-key {wallet} --speed 3 --country DE --region 1 \
             --endpoint 203.0.113.7:7000 --price 0.35"
        ),
        "machine retire --market 1 --board 0 3".to_owned(),
        "completion --shell zsh".to_owned(),
        "completion".to_owned(),
        "man /tmp/man1".to_owned(),
        "market propose --market 1 params.toml".to_owned(),
        "market propose --market 1 --withdraw".to_owned(),
        format!("market authority --market 1 {wallet}"),
        "market authority --market 1 --accept".to_owned(),
        "market create market.toml".to_owned(),
        "keeper bond --market 1 5000".to_owned(),
        "keeper seat --market 1 0 --seat 3".to_owned(),
        "keeper leave --market 1 0 --forfeit-fees".to_owned(),
        "keeper fund --market 1 0 25".to_owned(),
        format!("keeper claim --market 1 --keeper {wallet}"),
        format!("market withdraw --market 1 --board 0 --authority {wallet}"),
        "market burn --market 1 --board 0 --pool".to_owned(),
        "market close --market 1".to_owned(),
        "supplier rent --market 1".to_owned(),
        "supplier close --market 1".to_owned(),
        "board show --market 1 0".to_owned(),
        "quote --market 1 --for 7d --metered --deposit 10".to_owned(),
        format!("lease open --market 1 --for 7d --metered --deposit 10 --spender {wallet} --gpus 4"),
        format!("lease top-up {wallet} 1.5"),
        format!("lease notice {wallet}"),
        format!("lease token {wallet} --spender-keypair a.json --valid 7d"),
        format!("lease voucher {wallet} 1.5"),
        format!("lease voucher {wallet} --node http://a.example --max 2"),
        format!("log create --market 1 --operator {wallet}"),
        format!("log show --market 1 --supplier {wallet}"),
        "log lanes --market 1 --board 0 0-11 14".to_owned(),
        format!("log operator --market 1 {wallet}"),
        "log close --market 1".to_owned(),
        "receipt demand --market 1 file".to_owned(),
        "receipt convict --market 1 one -".to_owned(),
        format!("receipt enforce {wallet}"),
        format!("receipt enforce {}", "00".repeat(32)),
        "board trim --market 1 0".to_owned(),
        "board close --market 1 0".to_owned(),
    ] {
        assert!(parse(&args).is_ok(), "{args}: {}", parse(&args).err().unwrap());
    }
    for args in [
        "quote --market 1 --machines 8",
        "quote --market 1 --for 7d",
        "quote --market 1 --for 7d --metered",
        "quote --market 1 --for 7d --machines 1 --deposit 10",
        "lease open --market 1 --for 7d --metered --deposit 10 --max-deposit 5",
        "lease open --market 1 --for 7d --machines 1 --spender 11111111111111111111111111111111",
        "lease voucher 11111111111111111111111111111111",
        "log lanes --market 1 --board 0",
        "receipt enforce 0011",
        "receipt convict --market 1 one",
        "offers --market 1 --country DE --region 1",
        "offers --market 1 --limit 0",
        "offers --market 1 --min-score 10001",
        "machine watch --market 1 --node-config",
        "lease show 1 --market 1",
        "lease settle",
        "lease settle --group 3",
        "lease cancel 0:1 --group 3 --market 1",
        "machine retire --market 1 --board 0",
        "machine reprice --market 1 --board 0 --price 1",
        "machine reprice --market 1 --board 0 3 --file prices.csv",
        "machine reprice --market 1 --board 0 3 --price 1 --format csv",
        "machine detect --market 1 --speed 3 --country DE --region 1 --endpoint 1.2.3.4:5 --price 1",
        "completion --shell tcsh",
        "man",
        "keeper seat --market 1",
        "board close --market 1",
        "market propose --market 1",
        "market propose --market 1 params.toml --withdraw",
        "market authority --market 1",
        "market authority --market 1 --accept --withdraw",
        "supplier stake --market 1 -5",
        "lease watch 0:1 --market 1 --interval 0",
        "lease connect --market 1",
        "lease connect --group 3",
        "lease cancel 0:1 --market 1 --buyer 11111111111111111111111111111111",
        "lease connect 0:1 --market 1 --group 3",
        "lease connect 0:1 --market 1 --owner 11111111111111111111111111111111",
        "lease connect 0:1 --market 1 --user -oProxyCommand=x",
        "lease open --market 1 --gpus 8 --for 7d --access id.pub --no-access",
        "lease access 0:1 --market 1 --new --none",
        "lease access 0:1 --market 1 --key id.pub --none",
        "lease access 0:1 --market 1 --wipe --keep",
        "lease ssh 0:1 3 ls --market 1",
        "lease ssh 0:1 -N --market 1 -- ls",
        "lease run 0:1 --market 1",
        "lease copy 0:1 --market 1 data",
        "lease ray up 0:1 --market 1 --ray-version latest",
        "lease ray up 0:1 --market 1 --ray-path ray/bin",
        "lease ray up 0:1 --market 1 --object-store-memory 1000",
    ] {
        assert_eq!(parse(args).err().map(|error| error.exit_code()), Some(2), "{args}");
    }
}

#[test]
fn a_misspelt_name_and_an_empty_one_are_named_in_the_error() {
    for name in ["main-net", "127.0.0.1:8899"] {
        let error = without_urls(parse(&format!("-u {name} address")).err().unwrap()).to_string();
        assert!(error.contains(&format!("'{name}'")) && error.contains("give an http"), "{error}");
    }
    for key in ["0a1b2c3d4e5f6a7b", "abcdefghijklmno"] {
        let error = without_urls(parse(&format!("-u {key} address")).err().unwrap()).to_string();
        assert!(!error.contains(key) && error.contains("<URL>"), "{error}");
    }
    let empty = without_urls(parse("--url= address").err().unwrap()).to_string();
    assert!(empty.contains("it is empty") && empty.contains("LEASEHOLD_URL"), "{empty}");
}

#[test]
fn a_wrong_commitment_names_the_three() {
    let error = parse("--commitment foo address").err().unwrap().to_string();
    assert!(error.contains("'foo'") && error.contains("processed, confirmed, finalized"), "{error}");
    let cli = parse("--commitment finalized address").unwrap();
    assert_eq!(cli.global.commitment, Some(CommitmentConfig::finalized()));
}

/// Arguments of a command and of those below it that are addresses.
fn addresses(command: &clap::Command) -> usize {
    let address = std::any::TypeId::of::<Pubkey>();
    let own = command.get_arguments().filter(|arg| arg.get_value_parser().type_id() == address).count();
    own + command.get_subcommands().map(addresses).sum::<usize>()
}

#[test]
fn a_wrong_address_is_refused_with_the_expected_form() {
    let lines = [
        "lease transfer 0:1 foo",
        "lease list --market 1 --owner foo",
        "lease claim --market 1 --group 3 --owner foo",
        "lease open --market 1 --for 1d --metered --deposit 1 --spender foo",
        "lease connect --market 1 --group 3 --owner foo",
        "lease connect --market 1 --group 3 --buyer foo",
        "lease run --market 1 --group 3 --buyer foo -- true",
        "lease forward --market 1 --group 3 --buyer foo",
        "lease ray up --market 1 --group 3 --buyer foo",
        "lease ray status --market 1 --group 3 --buyer foo",
        "lease ray down --market 1 --group 3 --buyer foo",
        "lease cancel --market 1 --group 3 --buyer foo",
        "lease settle --market 1 --group 3 --buyer foo",
        "lease claim --market 1 --group 3 --buyer foo",
        "lease close --market 1 --group 3 --buyer foo",
        "machine show --market 1 --supplier foo",
        "machine watch --market 1 --supplier foo",
        "supplier show --market 1 --supplier foo",
        "supplier claim --market 1 --supplier foo",
        "keeper show --market 1 --keeper foo",
        "keeper claim --market 1 --keeper foo",
        "market authority --market 1 foo",
        "market withdraw --market 1 --authority foo",
        "log create --market 1 --operator foo",
        "log show --market 1 --supplier foo",
        "log operator --market 1 foo",
        "machine profile list --market 1 --supplier foo",
    ];
    for line in lines {
        let error = parse(line).err().unwrap().to_string();
        assert!(error.contains("'foo'") && error.contains("give an address: 32 bytes"), "{line}: {error}");
    }
    assert_eq!(addresses(&Cli::command()), lines.len(), "each has its line above");
}

/// Checks the help of a command and of those below it.
fn check_help(command: &mut clap::Command, codes: bool) {
    let (short, long) = (command.render_help().to_string(), command.render_long_help().to_string());
    let name = command.get_name().to_owned();
    let (own, global) = long.split_once("\nGlobal options:\n").unwrap_or_else(|| panic!("{name}: {long}"));
    for flag in ["--config", "--url", "--yes", "--dry-run"] {
        let defines = |line: &str| line.trim_start().starts_with('-') && line.contains(flag);
        assert!(!own.lines().any(defines) && global.lines().any(defines), "{name} {flag}: {long}");
    }
    for (code, meaning) in EXIT_CODES.iter().filter(|_| codes) {
        assert!(long.contains(&format!("{code} {meaning}")), "{name}: {long}");
    }
    assert!(short.contains("Exit codes: "), "{name}: {short}");
    command.get_subcommands_mut().for_each(|below| check_help(below, true));
}

#[test]
fn own_options_stand_first_and_every_command_tells_its_exit_codes() {
    let mut command = with_exit_codes(Cli::command()).disable_help_subcommand(true).term_width(0);
    command.build();
    check_help(&mut command, true);
}

#[test]
fn a_url_where_none_is_expected_is_shown_without_its_keys() {
    let url = "https://a.example/k3y?api-key=k3y";
    for args in [url.to_owned(), format!("offers --market {url}"), format!("offers --market 1 {url}")] {
        let error = without_urls(parse(&args).err().unwrap()).to_string();
        assert!(!error.contains("k3y") && error.contains("'https://a.example/<...>'"), "{error}");
    }
}

#[test]
fn an_invalid_url_is_not_repeated() {
    for args in ["-u htp://a.example/key offers --market 1 --for 1r", "receipt verify file --archive a/key"] {
        let error = without_urls(parse(args).err().unwrap()).to_string();
        assert!(!error.contains("key") && error.contains("<URL>"), "{error}");
    }
}

#[test]
fn wrong_use_ends_with_2() {
    let id = "00".repeat(32);
    for args in [
        "receipt".to_owned(),
        "receipt verify".to_owned(),
        "receipt find 0011 --archive http://a.example".to_owned(),
        format!("receipt find {id} --archive a.example"),
        format!("receipt find {id} --archive http://a.example --output yaml"),
        format!("receipt find {id} --archive http://a.example --commitment soon"),
        format!("receipt find {id} --archive http://a.example -u nowhere"),
        format!("receipt verify {id} --archive http://a.example --salt 00"),
    ] {
        assert_eq!(parse(&args).err().map(|error| error.exit_code()), Some(2), "{args}");
    }
    let found = parse(&format!("receipt find {id} --archive http://a.example")).unwrap();
    let Command::Receipt { command: ReceiptCommand::Find(args) } = found.command else { panic!() };
    assert_eq!(args.id, crate::commands::receipt::Hash([0; 32]));
}

#[test]
fn what_to_do_after_a_group_failed_is_what_the_command_line_takes() {
    let lease = Pubkey::new_from_array([3; 32]);
    let flags = GroupFlags { market: Pubkey::new_from_array([7; 32]), group: 5 };
    let error = || Box::new(Failure::Declined);
    let cost = Token { mint: lease, decimals: 0 }.money(1);
    for (failure, commands) in [
        (Failure::Undone { error: error(), cost, flags }, 3),
        (Failure::NotUndone { error: error(), open: vec![lease], unknown: vec![], flags }, 2),
    ] {
        let text = failure.to_string();
        let advice: Vec<_> = text.split('`').skip(1).step_by(2).collect();
        assert_eq!(advice.len(), commands, "{text}");
        for line in advice {
            let line = line.replace("ADDRESS", &lease.to_string());
            assert!(Cli::try_parse_from(line.split_whitespace()).is_ok(), "{line}");
        }
    }
}
