//! Downloads receipts from the URLs that suppliers name. The URLs are not trusted: private addresses are refused.

use crate::check::expected_len;
use leasehold::state::BatchHeader;
use leasehold_client::network::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A full batch has 25 MB.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Why receipts were not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("its source is not an http or https URL")]
    Url,
    #[error("its source has a private or loopback address: --allow-private downloads from those too")]
    Private,
    #[error("its source does not answer: {0}")]
    Unreachable(reqwest::Error),
    #[error("its source answers with status {0}")]
    Status(u16),
    /// The rest was not read.
    #[error("its source gives more than {0} bytes")]
    TooLong(usize),
}

/// Downloads batches.
#[derive(Clone, Debug)]
pub struct Downloader {
    client: Client,
    allow_private: bool,
}

impl Downloader {
    /// `allow_private`: download from private and loopback addresses too.
    ///
    /// # Errors
    /// If the HTTP client can't be made.
    pub fn new(allow_private: bool) -> Result<Self, reqwest::Error> {
        // A redirect or a proxy would lead to an address that is not checked.
        let client = Client::builder().redirect(Policy::none()).no_proxy();
        let client = client.connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT);
        let client = match allow_private {
            true => client,
            false => client.dns_resolver(Arc::new(PublicOnly)),
        };
        Ok(Self { client: client.build()?, allow_private })
    }

    /// Downloads the receipts of a batch, unchecked, but never more bytes than the batch has.
    ///
    /// # Errors
    /// Any [`DownloadError`].
    pub async fn fetch(&self, source: &str, header: &BatchHeader) -> Result<Vec<u8>, DownloadError> {
        let url = self.url(source, header)?;
        let mut response = self.client.get(url).send().await.map_err(DownloadError::Unreachable)?;
        if !response.status().is_success() {
            return Err(DownloadError::Status(response.status().as_u16()));
        }
        let (expected, mut bytes) = (expected_len(header), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(DownloadError::Unreachable)? {
            if bytes.len().saturating_add(chunk.len()) > expected {
                return Err(DownloadError::TooLong(expected));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn url(&self, source: &str, header: &BatchHeader) -> Result<Url, DownloadError> {
        let BatchHeader { board, slot, generation, number, .. } = header;
        let source = source.trim_end_matches('/');
        let url = Url::parse(&format!("{source}/v1/batches/{board}/{slot}/{generation}/{number}"));
        let url =
            url.ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(DownloadError::Url)?;
        // Names are checked when they are resolved.
        let address = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse().ok());
        match address {
            Some(ip) if !self.allow_private && !is_public(ip) => Err(DownloadError::Private),
            _ => Ok(url),
        }
    }
}

/// Resolves names to public addresses only.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(io::Error::other(DownloadError::Private).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{batch, receipts};

    #[test]
    fn sources_in_private_networks_are_refused() {
        let header = batch(0, &receipts(0, 1));
        let downloader = Downloader::new(false).unwrap();
        for source in [
            "http://127.0.0.1:8471",
            "http://2130706433",
            "http://10.1.2.3",
            "http://169.254.169.254",
            "http://0.0.0.0",
            "http://[::1]:80",
            "http://[::ffff:192.168.0.1]",
            "http://[fe80::1]",
            "http://224.0.0.1",
        ] {
            assert!(matches!(downloader.url(source, &header), Err(DownloadError::Private)), "{source}");
        }
        assert!(matches!(downloader.url("file:///etc", &header), Err(DownloadError::Url)));
        let url = downloader.url("https://node.example/base/", &header).unwrap();
        assert_eq!(url.as_str(), format!("https://node.example/base/v1/batches/{}/3/70002/0", header.board));
        assert!(downloader.url("http://1.1.1.1", &header).is_ok());
        assert!(Downloader::new(true).unwrap().url("http://127.0.0.1:8471", &header).is_ok());
    }

    #[tokio::test]
    async fn names_of_private_addresses_are_refused() {
        let header = batch(0, &receipts(0, 1));
        let refused = Downloader::new(false).unwrap().fetch("http://localhost:1", &header).await;
        assert!(matches!(refused, Err(DownloadError::Unreachable(_))));
        let resolved = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(resolved.err().unwrap().to_string().contains("private or loopback address"));
    }
}
