//! A machine that serves a lease, where it is, and how to log in to it.

use std::net::{IpAddr, SocketAddr};

use leasehold::state::{Slot, Verdict};
use leasehold_client::{access, board::BoardView, search::Country};
use leasehold_operate::table::count;
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::super::leased::Leased;
use crate::commands::machine::endpoint::{address, is_astray};

/// A machine of a lease.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Unique within a market: "lease-0-12-slot7".
    pub name: String,
    pub lease: String,
    /// Numbers of its board and of its lease.
    pub board: u32,
    pub serial: u32,
    pub slot: u16,
    pub node_key: String,
    pub class: String,
    pub gpus: u8,
    pub country: String,
    pub address: IpAddr,
    /// Port that keepers probe by UDP; the node lets the tenant in at the same one of TCP.
    pub port: u16,
    /// Principal of the certificate of its host key, in this lease and access epoch.
    pub alias: String,
    /// Line of a known_hosts file that trusts this machine's key under that alias, and nothing else.
    pub known_hosts: String,
    pub user: String,
    /// Key file that ssh logs in with: a private key, or a public one whose private half an agent has. `None` if neither is known.
    pub identity_file: Option<String>,
    /// Public half of it, as a file of authorised keys has it.
    #[serde(skip)]
    pub authorized: Option<String>,
    /// Verdict of the last closed round: up, down, unseen or void.
    pub now: &'static str,
    /// Closed rounds of the lease in which it was up.
    pub rounds_up: u32,
    /// True if its port accepts connections. `None` if that was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
}

/// In its namespaces, the tenant is this user.
pub const USER: &str = "root";

impl Host {
    pub fn new(leased: &Leased, view: &BoardView, index: u16, slot: &Slot) -> Self {
        let (board, serial) = (leased.board.index, leased.lease.serial);
        let last = view.header.next_round.checked_sub(1);
        let (endpoint, node_key) = (address(&slot.endpoint), Pubkey::new_from_array(slot.node_key));
        let alias = access::host_alias(board, serial, leased.lease.access_epoch, index, &leased.address);
        Host {
            name: format!("lease-{board}-{serial}-slot{index}"),
            lease: leased.address.to_string(),
            board,
            serial,
            slot: index,
            node_key: node_key.to_string(),
            class: leased.market.class_name(slot.traits.class),
            gpus: slot.traits.gpus,
            country: Country(slot.traits.country).to_string(),
            address: endpoint.ip(),
            port: endpoint.port(),
            known_hosts: access::ca_line(&alias, &node_key),
            alias,
            user: USER.to_owned(),
            identity_file: None,
            authorized: None,
            now: match last.and_then(|last| view.header.verdict(slot, last)) {
                Some(Verdict::Up) => "up",
                Some(Verdict::Down) => "down",
                Some(Verdict::Unseen) => "unseen",
                Some(Verdict::Void) | None => "void",
            },
            rounds_up: slot.lease_up,
            answers: None,
        }
    }

    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    pub fn is_down(&self) -> bool {
        self.now == "down"
    }

    /// The class without characters that mean something to the program that reads the file.
    pub fn plain_class(&self) -> String {
        let plain = |character: char| character.is_ascii_alphanumeric() || " ._+-".contains(character);
        self.class.chars().map(|character| if plain(character) { character } else { '_' }).collect()
    }

    /// In a comment: "slot 7: RTX 4090, 8 GPUs, DE, DOWN NOW".
    pub fn comment(&self) -> String {
        let Host { slot, gpus, country, .. } = self;
        let gpus = count(usize::from(*gpus), "GPU");
        let marks: String = self.marks().map(|mark| format!(", {mark}")).collect();
        let class = self.plain_class();
        format!("slot {slot}: {class}, {gpus}, {country}{marks}")
    }

    /// Warnings to read before connecting to it.
    pub fn marks(&self) -> impl Iterator<Item = &'static str> {
        let down = self.is_down().then_some("DOWN NOW");
        down.into_iter().chain(self.is_astray().then_some("PRIVATE OR LOOPBACK ADDRESS"))
    }

    /// True if its address is private, loopback or unroutable. Suppliers choose it.
    pub fn is_astray(&self) -> bool {
        is_astray(self.address)
    }
}

#[cfg(test)]
pub mod tests {
    use leasehold_client::sample::change;

    use super::{super::super::leased::tests::sample, *};

    /// Slot 0 of the sample's lease 1 with this class and address.
    pub fn host(class: &str, address: &str) -> Host {
        let leased = sample(1);
        let view = leased.view().unwrap();
        let host = Host::new(&leased, &view, 0, view.slot(0).unwrap());
        Host { class: class.to_owned(), address: address.parse().unwrap(), ..host }
    }

    #[test]
    fn a_mapped_ipv4_address_is_printed_in_its_short_form() {
        let mut leased = sample(1);
        change(&mut leased.data.account, |_, slots| {
            slots[0].endpoint.ip = "::ffff:203.0.113.7".parse::<std::net::Ipv6Addr>().unwrap().octets();
            slots[0].endpoint.port = 7_000u16.to_le_bytes();
            slots[1].endpoint.ip = "2a00::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
        });
        let view = leased.view().unwrap();
        let host = |slot| Host::new(&leased, &view, slot, view.slot(slot).unwrap());
        let json = serde_json::to_value(host(0)).unwrap();
        assert_eq!((&json["address"], &json["port"]), (&"203.0.113.7".into(), &7_000.into()));
        assert_eq!((&json["name"], &json["now"]), (&"lease-0-1-slot0".into(), &"up".into()));
        assert_eq!((&json["country"], &json["rounds_up"]), (&"DE".into(), &8.into()));
        assert_eq!(host(1).address.to_string(), "2a00::7");
        assert_eq!(host(0).comment(), "slot 0: RTX 4090, 1 GPU, DE");
        let alias = format!("lease-0-1-0-slot0-{}", &leased.address.to_string().to_lowercase()[..8]);
        assert_eq!(json["alias"], alias);
        let trusted = json["known_hosts"].as_str().unwrap();
        assert!(trusted.starts_with(&format!("@cert-authority {alias} ssh-ed25519 AAAA")), "{trusted}");
        assert_eq!((&json["user"], json.get("answers")), (&"root".into(), None));
    }

    #[test]
    fn a_machine_is_down_by_the_last_closed_round() {
        let mut leased = sample(1);
        let now = |leased: &Leased| {
            let view = leased.view().unwrap();
            Host::new(leased, &view, 0, view.slot(0).unwrap()).now
        };
        change(&mut leased.data.account, |board, _| board.next_round = 996);
        assert_eq!(now(&leased), "down", "in round 995");
        change(&mut leased.data.account, |board, _| board.quorate = 0);
        assert_eq!(now(&leased), "void", "too few voted");
    }

    #[test]
    fn addresses_that_lead_to_no_stranger_are_noticed() {
        for astray in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "198.18.0.1",
            "192.0.0.8",
            "2002:7f00:1::",
            "2001::1",
        ] {
            assert!(host("A", astray).is_astray(), "{astray}");
        }
        for good in ["1.1.1.1", "100.128.0.1", "2a00::7"] {
            assert!(!host("A", good).is_astray(), "{good}");
        }
    }
}
