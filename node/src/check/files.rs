//! Files and receipts.

use super::{CheckOptions, Report};
use crate::receipts::Settings;
use leasehold_client::keypair;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Warns of files with secret keys that other users can open.
pub(super) fn check(options: &CheckOptions, report: &mut Report) {
    let mut files = options.keypairs.clone();
    files.extend(options.config.iter().flat_map(|path| secrets_of(path)));
    let exposed: Vec<_> = files.iter().filter(|path| keypair::is_exposed(path)).collect();
    if exposed.is_empty() {
        report
            .ok("files", format!("{} files with secret keys, which only their owner can open", files.len()));
    }
    for path in exposed {
        let path = path.display();
        report.warning("files", format!("other users can open {path}"), &format!("run chmod 600 {path}"));
    }
}

/// Files with secret keys that a configuration names, itself included if it has keys.
fn secrets_of(config: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string(config).ok().and_then(|text| text.parse::<toml::Table>().ok());
    let Some(table) = table else { return vec![] };
    let folder = config.parent().unwrap_or(Path::new(""));
    let machines = table.get("machine").and_then(toml::Value::as_array).into_iter().flatten();
    let machines: Vec<_> = machines.filter_map(toml::Value::as_table).collect();
    let operator = table.get("chain").and_then(|chain| chain.get("operator"));
    let named = machines.iter().filter_map(|machine| machine.get("keypair")).chain(operator);
    let mut files: Vec<_> = named.filter_map(toml::Value::as_str).map(|named| folder.join(named)).collect();
    if machines.iter().any(|machine| machine.contains_key("seed")) {
        files.push(config.to_owned());
    }
    files
}

/// Tries what the section `[receipts]` needs.
pub(super) async fn check_receipts(settings: Option<&Settings>, report: &mut Report) {
    let Some(settings) = settings else {
        report.ok("receipts", "none are signed: there is no section [receipts]".to_owned());
        return;
    };
    let folder = settings.database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match tempfile_in(folder) {
        Ok(()) => report.ok("receipts", format!("{} can be written", folder.display())),
        Err(error) => report.error(
            "receipts",
            format!("cannot write into {} ({error})", folder.display()),
            "create that folder, and let the node's user write there",
        ),
    }
    for address in [Some(settings.listen), settings.public].into_iter().flatten() {
        check_listener(address, report).await;
    }
    if let Some(proxy) = &settings.proxy {
        let (host, port) = (proxy.upstream.host_str(), proxy.upstream.port_or_known_default());
        let server = format!("{}:{}", host.unwrap_or_default(), port.unwrap_or_default());
        match timeout(CONNECT, TcpStream::connect(&server)).await {
            Ok(Ok(_)) => {
                report.ok("upstream", format!("the inference server at {server} accepts connections"))
            }
            failed => {
                let why = failed.map_or_else(
                    |_| "no answer".to_owned(),
                    |refused| refused.map_or_else(|error| error.to_string(), |_| String::new()),
                );
                report.error(
                    "upstream",
                    format!("cannot connect to the inference server at {server} ({why})"),
                    "start it, or correct `upstream` in [receipts]",
                );
            }
        }
    }
}

async fn check_listener(address: SocketAddr, report: &mut Report) {
    match TcpListener::bind(address).await {
        Ok(_) => report.ok("receipts", format!("TCP {address} is free")),
        Err(error) => report.warning(
            "receipts",
            format!("cannot listen on TCP {address} ({error})"),
            "nothing, if the node runs; else choose another address or port in [receipts]",
        ),
    }
}

/// Creates a file in the folder, and removes it.
fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".leasehold-node-check-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(path)
}
