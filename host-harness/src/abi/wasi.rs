//! The calls of `wasi_snapshot_preview1` that a Rust plugin makes.

use wasmtime::{Caller, Linker};

use super::call::{Answer, Call, Refusal, run_wasi};
use crate::state::VmState;
use crate::trap::Exited;
use crate::{LogLevel, Status};

const MODULE: &str = "wasi_snapshot_preview1";

/// Bad file descriptor.
const EBADF: Status = Status(8);
/// Input/output error.
const EIO: Status = Status(29);
/// Not supported.
const ENOTSUP: Status = Status(58);

/// The most that one `random_get` gives, in bytes; a seed or a key is 32.
const LONGEST_RANDOM: u32 = 64 * 1024;

/// The most parts that one `fd_write` may have: what the standard library uses
/// for a formatted line is far less.
const MOST_PARTS: u32 = 1024;

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "environ_sizes_get", |caller: Caller<'_, VmState>, count: u32, size: u32| {
        run_wasi(caller, "environ_sizes_get", |call| {
            let variables = variables(call.perform()?);
            let bytes: usize = variables.iter().map(Vec::len).sum();
            let sizes = [(count, variables.len()), (size, bytes)];
            Ok(writes(sizes.map(|(place, number)| (place, small(number).to_le_bytes().to_vec()))))
        })
    })?;
    linker.func_wrap(MODULE, "environ_get", |caller: Caller<'_, VmState>, pointers: u32, buffer: u32| {
        run_wasi(caller, "environ_get", |call| {
            let variables = variables(call.perform()?);
            let mut addresses = Vec::new();
            let mut address = buffer;
            for variable in &variables {
                addresses.extend_from_slice(&address.to_le_bytes());
                address = address.wrapping_add(small(variable.len()));
            }
            Ok(writes([(pointers, addresses), (buffer, variables.concat())]))
        })
    })?;
    linker.func_wrap(
        MODULE,
        "fd_write",
        |caller: Caller<'_, VmState>, file: u32, parts: u32, count: u32, written: u32| {
            run_wasi(caller, "fd_write", |call| {
                let file = call.number(file);
                let level = match file {
                    1 => LogLevel::Info,
                    2 => LogLevel::Error,
                    _ => return Err(EBADF.into()),
                };
                let text = gather(call, parts, count)?;
                call.note(|| crate::trace::shown(&text));
                let vm = call.perform()?;
                let line = text.strip_suffix(b"\n").unwrap_or(&text);
                vm.log(level, &String::from_utf8_lossy(line));
                Ok(writes([(written, small(text.len()).to_le_bytes().to_vec())]))
            })
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |caller: Caller<'_, VmState>, buffer: u32, length: u32| {
        run_wasi(caller, "random_get", |call| {
            let length = call.number(length);
            let vm = call.perform()?;
            let mut bytes = vec![0; usize::try_from(length.min(LONGEST_RANDOM)).unwrap_or_default()];
            if length > LONGEST_RANDOM || !vm.random.fill(&mut bytes) {
                return Err(EIO.into());
            }
            Ok(writes([(buffer, bytes)]))
        })
    })?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |caller: Caller<'_, VmState>, clock: u32, _precision: u64, time: u32| {
            run_wasi(caller, "clock_time_get", |call| {
                // As in Envoy, only the real-time clock.
                if call.number(clock) != 0 {
                    return Err(ENOTSUP.into());
                }
                let now = call.perform()?.process.now();
                Ok(writes([(time, now.to_le_bytes().to_vec())]))
            })
        },
    )?;
    linker
        .func_wrap(MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> { Err(Exited(code).into()) })?;
    Ok(())
}

/// `NAME=value` with a NUL behind it.
fn variables(vm: &VmState) -> Vec<Vec<u8>> {
    let seen = vm.settings.environment.iter().filter(|_| vm.settings.profile.environment);
    seen.map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn gather(call: &mut Call<'_>, parts: u32, count: u32) -> Result<Vec<u8>, Refusal> {
    let table = call.read(parts, count.min(MOST_PARTS).saturating_mul(8))?;
    let mut text = Vec::new();
    for part in table.chunks_exact(8) {
        let (address, length) = part.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let length = length.first_chunk::<4>().unwrap_or(&[0; 4]);
        text.extend(call.read(u32::from_le_bytes(*address), u32::from_le_bytes(*length))?);
    }
    Ok(text)
}

fn writes<const N: usize>(writes: [(u32, Vec<u8>); N]) -> Answer {
    Answer { writes: writes.into(), ..Answer::default() }
}

/// Sizes inside a 32-bit memory fit.
fn small(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
