//! Replies, streams and properties.

use wasmtime::{Caller, Linker};

use super::call::{Answer, Places, run};
use crate::state::VmState;
use crate::{Headers, Origin, Reply, Status};

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |caller: Caller<'_, VmState>,
         status: u32,
         details: u32,
         details_len: u32,
         body: u32,
         body_len: u32,
         headers: u32,
         headers_len: u32,
         grpc_status: i32| {
            run(caller, "proxy_send_local_response", Places::NONE, |call| {
                let status = call.number(status);
                call.bytes(details, details_len)?;
                let body = call.bytes(body, body_len)?;
                let mut headers = call.pairs(headers, headers_len)?;
                call.number(grpc_status);
                let vm = call.perform()?;
                for name in vm.settings.profile.last_of_reply_only {
                    headers.keep_last(name);
                }
                let lower_cases = vm.settings.profile.lower_cases_names;
                let reply = Reply {
                    origin: Origin::Plugin,
                    status: u16::try_from(status).map_err(|_| Status::BAD_ARGUMENT)?,
                    headers: if lower_cases { headers.lower_cased() } else { headers },
                    body,
                    trailers: Headers::default(),
                };
                // As in Envoy: outside a stream nobody is there to be answered.
                if let Some(stream) = vm.stream() {
                    stream.reply.get_or_insert(reply);
                }
                Answer::done()
            })
        },
    )?;
    linker.func_wrap("env", "proxy_continue_stream", |caller: Caller<'_, VmState>, kind: u32| {
        run(caller, "proxy_continue_stream", Places::NONE, |call| {
            let kind = call.number(kind);
            let vm = call.perform()?;
            match (kind, vm.stream()) {
                (0, Some(stream)) => stream.request.resume = true,
                (1, Some(stream)) => stream.response.resume = true,
                (0 | 1, None) => {}
                _ => return Err(Status::BAD_ARGUMENT.into()),
            }
            Answer::done()
        })
    })?;
    linker.func_wrap("env", "proxy_close_stream", |caller: Caller<'_, VmState>, kind: u32| {
        run(caller, "proxy_close_stream", Places::NONE, |call| {
            let kind = call.number(kind);
            let vm = call.perform()?;
            if kind > 3 {
                return Err(Status::BAD_ARGUMENT.into());
            }
            if let Some(stream) = vm.stream() {
                stream.closed = true;
            }
            Answer::done()
        })
    })?;
    define_properties(linker)
}

fn define_properties(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |caller: Caller<'_, VmState>, path: u32, path_len: u32, out: u32, out_len: u32| {
            run(caller, "proxy_get_property", Places::data(out, out_len), |call| {
                let path = dotted(call.read(path, path_len)?);
                call.note(|| crate::trace::shown(&path));
                let vm = call.perform()?;
                let of_host: Option<&[u8]> = match &*path {
                    b"plugin_root_id" | b"plugin_name" => Some(b"gate"),
                    b"plugin_vm_id" => Some(vm.process.vm_id.as_bytes()),
                    _ => None,
                };
                let value = match of_host {
                    Some(value) => Some(value.to_vec()),
                    None => vm.stream().and_then(|stream| stream.properties.get(&path).cloned()),
                };
                Ok(Answer::data(value.ok_or(Status::NOT_FOUND)?))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |caller: Caller<'_, VmState>, path: u32, path_len: u32, value: u32, value_len: u32| {
            run(caller, "proxy_set_property", Places::NONE, |call| {
                let path = dotted(call.read(path, path_len)?);
                call.note(|| crate::trace::shown(&path));
                let value = call.bytes(value, value_len)?;
                let stream = call.perform()?.stream().ok_or(Status::NOT_FOUND)?;
                stream.properties.insert(path, value);
                Answer::done()
            })
        },
    )?;
    Ok(())
}

/// The ABI separates a path's segments by NULs; here, and in tests, by dots.
fn dotted(path: Vec<u8>) -> Vec<u8> {
    let end = path.strip_suffix(b"\0").unwrap_or(&path);
    end.iter().map(|&byte| if byte == 0 { b'.' } else { byte }).collect()
}
