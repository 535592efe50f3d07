use wasmtime::{Caller, Linker};

use super::call::{Answer, Call, Places, Refusal, run};
use super::pairs;
use crate::state::VmState;
use crate::{Headers, Status};

pub(super) fn define(linker: &mut Linker<VmState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |caller: Caller<'_, VmState>, map: u32, out: u32, out_len: u32| {
            run(caller, "proxy_get_header_map_pairs", Places::data(out, out_len), |call| {
                let map = Map::read(call, map)?;
                let vm = call.perform()?;
                // As in Envoy: a map that is not there is an empty one here.
                Ok(Answer::data(
                    readable(vm, map).map(|headers| pairs::serialize(&headers)).unwrap_or_default(),
                ))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_header_map_pairs",
        |caller: Caller<'_, VmState>, map: u32, data: u32, length: u32| {
            run(caller, "proxy_set_header_map_pairs", Places::NONE, |call| {
                let map = Map::read(call, map)?;
                let new = call.pairs(data, length)?;
                change(call.perform()?, map, |headers, edit| {
                    let old: Vec<Vec<u8>> = headers.iter().map(|(name, _)| name.to_vec()).collect();
                    old.iter().for_each(|name| edit.remove(headers, name));
                    new.iter().for_each(|(name, value)| edit.add(headers, name, value));
                })
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |caller: Caller<'_, VmState>, map: u32, key: u32, key_len: u32, out: u32, out_len: u32| {
            run(caller, "proxy_get_header_map_value", Places::data(out, out_len), |call| {
                let map = Map::read(call, map)?;
                let key = call.bytes(key, key_len)?;
                let headers = readable(call.perform()?, map)?;
                Ok(Answer::data(headers.value(&key).ok_or(Status::NOT_FOUND)?))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |caller: Caller<'_, VmState>, map: u32, key: u32, key_len: u32, value: u32, value_len: u32| {
            run(caller, "proxy_add_header_map_value", Places::NONE, |call| {
                let map = Map::read(call, map)?;
                let (key, value) = (call.bytes(key, key_len)?, call.bytes(value, value_len)?);
                change(call.perform()?, map, |headers, edit| edit.add(headers, &key, &value))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |caller: Caller<'_, VmState>, map: u32, key: u32, key_len: u32, value: u32, value_len: u32| {
            run(caller, "proxy_replace_header_map_value", Places::NONE, |call| {
                let map = Map::read(call, map)?;
                let (key, value) = (call.bytes(key, key_len)?, call.bytes(value, value_len)?);
                change(call.perform()?, map, |headers, edit| edit.set(headers, &key, &value))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |caller: Caller<'_, VmState>, map: u32, key: u32, key_len: u32| {
            run(caller, "proxy_remove_header_map_value", Places::NONE, |call| {
                let map = Map::read(call, map)?;
                let key = call.bytes(key, key_len)?;
                change(call.perform()?, map, |headers, edit| edit.remove(headers, &key))
            })
        },
    )?;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Map {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitialMetadata,
    GrpcTrailingMetadata,
    HttpCallResponseHeaders,
    HttpCallResponseTrailers,
}

impl Map {
    fn read(call: &mut Call<'_>, map: u32) -> Result<Self, Refusal> {
        let map = match map {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            4 => Self::GrpcInitialMetadata,
            5 => Self::GrpcTrailingMetadata,
            6 => Self::HttpCallResponseHeaders,
            7 => Self::HttpCallResponseTrailers,
            _ => return Err(Status::BAD_ARGUMENT.into()),
        };
        call.note(|| format!("{map:?}"));
        Ok(map)
    }
}

/// A map as the plugin may read it now. While logging, headers that were
/// closed are open again.
fn readable(vm: &mut VmState, map: Map) -> Result<Headers, Status> {
    let called = vm.http_response.as_ref();
    match map {
        Map::HttpCallResponseHeaders => return called.map(|r| r.header_map()).ok_or(Status::BAD_ARGUMENT),
        Map::HttpCallResponseTrailers => {
            return called.and_then(|r| r.trailers.clone()).ok_or(Status::BAD_ARGUMENT);
        }
        _ => {}
    }
    let stream = vm.stream().ok_or(Status::BAD_ARGUMENT)?;
    let headers_logged = match map {
        Map::RequestHeaders => Some(&stream.request.headers),
        Map::ResponseHeaders => Some(&stream.response.headers),
        _ => None,
    };
    if let Some(headers) = headers_logged.filter(|_| stream.logging) {
        return Ok(headers.clone());
    }
    writable(vm, map).cloned()
}

/// A map as the plugin may change it now.
fn writable(vm: &mut VmState, map: Map) -> Result<&mut Headers, Status> {
    let stream = vm.stream().ok_or(Status::BAD_ARGUMENT)?;
    let (open, headers) = match map {
        Map::RequestHeaders => (stream.request.headers_open, &mut stream.request.headers),
        Map::RequestTrailers => (stream.request.trailers_open, &mut stream.request.trailers),
        Map::ResponseHeaders => (stream.response.headers_open, &mut stream.response.headers),
        Map::ResponseTrailers => (stream.response.trailers_open, &mut stream.response.trailers),
        _ => return Err(Status::BAD_ARGUMENT),
    };
    if open { Ok(headers) } else { Err(Status::BAD_ARGUMENT) }
}

/// How this host changes this map.
struct Edit {
    hides: bool,
    lower_cases: bool,
}

fn change(vm: &mut VmState, map: Map, edit: impl FnOnce(&mut Headers, &Edit)) -> Result<Answer, Refusal> {
    let profile = &vm.settings.profile;
    let of_request = matches!(map, Map::RequestHeaders | Map::RequestTrailers);
    let how = Edit {
        hides: of_request && !profile.removal_reaches_upstream,
        lower_cases: profile.lower_cases_names,
    };
    edit(writable(vm, map)?, &how);
    Answer::done()
}

impl Edit {
    fn add(&self, headers: &mut Headers, name: &[u8], value: &[u8]) {
        headers.add(self.name(name), value);
    }

    fn set(&self, headers: &mut Headers, name: &[u8], value: &[u8]) {
        let name = self.name(name);
        if self.hides { headers.set_hiding(&name, value) } else { headers.set(&name, value) }
    }

    fn remove(&self, headers: &mut Headers, name: &[u8]) {
        if self.hides { headers.hide(name) } else { headers.remove(name) }
    }

    fn name(&self, name: &[u8]) -> Vec<u8> {
        if self.lower_cases { name.to_ascii_lowercase() } else { name.to_vec() }
    }
}
