use std::sync::atomic::Ordering;
use std::time::Duration;

use wasmtime::{Instance, Linker, Store, WasmParams, WasmResults};

use crate::abi;
use crate::host::{Host, lock};
use crate::state::{ROOT, VmState};
use crate::{HttpCall, LogLevel, Response, StartError, Trace, Trap};

/// One instance of the plugin: one worker of the proxy.
///
/// A trap kills it. A dead VM does not run any more: requests get the host's
/// own reply, ticks and answers do nothing; start another one from the
/// [`Host`], as Envoy does under `FAIL_RELOAD`.
pub struct Vm {
    pub(crate) store: Store<VmState>,
    instance: Instance,
    dead: Option<Trap>,
}

impl Vm {
    pub(crate) fn start(host: &Host) -> Result<Self, StartError> {
        let number = host.process.vms_started.fetch_add(1, Ordering::Relaxed);
        let state = VmState::new(host, number);
        let fuel = state.settings.fuel_per_callback;
        let mut store = Store::new(&host.plugin.engine, state);
        store.limiter(|vm| &mut vm.limits);
        let unlinkable = |error: wasmtime::Error| StartError::Unlinkable(format!("{error:#}"));

        let mut linker = Linker::new(&host.plugin.engine);
        abi::define(&mut linker, &host.settings.profile).map_err(unlinkable)?;
        // A start function of the module runs here already.
        store.set_fuel(fuel).map_err(unlinkable)?;
        let instance = linker.instantiate(&mut store, &host.plugin.module).map_err(unlinkable)?;
        if instance.get_memory(&mut store, "memory").is_none() {
            return Err(StartError::Unlinkable("it exports no memory".to_owned()));
        }
        if instance.get_func(&mut store, "proxy_abi_version_0_2_1").is_none() {
            return Err(StartError::Unlinkable("it does not export proxy_abi_version_0_2_1".to_owned()));
        }
        let mut vm = Self { store, instance, dead: None };
        vm.configure()?;
        Ok(vm)
    }

    fn configure(&mut self) -> Result<(), StartError> {
        let settings = &self.store.data().settings;
        let (vm_size, size) = (length(&settings.vm_configuration), length(&settings.configuration));
        let may_refuse = !settings.profile.ignores_refused_configuration;
        let trapped = |vm: &Self, trap| StartError::Trapped { trap, logs: vm.logs().collect_owned() };

        let begin = if self.exports("_initialize") { "_initialize" } else { "_start" };
        self.call::<(), ()>(begin, ROOT, (), String::new).map_err(|trap| trapped(self, trap))?;
        self.call::<_, ()>("proxy_on_context_create", ROOT, (ROOT, 0), || "root".to_owned())
            .map_err(|trap| trapped(self, trap))?;
        for (callback, size) in [("proxy_on_vm_start", vm_size), ("proxy_on_configure", size)] {
            self.store.data_mut().configuring = callback == "proxy_on_configure";
            let answer = self.call(callback, ROOT, (ROOT, size), || format!("{size} bytes"));
            self.store.data_mut().configuring = false;
            let accepted: Option<u32> = answer.map_err(|trap| trapped(self, trap))?;
            if accepted == Some(0) && may_refuse {
                return Err(StartError::Refused { callback, logs: self.logs().collect_owned() });
            }
        }
        Ok(())
    }

    /// The trap that killed this VM, if one did.
    pub fn trap(&self) -> Option<&Trap> {
        self.dead.as_ref()
    }

    /// Everything that was recorded since the start or the last [`Vm::clear_trace`].
    pub fn trace(&self) -> &Trace {
        &self.store.data().trace
    }

    /// Forgets the trace, so that it begins with the next callback.
    pub fn clear_trace(&mut self) {
        self.store.data_mut().trace.clear();
    }

    /// What the plugin logged, and what it wrote to its standard output (as
    /// info) and standard error (as error).
    pub fn logs(&self) -> impl Iterator<Item = (LogLevel, &str)> {
        self.store.data().logs.iter().map(|(level, message)| (*level, message.as_str()))
    }

    /// How large the VM's memory is now, in bytes.
    pub fn memory_size(&mut self) -> usize {
        self.instance.get_memory(&mut self.store, "memory").map_or(0, |memory| memory.data_size(&self.store))
    }

    /// How often the plugin wants to be ticked; `None` for never.
    pub fn tick_period(&self) -> Option<Duration> {
        self.store.data().tick_period
    }

    /// Ticks once. The clock does not move by itself.
    pub fn tick(&mut self) -> Result<(), Trap> {
        self.call::<_, ()>("proxy_on_tick", ROOT, ROOT, String::new).map(drop)
    }

    /// Tells the plugin of every item that was put into a queue of its own
    /// since the last time, once for each. Returns how many there were.
    pub fn deliver_queue_events(&mut self) -> Result<usize, Trap> {
        let mut delivered = 0_usize;
        // Counted before, so that a plugin that answers an item with an item does not keep us for ever.
        let number = self.store.data().number;
        let mut tokens = Vec::new();
        while let Some(token) = lock(&self.store.data().process.queues).take_event(number) {
            tokens.push(token);
        }
        for token in tokens {
            self.call::<_, ()>("proxy_on_queue_ready", ROOT, (ROOT, token), || format!("queue {token}"))?;
            delivered = delivered.saturating_add(1);
        }
        Ok(delivered)
    }

    /// The HTTP calls that wait for an answer, oldest first.
    pub fn http_calls(&self) -> Vec<HttpCall> {
        self.store.data().http_calls.values().cloned().collect()
    }

    /// Answers an HTTP call. Afterwards, [`Vm::resume`] the stream that waited for it.
    pub fn answer_http_call(&mut self, token: u32, response: Response) -> Result<(), Trap> {
        let headers = length_of(response.header_map().len());
        let body = length_of(response.body.iter().map(Vec::len).sum());
        let trailers = length_of(response.trailers.as_ref().map_or(0, crate::Headers::len));
        self.store.data_mut().http_response = Some(response);
        let result = self.end_http_call(token, headers, body, trailers);
        self.store.data_mut().http_response = None;
        result
    }

    /// Tells the plugin that an HTTP call failed or took too long, as Envoy
    /// does: an answer without headers.
    pub fn fail_http_call(&mut self, token: u32) -> Result<(), Trap> {
        self.end_http_call(token, 0, 0, 0)
    }

    fn end_http_call(&mut self, token: u32, headers: u32, body: u32, trailers: u32) -> Result<(), Trap> {
        if self.store.data_mut().http_calls.remove(&token).is_none() {
            // Answered before, or never made: as on a real host, nothing comes of it.
            return Ok(());
        }
        let arguments = (ROOT, token, headers, body, trailers);
        let shown = || format!("call {token}, {headers} headers, {body} bytes, {trailers} trailers");
        self.call::<_, ()>("proxy_on_http_call_response", ROOT, arguments, shown).map(drop)
    }

    /// Calls an export in a context. `None` if the plugin does not export it,
    /// or if the VM is dead.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        callback: &'static str,
        context: u32,
        arguments: P,
        shown: impl FnOnce() -> String,
    ) -> Result<Option<R>, Trap> {
        if self.dead.is_some() || !self.exports(callback) {
            return Ok(None);
        }
        let vm = self.store.data_mut();
        vm.callback = callback;
        vm.current = context;
        vm.effective = None;
        if vm.trace.is_on() {
            vm.trace.push(format!("> {callback}({})", shown()));
        }
        let fuel = vm.settings.fuel_per_callback;
        let result = self
            .store
            .set_fuel(fuel)
            .and_then(|()| self.instance.get_typed_func::<P, R>(&mut self.store, callback))
            .and_then(|export| export.call(&mut self.store, arguments));
        result.map(Some).map_err(|error| {
            let trap = Trap::new(callback, &error);
            self.store.data_mut().trace.push(format!("< trap: {:?}", trap.kind));
            self.dead = Some(trap.clone());
            trap
        })
    }

    fn exports(&mut self, name: &str) -> bool {
        self.instance.get_func(&mut self.store, name).is_some()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_some()
    }
}

trait CollectOwned {
    fn collect_owned(self) -> Vec<(LogLevel, String)>;
}

impl<'a, I: Iterator<Item = (LogLevel, &'a str)>> CollectOwned for I {
    fn collect_owned(self) -> Vec<(LogLevel, String)> {
        self.map(|(level, message)| (level, message.to_owned())).collect()
    }
}

fn length(bytes: &[u8]) -> u32 {
    length_of(bytes.len())
}

/// What a guest can be told is a 32-bit number.
pub(crate) fn length_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
