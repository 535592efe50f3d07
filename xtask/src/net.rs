//! Loopback ports.

use std::collections::hash_map::RandomState;
use std::fs::{File, TryLockError};
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// Below what systems give to connections and to listeners that name no port (Linux from 32,768
/// on, macOS and Windows from 49,152 on), so that none of those takes a port between its choice
/// and its use; and above the ports that services are known by.
const PORTS: Range<u16> = 20_000..32_000;

/// Ports of this process, for as long as it lives.
static LEASES: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Free loopback addresses, all different. No other process that asks here is given them while
/// this one lives.
///
/// # Errors
/// Every port is taken.
pub fn free<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut found {
        *address = lease().context("no free port on 127.0.0.1")?;
    }
    Ok(found)
}

/// `wished` on loopback if nobody has it, any free one otherwise.
///
/// # Errors
/// As [`free`].
pub fn free_or(wished: u16) -> Result<SocketAddr> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, wished)) {
        Ok(listener) => Ok(listener.local_addr()?),
        Err(_) => free::<1>().map(|[address]| address),
    }
}

fn lease() -> Option<SocketAddr> {
    let folder = std::env::temp_dir().join("portcullis-ports");
    let mut leases = LEASES.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes begin at ports of their own: they seldom meet.
    let [.., high, low] = RandomState::new().hash_one(()).to_be_bytes();
    for port in PORTS.cycle().skip(usize::from(u16::from_be_bytes([high, low]))).take(PORTS.len()) {
        // A folder that cannot be written to, another user's, is no reason to have no port.
        let lock =
            std::fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(port.to_string())));
        if let Ok(file) = &lock
            && matches!(file.try_lock(), Err(TryLockError::WouldBlock))
        {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            leases.extend(lock);
            return listener.local_addr().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_port_is_given_once_though_nobody_listens_there_yet() {
        let given: HashSet<_> = (0..200).flat_map(|_| free::<2>().unwrap()).collect();
        assert_eq!(given.len(), 400);
        assert!(given.iter().all(|address| PORTS.contains(&address.port())));
    }

    #[test]
    fn a_port_with_a_listener_is_not_given() {
        let [address] = free().unwrap();
        let _listener = TcpListener::bind(address).unwrap();
        assert_ne!(free_or(address.port()).unwrap(), address);
    }
}
