use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::call::{Answer, Places, run};
use crate::state::VmState;
use crate::{HttpCall, Status};

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |caller: Caller<'_, VmState>,
         upstream: u32,
         upstream_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         trailers: u32,
         trailers_len: u32,
         timeout: u32,
         token: u32| {
            run(caller, "proxy_http_call", Places::u32(token), |call| {
                let upstream = call.bytes(upstream, upstream_len)?;
                let headers = call.pairs(headers, headers_len)?;
                let body = call.bytes(body, body_len)?;
                let trailers = call.pairs(trailers, trailers_len)?;
                let timeout = Duration::from_millis(call.number(timeout).into());
                let vm = call.perform()?;
                let upstream = String::from_utf8_lossy(&upstream).into_owned();
                let known = vm.settings.clusters.as_ref().is_none_or(|names| names.contains(&upstream));
                let complete = [":method", ":path", ":authority"].iter().all(|name| headers.has(name));
                if !known || !complete {
                    return Err(Status::BAD_ARGUMENT.into());
                }
                let token = vm.last_token.checked_add(1).ok_or(Status::INTERNAL_FAILURE)?;
                vm.last_token = token;
                vm.http_calls.insert(token, HttpCall { token, upstream, headers, body, trailers, timeout });
                Ok(Answer::number(token))
            })
        },
    )?;
    Ok(())
}
