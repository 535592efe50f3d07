//! The host's side of the proxy-wasm ABI 0.2.1 and of the few WASI calls that
//! a plugin built for `wasm32-wasip1` makes.

mod buffers;
mod call;
mod data;
mod header_maps;
mod http;
mod pairs;
mod random;
mod streams;
mod vm_calls;
mod wasi;

pub(crate) use random::Random;

use wasmtime::Linker;

use crate::HostProfile;
use crate::state::VmState;

/// Defines every host call of a host with this profile.
pub(crate) fn define(linker: &mut Linker<VmState>, profile: &HostProfile) -> wasmtime::Result<()> {
    vm_calls::define(linker)?;
    buffers::define(linker)?;
    header_maps::define(linker)?;
    data::define(linker)?;
    streams::define(linker)?;
    http::define(linker)?;
    if profile.metrics {
        data::define_metrics(linker)?;
    }
    wasi::define(linker)
}
