//! An IP address as text, in place: it is written twice a request.

use std::{
    io::{Cursor, Write},
    net::{IpAddr, Ipv4Addr},
};

/// The longest is an IPv4 address mapped into IPv6.
const LONGEST: usize = 45;

/// The text of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    text: [u8; LONGEST],
    len: u8,
}

impl Address {
    pub(super) fn of(address: IpAddr) -> Self {
        let mut text = [0; LONGEST];
        let len = match address {
            IpAddr::V4(address) => dotted(&mut text, address),
            IpAddr::V6(address) => {
                let mut cursor = Cursor::new(text.as_mut_slice());
                // There is room for every address.
                write!(cursor, "{address}").ok();
                u8::try_from(cursor.position()).unwrap_or_default()
            }
        };
        Self { text, len }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_ref()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Address {
    fn as_ref(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Writes `192.0.2.7`, without the machinery of formatting.
fn dotted(text: &mut [u8; LONGEST], address: Ipv4Addr) -> u8 {
    let mut places = text.iter_mut();
    let mut len = 0;
    let mut put = |byte| {
        if let Some(place) = places.next() {
            (*place, len) = (byte, len + 1);
        }
    };
    for (n, octet) in address.octets().into_iter().enumerate() {
        if n > 0 {
            put(b'.');
        }
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
    }
    len
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_as_ever(address in any::<IpAddr>()) {
            let text = Address::of(address);
            prop_assert_eq!(text.as_str(), address.to_string());
        }
    }

    #[test]
    fn the_longest_fits() {
        let address: IpAddr = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        assert_eq!(Address::of(address).as_str(), address.to_string());
        let mapped: IpAddr = "::ffff:255.255.255.255".parse().unwrap();
        assert_eq!(Address::of(mapped).as_str(), mapped.to_string());
    }
}
