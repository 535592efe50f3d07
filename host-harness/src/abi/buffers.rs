//! Bodies and configuration.

use wasmtime::{Caller, Linker};

use super::call::{Answer, Places, Refusal, run};
use crate::Status;
use crate::state::VmState;

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |caller: Caller<'_, VmState>, kind: u32, start: u32, size: u32, out: u32, out_len: u32| {
            run(caller, "proxy_get_buffer_bytes", Places::data(out, out_len), |call| {
                let kind = Kind::from_abi(kind)?;
                call.note(|| format!("{kind:?}"));
                let (start, size) = (call.number(start), call.number(size));
                let bytes = readable(call.perform()?, kind)?;
                start.checked_add(size).ok_or(Status::BAD_ARGUMENT)?;
                let wanted = bytes.iter().skip(as_usize(start)).take(as_usize(size));
                let wanted: Vec<u8> = wanted.copied().collect();
                // As in Envoy: with nothing to give, the return places stay untouched.
                Ok(if wanted.is_empty() { Answer::default() } else { Answer::data(wanted) })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |caller: Caller<'_, VmState>, kind: u32, start: u32, size: u32, data: u32, length: u32| {
            run(caller, "proxy_set_buffer_bytes", Places::NONE, |call| {
                let kind = Kind::from_abi(kind)?;
                call.note(|| format!("{kind:?}"));
                let (start, size) = (call.number(start), call.number(size));
                let data = call.bytes(data, length)?;
                replace(body(call.perform()?, kind)?, as_usize(start), as_usize(size), data)?;
                Answer::done()
            })
        },
    )?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    HttpRequestBody,
    HttpResponseBody,
    HttpCallResponseBody,
    VmConfiguration,
    PluginConfiguration,
    /// Network and gRPC data, which this host never has.
    Other,
}

impl Kind {
    fn from_abi(kind: u32) -> Result<Self, Status> {
        Ok(match kind {
            0 => Self::HttpRequestBody,
            1 => Self::HttpResponseBody,
            4 => Self::HttpCallResponseBody,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            2 | 3 | 5 | 8 => Self::Other,
            _ => return Err(Status::BAD_ARGUMENT),
        })
    }
}

fn readable(vm: &mut VmState, kind: Kind) -> Result<Vec<u8>, Refusal> {
    let spool = vm.settings.profile.spools_bodies_above;
    match kind {
        Kind::VmConfiguration => Ok(vm.settings.vm_configuration.clone()),
        Kind::PluginConfiguration if vm.configuring => Ok(vm.settings.configuration.clone()),
        Kind::HttpCallResponseBody => {
            vm.http_response.as_ref().map(|response| response.body.concat()).ok_or(Status::NOT_FOUND.into())
        }
        Kind::HttpRequestBody => {
            let body = body(vm, kind)?;
            let on_disk = spool.is_some_and(|limit| body.len() > limit);
            Ok(if on_disk { Vec::new() } else { body.clone() })
        }
        Kind::HttpResponseBody => Ok(body(vm, kind)?.clone()),
        Kind::PluginConfiguration | Kind::Other => Err(Status::NOT_FOUND.into()),
    }
}

fn body(vm: &mut VmState, kind: Kind) -> Result<&mut Vec<u8>, Status> {
    let stream = vm.stream().ok_or(Status::NOT_FOUND)?;
    match kind {
        Kind::HttpRequestBody => Ok(&mut stream.request.body),
        Kind::HttpResponseBody => Ok(&mut stream.response.body),
        _ => Err(Status::BAD_ARGUMENT),
    }
}

/// Envoy's rules: from the start, `size` bytes are replaced; behind the end,
/// data is appended; anything else is refused.
fn replace(body: &mut Vec<u8>, start: usize, size: usize, data: Vec<u8>) -> Result<(), Status> {
    if start == 0 {
        let replaced = size.min(body.len());
        body.splice(..replaced, data);
        Ok(())
    } else if start >= body.len() {
        body.extend_from_slice(&data);
        Ok(())
    } else {
        Err(Status::BAD_ARGUMENT)
    }
}

fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
