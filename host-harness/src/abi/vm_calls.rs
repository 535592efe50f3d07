//! Logging, time, ticks, contexts, and the calls that this host does not have.

use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::call::{Answer, Places, run};
use crate::state::VmState;
use crate::{LogLevel, Status};

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_log",
        |caller: Caller<'_, VmState>, level: u32, message: u32, length: u32| {
            run(caller, "proxy_log", Places::NONE, |call| {
                let level = LogLevel::from_abi(level).ok_or(Status::BAD_ARGUMENT)?;
                call.note(|| level.to_string());
                let message = call.bytes(message, length)?;
                call.perform()?.log(level, &String::from_utf8_lossy(&message));
                Answer::done()
            })
        },
    )?;
    linker.func_wrap("env", "proxy_get_log_level", |caller: Caller<'_, VmState>, level: u32| {
        run(caller, "proxy_get_log_level", Places::u32(level), |call| {
            Ok(Answer::number(call.perform()?.settings.log_level as u32))
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |caller: Caller<'_, VmState>, time: u32| {
            run(caller, "proxy_get_current_time_nanoseconds", Places::u64(time), |call| {
                Ok(Answer::number(call.perform()?.process.now()))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |caller: Caller<'_, VmState>, period: u32| {
            run(caller, "proxy_set_tick_period_milliseconds", Places::NONE, |call| {
                let period = call.number(period);
                let period = Duration::from_millis(period.into());
                call.perform()?.tick_period = (!period.is_zero()).then_some(period);
                Answer::done()
            })
        },
    )?;
    linker.func_wrap("env", "proxy_set_effective_context", |caller: Caller<'_, VmState>, context: u32| {
        run(caller, "proxy_set_effective_context", Places::NONE, |call| {
            let context = call.number(context);
            let vm = call.perform()?;
            if context != crate::state::ROOT && !vm.streams.contains_key(&context) {
                return Err(Status::BAD_ARGUMENT.into());
            }
            vm.effective = Some(context);
            Answer::done()
        })
    })?;
    linker.func_wrap("env", "proxy_done", |caller: Caller<'_, VmState>| {
        run(caller, "proxy_done", Places::NONE, |call| {
            // No context of this host waits for it: streams end when the host says so.
            call.perform()?;
            Answer::done()
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_status",
        |caller: Caller<'_, VmState>, code: u32, message: u32, length: u32| {
            run(caller, "proxy_get_status", Places::data_and_u32(message, length, code), |call| {
                call.perform()?;
                Ok(Answer { data: Some(Vec::new()), number: Some(0), ..Answer::default() })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |caller: Caller<'_, VmState>,
         name: u32,
         name_len: u32,
         args: u32,
         args_len: u32,
         out: u32,
         out_len: u32| {
            run(caller, "proxy_call_foreign_function", Places::data(out, out_len), |call| {
                call.bytes(name, name_len)?;
                call.bytes(args, args_len)?;
                call.perform()?;
                Err(Status::NOT_FOUND.into())
            })
        },
    )?;
    define_grpc(linker)
}

/// No gRPC here: every call answers `Unimplemented`.
fn define_grpc(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    fn none(caller: Caller<'_, VmState>, name: &'static str, places: Places) -> wasmtime::Result<u32> {
        run(caller, name, places, |call| {
            call.perform()?;
            Err(Status::UNIMPLEMENTED.into())
        })
    }
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |caller: Caller<'_, VmState>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         token: u32| none(caller, "proxy_grpc_call", Places::u32(token)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |caller: Caller<'_, VmState>,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         token: u32| none(caller, "proxy_grpc_stream", Places::u32(token)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |caller: Caller<'_, VmState>, _: u32, _: u32, _: u32, _: u32| {
            none(caller, "proxy_grpc_send", Places::NONE)
        },
    )?;
    linker.func_wrap("env", "proxy_grpc_cancel", |caller: Caller<'_, VmState>, _: u32| {
        none(caller, "proxy_grpc_cancel", Places::NONE)
    })?;
    linker.func_wrap("env", "proxy_grpc_close", |caller: Caller<'_, VmState>, _: u32| {
        none(caller, "proxy_grpc_close", Places::NONE)
    })?;
    Ok(())
}
