//! Data that the workers of a proxy share.
//!
//! Hosts differ in what a CAS of 0 means, and in what one does that fits nothing; what is
//! here works on both of the kinds that are known.
//!
//! All of it lies under names that begin with the [`LAYOUT`]. Two versions of the plugin with one
//! layout, as they run side by side while Envoy changes from one to the other, are workers of one
//! process. With two layouts they are two processes that share nothing, and the newer one ends the
//! older one's memory (`replay`), as what was used there would be unknown here.

#[cfg(test)]
pub(crate) mod model;

use crate::fault::{HostFault, Place, Problem};
use crate::host;
use alloc::string::String;
use alloc::vec::Vec;

/// What every name begins with. Whatever changes in the form of a value, in where it stands, or in
/// what a secret of the process is made into, needs the next number here; the present one then goes
/// to [`EARLIER`].
pub(crate) const LAYOUT: &str = "portcullis.2.";

/// The layout before. Its records are delivered, as they have the form that they have here, and
/// its memory of what was used is ended. A change of records' own form must either keep a reader of
/// the earlier one, or say in its notes that what waits is lost.
pub(crate) const EARLIER: &str = "portcullis.1.";

/// A name of this layout.
pub(crate) fn name(part: &str) -> String {
    [LAYOUT, part].concat()
}

/// A CAS that no value has: hosts count them up from 1, with each write of any value.
/// 0 would overwrite blindly on Envoy.
pub(crate) const NO_CAS: u32 = u32::MAX;

pub(crate) const NOT_FOUND: u32 = 1;
pub(crate) const CAS_MISMATCH: u32 = 8;

/// What workers share, as far as it is needed here.
pub(crate) trait Store {
    /// A value and its CAS.
    fn get(&mut self, name: &str) -> Result<(Vec<u8>, u32), HostFault>;
    /// Writes a value if its CAS is still this one.
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Result<(), HostFault>;
    /// Fills in randomness.
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), HostFault>;
}

/// What the proxy shares.
#[derive(Debug)]
pub(crate) struct HostStore;

impl Store for HostStore {
    fn get(&mut self, name: &str) -> Result<(Vec<u8>, u32), HostFault> {
        host::shared(name)
    }

    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Result<(), HostFault> {
        host::set_shared(name, value, cas)
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), HostFault> {
        host::random(bytes)
    }
}

/// A value and its CAS, if there is one.
pub(crate) fn get(store: &mut impl Store, name: &str) -> Result<Option<(Vec<u8>, u32)>, HostFault> {
    match store.get(name) {
        Err(fault) if fault.status() == Some(NOT_FOUND) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Whether it was written; otherwise somebody else was first.
pub(crate) fn set(store: &mut impl Store, name: &str, value: &[u8], cas: u32) -> Result<bool, HostFault> {
    match store.set(name, value, cas) {
        Err(fault) if fault.status() == Some(CAS_MISMATCH) => Ok(false),
        answer => answer.map(|()| true),
    }
}

/// Sees to it that there is a value, of whoever was first. On Envoy, a CAS that does not
/// fit creates what is missing and spares what is there. On nginx it never writes, and 0
/// creates what is missing. On Envoy the second step cannot come, as no value is ever
/// lost there.
pub(crate) fn create(store: &mut impl Store, name: &str, value: &[u8]) -> Result<(), HostFault> {
    if !set(store, name, value, NO_CAS)? && get(store, name)?.is_none() {
        set(store, name, value, 0)?;
    }
    Ok(())
}

/// Writes a value in the place of what was read with this CAS, `None` for nothing. Whether it was
/// written; otherwise somebody else was first. Of nothing, on Envoy the first of the two steps
/// makes something, on nginx the second.
pub(crate) fn replace(
    store: &mut impl Store,
    name: &str,
    value: &[u8],
    cas: Option<u32>,
) -> Result<bool, HostFault> {
    match cas {
        // That would be blindly, on Envoy.
        Some(0) => Err(HostFault::new(Place::GetSharedData, Problem::NoCas)),
        Some(cas) => set(store, name, value, cas),
        None => {
            Ok(set(store, name, value, NO_CAS)?
                || (get(store, name)?.is_none() && set(store, name, value, 0)?))
        }
    }
}

/// Writes a value over whatever is there. Whether it was written; otherwise somebody else
/// writes there too. On Envoy the first step does it; on nginx that only creates.
pub(crate) fn put(store: &mut impl Store, name: &str, value: &[u8]) -> Result<bool, HostFault> {
    if set(store, name, value, 0)? {
        return Ok(true);
    }
    match get(store, name)? {
        Some((_, cas)) => set(store, name, value, cas),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_wasm::types::Status;

    #[test]
    fn whoever_changes_the_form_of_a_page_is_reminded_of_the_layout() {
        use portcullis_core::{CounterPage, ReplayPage, spend::Leases};
        let pages = [ReplayPage::LAYOUT, CounterPage::LAYOUT, Leases::LAYOUT];
        assert_eq!((LAYOUT, pages), ("portcullis.2.", [2, 1, 1]), "pages and their names change together");
        assert_ne!(LAYOUT, EARLIER);
        assert_eq!(name("probe"), "portcullis.2.probe");
    }

    #[test]
    fn our_numbers_of_statuses_are_the_sdks() {
        assert_eq!(NOT_FOUND, Status::NotFound as u32);
        assert_eq!(CAS_MISMATCH, Status::CasMismatch as u32);
    }
}
