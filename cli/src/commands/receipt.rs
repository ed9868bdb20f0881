//! `leasehold receipt`: proves which machine of the market answered, when and at what price.

mod convict;
mod demand;
mod enforce;
mod report;
#[cfg(test)]
mod tests;

use std::{
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, Subcommand, ValueHint};
use leasehold_client::{
    http::ArchiveClient,
    prove::{Body, Prover},
    record::{ReceiptFile, RecordError, SignedReceipt, receipt::parse_hash, salted},
};
use leasehold_operate::{chain::Chain, config::Settings, failure::Failure, flags::parse_http_url};
use url::Url;

pub use convict::ConvictArgs;
pub use demand::DemandArgs;
pub use enforce::EnforceArgs;
use report::{Found, Report};

#[derive(Subcommand)]
pub enum ReceiptCommand {
    /// Proves a receipt that came with an answer.
    ///
    /// The machine's signature is checked first, then that the receipt is in the log of the machine's supplier.
    /// The archive gives the proof and need not be trusted: the proof is checked against the log's account.
    Verify(VerifyArgs),
    /// Finds a receipt by its id and proves it.
    Find(FindArgs),
    /// Demands that a machine shows a receipt in its log; possible from two hours after the receipt's time.
    ///
    /// If nobody shows it within six hours, `receipt enforce` burns the machine's whole bond. If it is in the log, whoever shows
    /// it keeps the market's fee for demands, which you pay: try `receipt verify` first, which is free.
    Demand(DemandArgs),
    /// Enforces a demand that nobody answered in time: the machine loses its whole bond. Anybody may, and gets the demand's fee.
    Enforce(EnforceArgs),
    /// Convicts a machine that signed two different receipts with one number: it loses its whole bond. Anybody may.
    ///
    /// All of the bond is burned.
    Convict(ConvictArgs),
}

/// The archive that gives proofs.
#[derive(Args)]
pub struct ArchiveArgs {
    /// Base URL of an archive of receipts; any will do.
    #[arg(long, env = "LEASEHOLD_ARCHIVE", hide_env_values = true, value_name = "URL", value_parser = parse_http_url)]
    #[arg(value_hint = ValueHint::Url)]
    pub archive: Url,
}

#[derive(Args)]
pub struct VerifyArgs {
    /// The receipt: the JSON that the node's API returned, the header Leasehold-Receipt in base64, or its 392
    /// bytes; - for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    #[command(flatten)]
    pub archive: ArchiveArgs,
    /// Salt of the hashes of request and response, the header Leasehold-Salt: 64 hex digits; needed if the file does not
    /// have it.
    #[arg(long, value_name = "HEX")]
    pub salt: Option<Hash>,
    /// Body of the request, to check that the receipt is for it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub request: Option<PathBuf>,
    /// Body of the response, to check that the receipt is for it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub response: Option<PathBuf>,
}

#[derive(Args)]
pub struct FindArgs {
    /// Id of the receipt, from the header Leasehold-Id: 64 hex digits.
    pub id: Hash,
    #[command(flatten)]
    pub archive: ArchiveArgs,
}

/// 32 bytes, in hex on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hash(text).map(Hash).ok_or("give 64 hex digits")
    }
}

pub async fn run(chain: &Chain, command: ReceiptCommand) -> Result<(), Failure> {
    match command {
        ReceiptCommand::Verify(args) => verify(&chain.settings, args).await,
        ReceiptCommand::Find(args) => find(&chain.settings, args).await,
        ReceiptCommand::Demand(args) => demand::run(chain, args).await,
        ReceiptCommand::Enforce(args) => enforce::run(chain, args).await,
        ReceiptCommand::Convict(args) => convict::run(chain, args).await,
    }
}

async fn verify(settings: &Settings, args: VerifyArgs) -> Result<(), Failure> {
    let file = parse(&args.file, &read(&args.file)?)?;
    let mut report = Report::new(file.receipt.id());
    let salt = args.salt.map(|salt| salt.0).or(file.salt);
    let bodies = [(&args.request, Body::Request), (&args.response, Body::Response)]
        .into_iter()
        .filter_map(|(path, body)| path.as_deref().map(|path| (path, body)))
        .map(|(path, body)| Ok((body, salted(&salt.ok_or(Failure::NoSalt)?, &read(path)?))))
        .collect::<Result<Vec<_>, Failure>>()?;
    let proved = async {
        report.steps.signature(&file.receipt)?;
        for (body, hash) in bodies {
            report.steps.body(&file.receipt, body, &hash)?;
        }
        prove(settings, args.archive, file.receipt.id(), Some(file.receipt), &mut report).await
    };
    finish(settings, proved.await, report)
}

async fn find(settings: &Settings, args: FindArgs) -> Result<(), Failure> {
    let mut report = Report::new(args.id.0);
    let proved = prove(settings, args.archive, args.id.0, None, &mut report).await;
    finish(settings, proved, report)
}

async fn prove(
    settings: &Settings,
    archive: ArchiveArgs,
    id: [u8; 32],
    receipt: Option<SignedReceipt>,
    report: &mut Report,
) -> Result<(), Failure> {
    let rpc = settings.rpc();
    let prover = Prover::new(&rpc, ArchiveClient::new(archive.archive)?);
    report.found = Some(Found::new(&prover.prove(id, receipt, &mut report.steps).await?));
    Ok(())
}

/// Prints the report: all of it, or the steps up to the one that failed. Prints nothing if something could not be read.
fn finish(settings: &Settings, proved: Result<(), Failure>, mut report: Report) -> Result<(), Failure> {
    match &proved {
        Ok(()) => report.verified = true,
        Err(Failure::NotProved(error)) => report.fail(error.to_string()),
        Err(_) => return proved,
    }
    let printed = settings.output.print(&report);
    proved.and(printed)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let content = if path == Path::new("-") {
        let mut content = Vec::new();
        std::io::stdin().lock().read_to_end(&mut content).map(|_| content)
    } else {
        std::fs::read(path)
    };
    content.map_err(|error| Failure::File { path: path.to_owned(), error })
}

/// Parses a receipt. One with fields that no machine can sign counts as forged.
fn parse(path: &Path, content: &[u8]) -> Result<ReceiptFile, Failure> {
    ReceiptFile::parse(content).map_err(|error| match error {
        RecordError::NotAReceipt => error.into(),
        error => Failure::NoReceipt { path: path.to_owned(), error },
    })
}
