//! The file of machines to list.

use std::{collections::BTreeSet, net::SocketAddr};

use leasehold::{constants::MAX_PROFILES, instructions::Machine, state::Traits};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{endpoint::packed, key::node_key, rows::Row};
use leasehold_client::search::Country;
use leasehold_operate::{failure::Failure, market::MarketView, text::quoted};

/// A machine to list.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// In base58 or hex.
    pub node_key: String,
    /// The market's name or number for it.
    pub class: String,
    pub gpus: u8,
    pub speed: u8,
    /// As ISO 3166-1 has it.
    pub country: String,
    pub region: u8,
    #[serde(default, deserialize_with = "truth")]
    pub metered: bool,
    /// Address and UDP port where it answers keepers.
    #[serde(deserialize_with = "super::endpoint::deserialize")]
    pub endpoint: SocketAddr,
    /// Per GPU and hour.
    pub price: String,
    /// Bond for each GPU, if it is more than the market's minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<String>,
    /// Number of its description among the supplier's profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<u8>,
    /// Minutes after a lease until it can be leased again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turnaround: Option<u8>,
}

/// Parses true and false, also as spreadsheets write them. Empty means false.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "metered must be true or false")]
    enum Truth {
        Bool(bool),
        Text(String),
    }
    match Truth::deserialize(deserializer)? {
        Truth::Bool(truth) => Ok(truth),
        Truth::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" | "" => Ok(false),
            _ => Err(D::Error::custom("metered must be true or false")),
        },
    }
}

/// The machines as the program takes them. Two with one key would answer for each other.
pub fn machines(rows: &[Row<Entry>], market: &MarketView) -> Result<Vec<Machine>, Failure> {
    let mut keys = BTreeSet::new();
    let machine = |row: &Row<Entry>| {
        let wrong = |what: String| Failure::Input(format!("{}: {what}", row.place));
        let machine = row.entry.machine(market).map_err(|error| wrong(error.to_string()))?;
        if !keys.insert(machine.node_key) {
            return Err(wrong("another has the same node_key: give each its own".to_owned()));
        }
        Ok(machine)
    };
    rows.iter().map(machine).collect()
}

impl Entry {
    pub fn machine(&self, market: &MarketView) -> Result<Machine, Failure> {
        let input = |what: &str| Failure::Input(what.to_owned());
        let country: Country = self
            .country
            .parse()
            .map_err(|error| Failure::Input(format!("unknown country {}: {error}", quoted(&self.country))))?;
        let price = market.payment.parse(&self.price)?.amount;
        if price == 0 {
            return Err(input("the price is zero: give one"));
        }
        let bond = self.bond.as_deref().map(|bond| market.stake.parse(bond)).transpose()?;
        let bond = bond.map_or(0, |bond| bond.amount);
        if price.checked_mul(self.gpus.into()).is_none() {
            return Err(input("the price times the number of GPUs is too large: give a lower price"));
        }
        if self.profile.is_some_and(|profile| usize::from(profile) >= MAX_PROFILES) {
            return Err(input("a supplier's profiles have the numbers 0 to 63: give one of them"));
        }
        if self.gpus == 0 {
            return Err(input("it has no GPUs: give at least one"));
        }
        if self.endpoint.ip().is_unspecified() || self.endpoint.port() == 0 {
            return Err(input("the endpoint is unroutable: give the address and port at which it answers"));
        }
        let key = node_key(&self.node_key);
        let no_key = "invalid node_key: give the ed25519 key in base58 or 64 hex digits";
        Ok(Machine {
            slot: None,
            node_key: key.ok_or_else(|| input(no_key))?,
            traits: Traits {
                class: market.class(&self.class)?,
                gpus: self.gpus,
                speed: self.speed,
                country: country.0,
                region: self.region,
                flags: if self.metered { Traits::METERED } else { 0 },
            },
            endpoint: packed(self.endpoint),
            price,
            bond,
            profile: self.profile,
            turnaround: self.turnaround.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
pub mod tests {
    use solana_pubkey::Pubkey;

    use super::{
        super::rows::{FileFormat, parse},
        *,
    };
    use leasehold_operate::sample::view;

    /// A section of a file, of a machine whose key repeats a byte.
    pub fn section(key: u8) -> String {
        let key = Pubkey::new_from_array([key; 32]);
        format!(
            "[[machine]]\nnode_key = \"{key}\"\nclass = \"RTX 4090\"\ngpus = 2\nspeed = 3\ncountry = \"DE\"\n\
             region = 1\nendpoint = \"203.0.113.7:7000\"\nprice = \"0.35\"\n"
        )
    }

    pub fn machines(text: &str) -> Result<Vec<Machine>, Failure> {
        super::machines(&parse(text, FileFormat::Toml).unwrap(), &view())
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
            ("RTX 4090", "H100", "machine 2: unknown class \"H100\""),
            ("\"DE\"", "\"XX\"", "machine 2: unknown country \"XX\": give a code of ISO 3166-1"),
            ("0.35", "0.0000001", "machine 2: 0.0000001 has too many decimals"),
            ("0.35", "0", "machine 2: the price is zero"),
            ("gpus = 2", "gpus = 0", "machine 2: it has no GPUs"),
            (":7000", ":0", "machine 2: the endpoint is unroutable"),
            ("node_key = \"", "node_key = \"x", "machine 2: invalid node_key"),
        ] {
            let error = machines(&(section(4) + &section(5).replace(from, to))).unwrap_err();
            assert_eq!(error.code(), 2);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let twice = machines(&(section(4) + &section(4))).unwrap_err();
        assert!(twice.to_string().contains("another has the same node_key"), "{twice}");
        let unknown = parse::<Entry>(&section(4).replace("gpus", "gpu"), FileFormat::Toml).unwrap_err();
        assert!(unknown.contains("gpu"), "{unknown}");
    }

    const HEAD: &str = "node_key,class,gpus,speed,country,region,endpoint,price,metered";

    /// The machine of [`section`].
    fn line(key: [u8; 32], metered: &str) -> String {
        let key = Pubkey::new_from_array(key);
        format!("\n{key},RTX 4090,2,3,DE,1,203.0.113.7:7000,0.35,{metered}")
    }

    fn csv(text: &str) -> Result<Vec<Machine>, String> {
        let rows = parse(text, FileFormat::Csv)?;
        super::machines(&rows, &view()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_the_same_as_a_section() {
        let found = csv(&format!("{HEAD}{}", line([4; 32], ""))).unwrap();
        let expected = machines(&section(4)).unwrap();
        let [found, expected] = [&found[0], &expected[0]];
        assert_eq!(
            (found.node_key, found.traits, found.price),
            (expected.node_key, expected.traits, 350_000)
        );
        assert_eq!(found.endpoint.ip, expected.endpoint.ip);
        for (metered, expected) in [("true", 1), ("TRUE", 1), ("FALSE", 0), ("false", 0)] {
            let found = csv(&format!("{HEAD}{}", line([4; 32], metered))).unwrap();
            assert_eq!(found[0].traits.flags, expected * Traits::METERED, "{metered}");
        }
        let without = format!("{}{}", HEAD.replace(",metered", ""), line([4; 32], ""));
        assert_eq!(csv(without.trim_end_matches(',')).unwrap().len(), 1, "metered may be left out");
    }

    #[test]
    fn a_mistake_names_its_line() {
        for (from, to, expected) in [
            ("RTX 4090", "H100", "line 3: unknown class \"H100\""),
            ("RTX 4090,2", "RTX 4090,two", "line 3: gpus: \"two\" is not a whole number: give digits"),
            ("0.35", "0.0000001", "line 3: 0.0000001 has too many decimals"),
            ("0.35,", "0.35,maybe", "line 3: metered must be true or false"),
            (":7000", "", "line 3: endpoint: \"203.0.113.7\": it has no port: give"),
        ] {
            let text = format!("{HEAD}{}{}", line([4; 32], ""), line([5; 32], "").replace(from, to));
            let error = csv(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let twice = csv(&format!("{HEAD}{0}{0}", line([4; 32], ""))).unwrap_err();
        assert!(twice.starts_with("line 3: another has the same node_key"), "{twice}");
    }

    #[test]
    fn a_whole_board_of_machines_is_read() {
        let key = |number: u32| {
            let mut key = [9; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            key
        };
        let text: String = (0..6_144).map(|number| line(key(number), "")).collect();
        let found = csv(&format!("{HEAD}{text}")).unwrap();
        assert_eq!((found.len(), found[6_143].node_key), (6_144, key(6_143)));
    }
}
