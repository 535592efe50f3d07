//! Loopback ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};

/// Free loopback addresses, all different. They are free when this returns;
/// whoever takes them must still be ready to find one taken.
pub fn free<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::with_capacity(N);
    let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut found {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(found)
}

/// `wished` on loopback if nobody has it, any free one otherwise.
pub fn free_or(wished: u16) -> Result<SocketAddr> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, wished)) {
        Ok(listener) => Ok(listener.local_addr()?),
        Err(_) => free::<1>().map(|[address]| address),
    }
}
