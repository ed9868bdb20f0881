//! Selection of the endpoints to probe: suppliers choose them, so they are not trusted.

use std::net::{IpAddr, SocketAddr};

use leasehold_client::network::is_public;

/// The address to probe; `None` if it must not be.
pub(super) fn probeable(endpoint: SocketAddr, allow_private: bool) -> Option<SocketAddr> {
    let ip = endpoint.ip().to_canonical();
    let possible = endpoint.port() != 0
        && match ip {
            IpAddr::V4(v4) => v4.octets()[0] != 0 && !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
        };
    (possible && (is_public(ip) || allow_private)).then(|| SocketAddr::new(ip, endpoint.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(endpoint: &str, allow_private: bool) -> bool {
        probeable(endpoint.parse().unwrap(), allow_private).is_some()
    }

    #[test]
    fn public_addresses_are_probed() {
        for endpoint in
            ["1.1.1.1:53", "198.20.0.1:9", "100.128.0.1:1", "[2606:4700::1]:8470", "[2001:4860::1]:1"]
        {
            assert!(allowed(endpoint, false), "{endpoint}");
        }
    }

    #[test]
    fn private_addresses_are_probed_only_if_allowed() {
        for endpoint in [
            "127.0.0.1:1",
            "10.0.0.1:1",
            "172.16.0.1:1",
            "192.168.1.1:1",
            "169.254.169.254:80",
            "100.64.0.1:1",
            "198.18.0.1:1",
            "192.0.2.1:1",
            "192.0.0.8:1",
            "240.0.0.1:1",
            "[::1]:1",
            "[fc00::1]:1",
            "[fe80::1]:1",
            "[2001:db8::1]:1",
            "[3fff::1]:1",
            "[2002:7f00:1::]:1",
            "[2001::1]:1",
            "[64:ff9b::7f00:1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(!allowed(endpoint, false), "{endpoint}");
            assert!(allowed(endpoint, true), "{endpoint}");
        }
    }

    #[test]
    fn addresses_of_no_host_are_never_probed() {
        for endpoint in [
            "0.0.0.0:1",
            "0.1.2.3:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "1.1.1.1:0",
            "[::]:1",
            "[ff02::1]:1",
            "[::1]:0",
            "[::ffff:0.0.0.0]:1",
            "[::ffff:239.1.1.1]:1",
        ] {
            assert!(!allowed(endpoint, true), "{endpoint}");
        }
    }

    #[test]
    fn a_mapped_address_is_sent_to_as_ipv4() {
        assert_eq!(
            probeable("[::ffff:1.1.1.1]:7".parse().unwrap(), false),
            Some("1.1.1.1:7".parse().unwrap())
        );
    }
}
