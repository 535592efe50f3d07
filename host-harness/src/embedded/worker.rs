use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::channel::Channel;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portcullis_harness::{Headers, Host, Step, StreamId, Trap, Vm};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::exchange::{UpstreamBody, exchange};
use super::limits;

/// One thread: its VM and its connections to the upstream.
pub(super) struct Worker {
    host: Host,
    vm: RefCell<Vm>,
    /// How many VMs there were before; a stream belongs to one of them.
    generation: Cell<u64>,
    died: Cell<Option<Instant>>,
    pub(super) upstream: String,
    pub(super) client: Client<HttpConnector, UpstreamBody>,
}

/// A stream in the worker's VM; it ends when this is dropped.
pub(super) struct Stream {
    worker: Rc<Worker>,
    generation: u64,
    id: StreamId,
}

/// Serves until `stopped` says true and the open connections are done.
pub(super) fn run(
    host: Host,
    vm: Vm,
    listener: TcpListener,
    upstream: SocketAddr,
    stopped: watch::Receiver<bool>,
) -> Result<(), String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("a worker cannot start: {e}"))?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(|e| format!("a worker cannot listen: {e}"))?;
        let worker = Rc::new(Worker::new(host, vm, upstream));
        spawn_local(tick(Rc::clone(&worker)));
        serve(&worker, &listener, stopped).await;
        Ok(())
    })
}

async fn serve(worker: &Rc<Worker>, listener: &tokio::net::TcpListener, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            } => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            (Ok((client, _)), Ok(place)) => {
                let (worker, stopped) = (Rc::clone(worker), stopped.clone());
                spawn_local(async move {
                    converse(worker, client, stopped).await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: closing connections give some back.
            (Err(error), _) => {
                eprintln!("portcullis-gate: cannot accept a connection: {error}");
                sleep(limits::SHORTEST_TICK).await;
            }
            (_, Err(_)) => break,
        }
    }
    let all = u32::try_from(limits::CONNECTIONS).unwrap_or(u32::MAX);
    // Those that are not done by then are cut off.
    let _ = timeout(limits::GRACE, places.acquire_many(all)).await;
}

/// Serves one connection. Its errors are the client's: nobody is left to be told.
async fn converse(worker: Rc<Worker>, client: TcpStream, mut stopped: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIME)
        .max_buf_size(limits::READ_BUFFER)
        .serve_connection(TokioIo::new(client), service_fn(|request| exchange(Rc::clone(&worker), request)));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn tick(worker: Rc<Worker>) {
    loop {
        let period = worker.vm.borrow().tick_period();
        sleep(period.unwrap_or(limits::TICK_CHECK).max(limits::SHORTEST_TICK)).await;
        if period.is_some() {
            worker.run(Vm::tick);
        }
        worker.run(|vm| vm.deliver_queue_events().map(drop));
    }
}

impl Worker {
    fn new(host: Host, vm: Vm, upstream: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limits::CONNECT_TIME));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits::IDLE_UPSTREAM_CONNECTIONS)
            .set_host(false)
            .build(connector);
        Self {
            host,
            vm: RefCell::new(vm),
            generation: Cell::new(0),
            died: Cell::new(None),
            upstream: upstream.to_string(),
            client,
        }
    }

    /// A stream in the living VM; `None` if there is none.
    pub(super) fn open(self: &Rc<Self>) -> Option<Stream> {
        self.revive();
        let opened = self.vm.borrow_mut().open();
        let opened = opened.inspect_err(|trap| self.mourn(trap));
        self.vm.borrow().trap().is_none().then_some(())?;
        Some(Stream { worker: Rc::clone(self), generation: self.generation.get(), id: opened.ok()? })
    }

    /// Runs something in the VM, whichever it is now.
    fn run(&self, callback: impl FnOnce(&mut Vm) -> Result<(), Trap>) {
        self.revive();
        let result = callback(&mut self.vm.borrow_mut());
        if let Err(trap) = result {
            self.mourn(&trap);
        }
    }

    fn mourn(&self, trap: &Trap) {
        eprintln!("portcullis-gate: {trap}");
        self.died.set(Some(Instant::now()));
    }

    /// Puts a new VM in the place of a dead one, a pause after its death.
    fn revive(&self) {
        if self.died.get().is_none_or(|died| died.elapsed() < limits::RESTART_PAUSE) {
            return;
        }
        match self.host.start() {
            Ok(vm) => {
                *self.vm.borrow_mut() = vm;
                self.generation.set(self.generation.get().wrapping_add(1));
                self.died.set(None);
            }
            Err(error) => {
                eprintln!("portcullis-gate: a new VM did not start: {error}");
                self.died.set(Some(Instant::now()));
            }
        }
    }
}

impl Stream {
    pub(super) fn request_headers(&self, map: Headers, end: bool) -> Step {
        self.step(|vm| vm.request_headers(self.id, map, end))
    }

    pub(super) fn request_body(&self, bytes: &[u8], end: bool) -> Step {
        self.step(|vm| vm.request_body(self.id, bytes, end))
    }

    pub(super) fn request_trailers(&self, map: Headers) -> Step {
        self.step(|vm| vm.request_trailers(self.id, map))
    }

    pub(super) fn response_headers(&self, map: Headers, end: bool) -> Step {
        self.step(|vm| vm.response_headers(self.id, map, end))
    }

    pub(super) fn response_body(&self, bytes: &[u8], end: bool) -> Step {
        self.step(|vm| vm.response_body(self.id, bytes, end))
    }

    /// A stream whose VM is gone is closed.
    fn step(&self, callback: impl FnOnce(&mut Vm) -> Step) -> Step {
        if self.generation != self.worker.generation.get() {
            return Step { closed: true, ..Step::default() };
        }
        let step = callback(&mut self.worker.vm.borrow_mut());
        if let Some(trap) = &step.trap {
            self.worker.mourn(trap);
        }
        step
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.generation == self.worker.generation.get() {
            let closed = self.worker.vm.borrow_mut().close(self.id);
            if let Err(trap) = closed {
                self.worker.mourn(&trap);
            }
        }
    }
}

/// The channel through which a request's body flows to the upstream.
pub(super) type BodyChannel = Channel<Bytes, Cut>;

/// Why a body does not go on: the plugin refused it, or the client is gone.
#[derive(Debug)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request was cut off by the gate")
    }
}

impl std::error::Error for Cut {}
