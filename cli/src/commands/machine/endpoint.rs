//! A machine's endpoint: address and port.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use leasehold::state::Endpoint;
use leasehold_client::network::{is_documentation, is_public};
use leasehold_operate::text::quoted;
use serde::{Deserialize, Deserializer, de::Error};

/// Reads an IP address and port. A board keeps no names of hosts.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    let give = "give an IP address and a port, for example 203.0.113.7:7000 or [2001:db8::7]:7000";
    if let Ok(endpoint) = text.parse() {
        return Ok(endpoint);
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    let is_address = text.parse::<IpAddr>().is_ok();
    let is_name =
        host.contains(|character: char| character.is_ascii_alphabetic()) && !host.contains([':', '[']);
    Err(match (is_address, is_name) {
        (true, _) => format!("it has no port: {give}"),
        (_, true) => format!("host names are not supported: {give}"),
        _ => give.to_owned(),
    })
}

/// The endpoint as the program takes it.
pub fn packed(address: SocketAddr) -> Endpoint {
    let ip = match address.ip() {
        // The program refuses it.
        ip if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED,
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    Endpoint { ip: ip.octets(), port: address.port().to_le_bytes() }
}

/// The endpoint as a board has it.
pub fn address(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(IpAddr::from(Ipv6Addr::from(endpoint.ip)).to_canonical(), endpoint.port())
}

/// True if an address is private, loopback or unroutable. Addresses of documentation are not counted.
pub fn is_astray(ip: IpAddr) -> bool {
    !is_public(ip) && !is_documentation(ip)
}

/// Reads it from a file.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(|error| D::Error::custom(format!("endpoint: {}: {error}", quoted(&text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_or_a_missing_port_is_named_in_the_error() {
        assert_eq!(parse("203.0.113.7:7000").unwrap().port(), 7_000);
        assert!(parse("[2001:db8::7]:7000").is_ok());
        for (text, expected) in [
            ("gpu.example.com:7000", "host names are not supported"),
            ("localhost", "host names are not supported"),
            ("203.0.113.7", "it has no port"),
            ("2001:db8::7", "it has no port"),
            ("203.0.113.7:70000", "give an IP address"),
            ("[2001:db8::7]", "give an IP address"),
            ("", "give an IP address"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.starts_with(expected) && error.contains("for example 203.0.113.7:7000"),
                "{text}: {error}"
            );
        }
    }
}
