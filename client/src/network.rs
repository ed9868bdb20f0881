//! Classifies IP addresses that other parties choose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// True if an address is globally reachable according to the registry of RFC 6890 and not reserved for documentation.
/// IPv4 addresses mapped into IPv6 are judged as IPv4.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// True if an address is reserved for documentation.
pub fn is_documentation(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_documentation(),
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            (first == 0x2001 && second == 0xdb8) || (first == 0x3fff && second & 0xf000 == 0)
        }
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let benchmark = a == 198 && b & 0xfe == 18;
    let protocol = a == 192 && b == 0 && c == 0;
    let local = ip.is_private() || ip.is_loopback() || ip.is_link_local() || a == 0;
    !(local || is_documentation(ip.into()) || shared || benchmark || protocol || a >= 224)
}

/// Global unicast, 2000::/3, without documentation, 6to4 and Teredo: the last two embed IPv4 addresses that may be
/// private.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let carries_v4 = first == 0x2002 || (first == 0x2001 && second == 0);
    first & 0xe000 == 0x2000 && !is_documentation(ip.into()) && !carries_v4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_globally_reachable_addresses_are_public() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for public in
            ["1.1.1.1", "198.20.0.1", "100.128.0.1", "223.255.255.255", "2606:4700::1", "::ffff:1.1.1.1"]
        {
            assert!(is_public(ip(public)) && !is_documentation(ip(public)), "{public}");
        }
        for other in [
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001::1",
            "64:ff9b::7f00:1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_public(ip(other)) && !is_documentation(ip(other)), "{other}");
        }
        for example in
            ["192.0.2.1", "198.51.100.7", "203.0.113.7", "2001:db8::1", "3fff::1", "::ffff:203.0.113.7"]
        {
            assert!(!is_public(ip(example)) && is_documentation(ip(example)), "{example}");
        }
    }
}
