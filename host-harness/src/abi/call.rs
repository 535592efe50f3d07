use wasmtime::{Caller, Memory, TypedFunc};

use super::pairs;
use crate::fault::FaultAnswer;
use crate::host::lock;
use crate::state::VmState;
use crate::trace::shown;
use crate::{Headers, Status};

/// One host call under way: reads its arguments from the guest, writing each
/// into the trace, then performs, then writes the answer into the guest.
pub(super) struct Call<'c> {
    caller: Caller<'c, VmState>,
    memory: Memory,
    name: &'static str,
    arguments: Vec<String>,
    bad_pointer: Status,
}

/// Where the guest wants the answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Places {
    /// Where the address, and where the length, of the returned bytes go.
    pub(super) data: Option<(u32, u32)>,
    /// Where the returned number goes, and whether it has 64 bits.
    pub(super) number: Option<(u32, Width)>,
}

#[derive(Clone, Copy)]
pub(super) enum Width {
    Four,
    Eight,
}

/// What a call returns besides `Ok`.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) data: Option<Vec<u8>>,
    pub(super) number: Option<u64>,
    /// Bytes for buffers that the guest itself has prepared (WASI's way).
    pub(super) writes: Vec<(u32, Vec<u8>)>,
}

/// Why a call does not return `Ok` with an honest answer.
pub(super) enum Refusal {
    Status(Status),
    Fault(FaultAnswer),
}

/// WASI's `errno` for a bad pointer.
const EFAULT: Status = Status(21);

/// Runs one call of the `env` module.
pub(super) fn run(
    caller: Caller<'_, VmState>,
    name: &'static str,
    places: Places,
    body: impl FnOnce(&mut Call<'_>) -> Result<Answer, Refusal>,
) -> wasmtime::Result<u32> {
    run_with(caller, name, places, Status::INVALID_MEMORY_ACCESS, body)
}

/// Runs one call of WASI; its status is an `errno`.
pub(super) fn run_wasi(
    caller: Caller<'_, VmState>,
    name: &'static str,
    body: impl FnOnce(&mut Call<'_>) -> Result<Answer, Refusal>,
) -> wasmtime::Result<u32> {
    run_with(caller, name, Places::default(), EFAULT, body)
}

fn run_with(
    mut caller: Caller<'_, VmState>,
    name: &'static str,
    places: Places,
    bad_pointer: Status,
    body: impl FnOnce(&mut Call<'_>) -> Result<Answer, Refusal>,
) -> wasmtime::Result<u32> {
    let memory = caller.get_export("memory").and_then(|export| export.into_memory());
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("the plugin exports no memory"))?;
    let mut call = Call { caller, memory, name, arguments: Vec::new(), bad_pointer };

    let (status, told, note) = match body(&mut call) {
        Ok(answer) => {
            let told = answer.told();
            (call.write(places, answer)?, told, "")
        }
        Err(Refusal::Status(status)) => (status, String::new(), ""),
        Err(Refusal::Fault(fault)) => {
            let (status, told) = call.lie(places, fault)?;
            (status, told, " (fault)")
        }
    };
    let vm = call.caller.data_mut();
    if vm.trace.is_on() {
        let told = if status == Status::OK { &*told } else { "" };
        let shown_status = if bad_pointer == EFAULT && status != Status::OK {
            format!("errno {}", status.0)
        } else {
            status.to_string()
        };
        let arguments = call.arguments.join(", ");
        vm.trace.push(format!("  {name}({arguments}) = {shown_status}{told}{note}"));
    }
    Ok(status.0)
}

impl Call<'_> {
    /// All arguments are read: from here on the call may have effects. A fault
    /// ends it here.
    pub(super) fn perform(&mut self) -> Result<&mut VmState, Refusal> {
        let vm = self.caller.data_mut();
        // Taken out first: they may well make calls of their own.
        let turns = lock(&vm.process.faults).take_turns(self.name);
        turns.into_iter().for_each(|act| act());
        if let Some(fault) = lock(&vm.process.faults).take(self.name) {
            return Err(Refusal::Fault(fault));
        }
        Ok(vm)
    }

    pub(super) fn is_tracing(&self) -> bool {
        self.caller.data().trace.is_on()
    }

    /// Notes an argument in the trace.
    pub(super) fn note(&mut self, argument: impl FnOnce() -> String) {
        if self.is_tracing() {
            self.arguments.push(argument());
        }
    }

    /// A number among the arguments.
    pub(super) fn number<N: std::fmt::Display>(&mut self, number: N) -> N {
        self.note(|| number.to_string());
        number
    }

    /// Bytes of the guest.
    pub(super) fn bytes(&mut self, address: u32, length: u32) -> Result<Vec<u8>, Refusal> {
        let bytes = self.read(address, length)?;
        self.note(|| shown(&bytes));
        Ok(bytes)
    }

    /// A header map of the guest, serialized as the ABI says.
    pub(super) fn pairs(&mut self, address: u32, length: u32) -> Result<Headers, Refusal> {
        let bytes = self.read(address, length)?;
        let map = pairs::parse(&bytes);
        self.note(|| match &map {
            Some(map) => pairs::shown(map),
            None => format!("<{} bytes, not a map>", bytes.len()),
        });
        map.ok_or(Refusal::Status(Status::BAD_ARGUMENT))
    }

    /// Bytes of the guest, not noted.
    pub(super) fn read(&mut self, address: u32, length: u32) -> Result<Vec<u8>, Refusal> {
        let bytes = range(address, length).and_then(|range| self.memory.data(&self.caller).get(range));
        bytes.map(<[u8]>::to_vec).ok_or(Refusal::Status(self.bad_pointer))
    }

    fn write(&mut self, places: Places, answer: Answer) -> wasmtime::Result<Status> {
        if let (Some(data), Some((address_place, length_place))) = (&answer.data, places.data) {
            let Some(address) = self.copy_into_guest(data)? else {
                return Ok(self.bad_pointer);
            };
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            if !self.put(address_place, &address.to_le_bytes())
                || !self.put(length_place, &length.to_le_bytes())
            {
                return Ok(self.bad_pointer);
            }
        }
        if let (Some(number), Some((place, width))) = (answer.number, places.number) {
            let written = match width {
                // A fault may give more than fits; the low half is the answer then.
                Width::Four => {
                    self.put(place, number.to_le_bytes().first_chunk::<4>().map_or(&[], |low| &low[..]))
                }
                Width::Eight => self.put(place, &number.to_le_bytes()),
            };
            if !written {
                return Ok(self.bad_pointer);
            }
        }
        for (address, bytes) in &answer.writes {
            if !self.put(*address, bytes) {
                return Ok(self.bad_pointer);
            }
        }
        Ok(Status::OK)
    }

    fn lie(&mut self, places: Places, fault: FaultAnswer) -> wasmtime::Result<(Status, String)> {
        let answer = match fault {
            FaultAnswer::Status(status) => return Ok((status, String::new())),
            FaultAnswer::Trap => return Err(wasmtime::Error::msg("an injected fault")),
            FaultAnswer::Data(data) => Answer::data(data),
            FaultAnswer::Number(number) => Answer::number(number),
            FaultAnswer::Pointer { address, length } => {
                if let Some((address_place, length_place)) = places.data {
                    self.put(address_place, &address.to_le_bytes());
                    self.put(length_place, &length.to_le_bytes());
                }
                return Ok((Status::OK, format!(" {length} bytes at {address:#x}")));
            }
        };
        let told = answer.told();
        Ok((self.write(places, answer)?, told))
    }

    /// Copies into memory that the guest allocates for it; an empty value is a
    /// null pointer. `None` if the guest gave no room.
    fn copy_into_guest(&mut self, data: &[u8]) -> wasmtime::Result<Option<u32>> {
        if data.is_empty() {
            return Ok(Some(0));
        }
        let Ok(length) = u32::try_from(data.len()) else {
            return Ok(None);
        };
        let Some(allocate) = self.allocator() else {
            return Ok(None);
        };
        let address = allocate.call(&mut self.caller, length)?;
        Ok((address != 0 && self.put(address, data)).then_some(address))
    }

    fn allocator(&mut self) -> Option<TypedFunc<u32, u32>> {
        ["proxy_on_memory_allocate", "malloc"]
            .iter()
            .find_map(|name| self.caller.get_export(name)?.into_func()?.typed(&self.caller).ok())
    }

    fn put(&mut self, address: u32, bytes: &[u8]) -> bool {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let target =
            range(address, length).and_then(|range| self.memory.data_mut(&mut self.caller).get_mut(range));
        target.is_some_and(|target| {
            target.copy_from_slice(bytes);
            true
        })
    }
}

fn range(address: u32, length: u32) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(address).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    Some(start..end)
}

impl Places {
    pub(super) const NONE: Self = Self { data: None, number: None };

    pub(super) fn data(address: u32, length: u32) -> Self {
        Self { data: Some((address, length)), number: None }
    }

    pub(super) fn u32(address: u32) -> Self {
        Self { data: None, number: Some((address, Width::Four)) }
    }

    pub(super) fn u64(address: u32) -> Self {
        Self { data: None, number: Some((address, Width::Eight)) }
    }

    pub(super) fn data_and_u32(data: u32, length: u32, number: u32) -> Self {
        Self { data: Some((data, length)), number: Some((number, Width::Four)) }
    }
}

impl Answer {
    pub(super) fn done() -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    pub(super) fn data(data: impl Into<Vec<u8>>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    pub(super) fn number(number: impl Into<u64>) -> Self {
        Self { number: Some(number.into()), ..Self::default() }
    }

    fn told(&self) -> String {
        let mut told = String::new();
        if let Some(data) = &self.data {
            told.push(' ');
            told.push_str(&shown(data));
        }
        if let Some(number) = self.number {
            told.push_str(&format!(" {number}"));
        }
        told
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}
