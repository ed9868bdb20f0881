//! Machines as a file has them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use leasehold::{
    instructions::Machine,
    state::{Endpoint, Traits},
};
use serde::Deserialize;
use solana_pubkey::Pubkey;

use crate::{chain::MarketView, criteria::Country, failure::Failure};

/// A file of machines, in TOML.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachinesFile {
    #[serde(rename = "machine")]
    pub machines: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// In base58 or hex.
    node_key: String,
    /// The market's name or number for it.
    class: String,
    gpus: u8,
    speed: u8,
    /// As ISO 3166-1 has it.
    country: String,
    region: u8,
    #[serde(default)]
    metered: bool,
    /// Address and UDP port where it answers keepers.
    endpoint: SocketAddr,
    /// Of a machine and hour.
    price: String,
}

impl MachinesFile {
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
        MachinesFile::parse(&text)
            .map_err(|error| Failure::Input(format!("{} is no list of machines: {error}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// The machines as the program takes them. Two with one key would answer for each other.
    pub fn machines(&self, market: &MarketView) -> Result<Vec<Machine>, Failure> {
        let mut keys = BTreeSet::new();
        let machine = |(place, entry): (usize, &Entry)| {
            let wrong = |what: String| Failure::Input(format!("machine {}: {what}", place + 1));
            let machine = entry.machine(market).map_err(|error| wrong(error.to_string()))?;
            if !keys.insert(machine.node_key) {
                return Err(wrong("another has the same node_key: give each its own".to_owned()));
            }
            Ok(machine)
        };
        self.machines.iter().enumerate().map(machine).collect()
    }
}

impl Entry {
    fn machine(&self, market: &MarketView) -> Result<Machine, Failure> {
        let input = |what: &str| Failure::Input(what.to_owned());
        let country: Country = self.country.parse().map_err(input)?;
        let price = market.payment.parse(&self.price)?.amount;
        if price == 0 {
            return Err(input("the price is zero: name one"));
        }
        if self.gpus == 0 {
            return Err(input("it has no GPUs: name at least one"));
        }
        let ip = match self.endpoint.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        if self.endpoint.ip().is_unspecified() || self.endpoint.port() == 0 {
            return Err(input("the endpoint is nowhere: name address and port at which it answers"));
        }
        Ok(Machine {
            slot: None,
            node_key: node_key(&self.node_key)?,
            traits: Traits {
                class: market.class(&self.class)?,
                gpus: self.gpus,
                speed: self.speed,
                country: country.0,
                region: self.region,
                flags: if self.metered { Traits::METERED } else { 0 },
            },
            endpoint: Endpoint { ip: ip.octets(), port: self.endpoint.port().to_le_bytes() },
            price,
        })
    }
}

fn node_key(text: &str) -> Result<[u8; 32], Failure> {
    let hex = hex::decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let base58 = || text.parse::<Pubkey>().ok().map(|key| key.to_bytes());
    hex.or_else(base58).ok_or_else(|| {
        Failure::Input("its node_key is none: give the ed25519 key in base58 or 64 hex digits".to_owned())
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::chain::tests::view;

    /// A section of a file, of a machine whose key repeats a byte.
    pub fn section(key: u8) -> String {
        let key = Pubkey::new_from_array([key; 32]);
        format!(
            "[[machine]]\nnode_key = \"{key}\"\nclass = \"RTX 4090\"\ngpus = 2\nspeed = 3\ncountry = \"DE\"\n\
             region = 1\nendpoint = \"203.0.113.7:7000\"\nprice = \"0.35\"\n"
        )
    }

    pub fn machines(text: &str) -> Result<Vec<Machine>, Failure> {
        MachinesFile::parse(text).unwrap().machines(&view())
    }

    #[test]
    fn a_file_lists_machines_as_the_program_takes_them() {
        let hex = section(5).replace(&Pubkey::new_from_array([5; 32]).to_string(), &"05".repeat(32));
        let hex = hex
            .replace("203.0.113.7:7000", "[2001:db8::1]:7000")
            .replace("region = 1", "region = 1\nmetered = true");
        let found = machines(&(section(4) + &hex)).unwrap();
        assert_eq!((found[0].node_key, found[1].node_key), ([4; 32], [5; 32]));
        assert_eq!((found[0].price, found[0].slot), (350_000, None));
        let expected = Traits { class: 0, gpus: 2, speed: 3, country: 276, region: 1, flags: 0 };
        assert_eq!(found[0].traits, expected);
        assert_eq!(found[1].traits.flags, Traits::METERED);
        assert_eq!(found[0].endpoint.ip[10..], [0xff, 0xff, 203, 0, 113, 7]);
        assert_eq!(
            (found[0].endpoint.port(), found[1].endpoint.ip[..4].to_vec()),
            (7_000, vec![0x20, 1, 0xd, 0xb8])
        );
    }

    #[test]
    fn a_mistake_names_its_machine() {
        for (from, to, expected) in [
            ("RTX 4090", "H100", "machine 2: \"H100\" is no class"),
            ("\"DE\"", "\"XX\"", "machine 2: give a code of ISO 3166-1"),
            ("0.35", "0.0000001", "machine 2: 0.0000001 has more decimals"),
            ("0.35", "0", "machine 2: the price is zero"),
            ("gpus = 2", "gpus = 0", "machine 2: it has no GPUs"),
            (":7000", ":0", "machine 2: the endpoint is nowhere"),
            ("node_key = \"", "node_key = \"x", "machine 2: its node_key is none"),
        ] {
            let error = machines(&(section(4) + &section(5).replace(from, to))).unwrap_err();
            assert_eq!(error.code(), 2);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let twice = machines(&(section(4) + &section(4))).unwrap_err();
        assert!(twice.to_string().contains("another has the same node_key"), "{twice}");
        assert!(MachinesFile::parse(&section(4).replace("gpus", "gpu")).unwrap_err().contains("gpu"));
    }
}
