//! What VMs share: data, queues, metrics.

use wasmtime::{Caller, Linker};

use super::call::{Answer, Places, run};
use crate::Status;
use crate::host::lock;
use crate::state::VmState;

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |caller: Caller<'_, VmState>, key: u32, key_len: u32, out: u32, out_len: u32, cas: u32| {
            run(caller, "proxy_get_shared_data", Places::data_and_u32(out, out_len, cas), |call| {
                let key = call.bytes(key, key_len)?;
                let data = lock(&call.perform()?.process.data);
                let (value, cas) = data.get(&key).ok_or(Status::NOT_FOUND)?;
                Ok(Answer { data: Some(value.to_vec()), number: Some(cas.into()), ..Answer::default() })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |caller: Caller<'_, VmState>, key: u32, key_len: u32, value: u32, value_len: u32, cas: u32| {
            run(caller, "proxy_set_shared_data", Places::NONE, |call| {
                let key = call.bytes(key, key_len)?;
                let bytes = call.bytes(value, value_len)?;
                let cas = call.number(cas);
                let value = (value != 0).then_some(bytes);
                lock(&call.perform()?.process.data).set(&key, value, cas)?;
                Answer::done()
            })
        },
    )?;
    define_queues(linker)
}

fn define_queues(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |caller: Caller<'_, VmState>, name: u32, name_len: u32, token: u32| {
            run(caller, "proxy_register_shared_queue", Places::u32(token), |call| {
                let name = call.bytes(name, name_len)?;
                let vm = call.perform()?;
                Ok(Answer::number(lock(&vm.process.queues).register(&name, vm.number)))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |caller: Caller<'_, VmState>, vm_id: u32, vm_id_len: u32, name: u32, name_len: u32, token: u32| {
            run(caller, "proxy_resolve_shared_queue", Places::u32(token), |call| {
                let (vm_id, name) = (call.bytes(vm_id, vm_id_len)?, call.bytes(name, name_len)?);
                let vm = call.perform()?;
                if !vm_id.is_empty() && vm_id != vm.process.vm_id.as_bytes() {
                    return Err(Status::NOT_FOUND.into());
                }
                let token = lock(&vm.process.queues).resolve(&name).ok_or(Status::NOT_FOUND)?;
                Ok(Answer::number(token))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |caller: Caller<'_, VmState>, token: u32, data: u32, length: u32| {
            run(caller, "proxy_enqueue_shared_queue", Places::NONE, |call| {
                let token = call.number(token);
                let data = call.bytes(data, length)?;
                lock(&call.perform()?.process.queues).enqueue(token, data)?;
                Answer::done()
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |caller: Caller<'_, VmState>, token: u32, out: u32, out_len: u32| {
            run(caller, "proxy_dequeue_shared_queue", Places::data(out, out_len), |call| {
                let token = call.number(token);
                Ok(Answer::data(lock(&call.perform()?.process.queues).dequeue(token)?))
            })
        },
    )?;
    Ok(())
}

pub(super) fn define_metrics(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |caller: Caller<'_, VmState>, kind: u32, name: u32, name_len: u32, id: u32| {
            run(caller, "proxy_define_metric", Places::u32(id), |call| {
                let kind = call.number(kind);
                let name = call.bytes(name, name_len)?;
                Ok(Answer::number(lock(&call.perform()?.process.metrics).define(kind, &name)?))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_increment_metric",
        |caller: Caller<'_, VmState>, id: u32, offset: i64| {
            run(caller, "proxy_increment_metric", Places::NONE, |call| {
                let (id, offset) = (call.number(id), call.number(offset));
                lock(&call.perform()?.process.metrics).increment(id, offset)?;
                Answer::done()
            })
        },
    )?;
    linker.func_wrap("env", "proxy_record_metric", |caller: Caller<'_, VmState>, id: u32, value: u64| {
        run(caller, "proxy_record_metric", Places::NONE, |call| {
            let (id, value) = (call.number(id), call.number(value));
            lock(&call.perform()?.process.metrics).record(id, value)?;
            Answer::done()
        })
    })?;
    linker.func_wrap("env", "proxy_get_metric", |caller: Caller<'_, VmState>, id: u32, out: u32| {
        run(caller, "proxy_get_metric", Places::u64(out), |call| {
            let id = call.number(id);
            Ok(Answer::number(lock(&call.perform()?.process.metrics).get(id)?))
        })
    })?;
    Ok(())
}
