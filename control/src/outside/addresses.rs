//! Which addresses are of the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is a host's of the public Internet, by IANA's registries of special
/// purposes (RFC 6890). What embeds an IPv4 address, as NAT64, 6to4 and Teredo do, is not:
/// it would be another way to the address inside.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !is_within_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

/// The IPv4 networks that are not.
const SPECIAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];

/// The networks within 2000::/3 that are not: IETF protocols with Teredo and benchmarking,
/// documentation twice, 6to4.
const SPECIAL_V6: [([u16; 2], u32); 4] =
    [([0x2001, 0], 23), ([0x2001, 0x0db8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

fn is_within_v4(address: Ipv4Addr) -> bool {
    SPECIAL_V4.iter().any(|(network, length)| {
        let differs = u32::from(address) ^ u32::from(Ipv4Addr::from(*network));
        differs.leading_zeros() >= *length
    })
}

/// IANA has given out 2000::/3 and nothing else, so that every form with an IPv4 address
/// in it, unique-local, link-local and multicast addresses are outside of it.
fn is_global_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let beginning = u32::from(first) << 16 | u32::from(second);
    let is_special = |(network, length): &([u16; 2], u32)| {
        let [first, second] = *network;
        (beginning ^ (u32::from(first) << 16 | u32::from(second))).leading_zeros() >= *length
    };
    first & 0xe000 == 0x2000 && !SPECIAL_V6.iter().any(is_special)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_inside_is_refused() {
        let inside = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ];
        for text in inside {
            assert!(!is_global(text.parse().unwrap()), "{text} passes");
        }
    }

    #[test]
    fn public_addresses_up_to_the_borders_pass() {
        let outside = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700:4700::1111",
            "2a00::1",
            "3ffe::1",
            "3fff:1000::1",
        ];
        for text in outside {
            assert!(is_global(text.parse().unwrap()), "{text} is refused");
        }
    }
}
