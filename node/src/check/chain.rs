//! RPC nodes, and this host's clock against what they say.

use super::report::some_of;
use super::{Report, Subject};
use leasehold_client::fetch::Fetch;
use leasehold_daemon::unix_secs;
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TIMEOUT: Duration = Duration::from_secs(15);
/// Seconds by which a clock that is set differs from that of an HTTP server, which has whole seconds, over a slow line.
const NEAR: u64 = 3;
/// Seconds by which the cluster's clock, an estimate of its validators, may differ from the time.
const CLUSTER_NEAR: u64 = 15;
/// Length of rounds where none is configured: the default of markets.
const ROUND_SECS: u32 = 600;

/// Asks every RPC node. Returns one that answers.
pub(super) async fn check(subject: &Subject, report: &mut Report) -> Option<RpcClient> {
    if subject.rpcs.is_empty() {
        report.warning(
            "rpc",
            "no RPC node is known, so that neither the clock nor the board can be checked".to_owned(),
            "name one with --rpc, or in the section [chain]",
        );
        return None;
    }
    let round_secs = subject.machines.iter().filter_map(|machine| machine.round_secs).min();
    let (mut answering, mut clusters) = (None, BTreeMap::<String, Vec<String>>::new());
    for url in &subject.rpcs {
        let host = host(url);
        let commitment = CommitmentConfig::confirmed();
        let rpc = RpcClient::new_with_timeout_and_commitment(url.clone(), TIMEOUT, commitment);
        let fetch = Fetch::new(&rpc);
        let read = async {
            Ok::<_, leasehold_client::fetch::FetchError>((fetch.genesis_hash().await?, fetch.now().await?))
        };
        match read.await {
            Ok((genesis, cluster)) => {
                report.ok("rpc", format!("{host} answers; genesis {genesis}"));
                clusters.entry(genesis.to_string()).or_default().push(host.clone());
                check_clock("cluster clock", &host, cluster, CLUSTER_NEAR, round_secs, report);
                answering.get_or_insert(rpc);
            }
            Err(error) => report.error(
                "rpc",
                format!("{host}: {}", without_secrets(&error.to_string(), url)),
                "check its URL, or choose another",
            ),
        }
        if let Some(date) = http_date(url).await {
            check_clock("clock", &host, date, NEAR, round_secs, report);
        }
    }
    if clusters.len() > 1 {
        let found: Vec<_> =
            clusters.iter().map(|(genesis, hosts)| format!("{genesis} by {}", hosts.join(", "))).collect();
        report.error(
            "rpc",
            format!("the RPC nodes are of different clusters: {}", some_of(&found)),
            "name nodes of one cluster",
        );
    }
    answering
}

/// Compares this host's clock with another one.
fn check_clock(
    check: &'static str,
    of: &str,
    theirs: i64,
    near: u64,
    round_secs: Option<u32>,
    report: &mut Report,
) {
    let round = u64::from(round_secs.unwrap_or(ROUND_SECS));
    let own = unix_secs();
    let off = own.abs_diff(theirs);
    let side = if own > theirs { "ahead of" } else { "behind" };
    let found = format!("this host's clock is {off} s {side} that of {of} ({own} and {theirs})");
    let advice = "synchronise this host's clock: `timedatectl set-ntp true`, or chrony";
    if off <= near {
        report.ok(check, found);
    } else if off < round {
        report.warning(check, found, advice);
    } else {
        report.error(check, format!("{found}: that is {} rounds of {round} s", off / round), advice);
    }
}

/// Time of an HTTP server, which needs no NTP here. `None` if it doesn't say.
async fn http_date(url: &str) -> Option<i64> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().ok()?;
    let answer = client.head(url).send().await.ok()?;
    let date = httpdate::parse_http_date(answer.headers().get("date")?.to_str().ok()?).ok()?;
    since_epoch(date)
}

fn since_epoch(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// A URL without what may be a secret: user, path and query.
fn host(url: &str) -> String {
    let parsed = reqwest::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{}{port}", url.scheme(), url.host_str()?))
    });
    host.unwrap_or_else(|| "an invalid URL".to_owned())
}

fn without_secrets(text: &str, url: &str) -> String {
    let plain = host(url);
    let mut text = text.replace(url, &plain);
    if let Ok(parsed) = reqwest::Url::parse(url) {
        text = text.replace(parsed.as_str(), &plain);
        let parts = [Some(parsed.path()), parsed.query(), parsed.password()].into_iter().flatten();
        for part in parts.filter(|part| part.len() > 4) {
            text = text.replace(part, "...");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn no_key_of_a_url_is_shown() {
        let url = "https://user:secret-1@rpc.example.com:8899/v2/secret-2?api-key=secret-3";
        assert_eq!(host(url), "https://rpc.example.com:8899");
        let said = format!("error sending request for url ({url}): /v2/secret-2?api-key=secret-3 timed out");
        assert!(!without_secrets(&said, url).contains("secret"), "{}", without_secrets(&said, url));
        assert_eq!(host("secret"), "an invalid URL");
    }

    #[test]
    fn a_clock_is_judged_by_the_rounds() {
        let judged = |off: i64, round_secs| {
            let mut report = Report::default();
            check_clock("clock", "example.com", unix_secs() + off, NEAR, Some(round_secs), &mut report);
            report.rows.remove(0)
        };
        assert_eq!(judged(0, 600).status, Status::Ok);
        let late = judged(100, 600);
        assert_eq!(late.status, Status::Warning);
        assert!(late.found.contains(" s behind that of example.com"), "{}", late.found);
        let far = judged(-700, 60);
        assert_eq!(far.status, Status::Error);
        assert!(
            far.found.contains("that is 11 rounds of 60 s") && far.found.contains("ahead"),
            "{}",
            far.found
        );
    }
}
