//! Child processes that never outlive us, whichever way we end.

use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

/// A started process, ended by its own pid when this is dropped.
pub struct Running {
    child: Arc<Mutex<Child>>,
    /// The process's id, for reading its CPU time.
    pub pid: u32,
}

impl Running {
    /// Starts `command`; `what` names it in the error.
    pub fn start(command: &mut Command, what: &str) -> Result<Self> {
        let mut all = lock(&ALL);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {what} ({})", command.get_program().to_string_lossy()))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        all.push(Arc::clone(&child));
        Ok(Self { child, pid })
    }

    /// The exit status if the process has ended by itself.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }

    /// Gives access to the child's pipes.
    pub fn with<T>(&self, act: impl FnOnce(&mut Child) -> T) -> T {
        act(&mut lock(&self.child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&self.child);
        lock(&ALL).retain(|other| !Arc::ptr_eq(other, &self.child));
    }
}

/// Ends every child and ourselves on SIGINT, SIGTERM and SIGHUP: destructors
/// do not run then.
pub fn end_them_on_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        for child in lock(&ALL).iter() {
            end(child);
        }
        // 128 + SIGINT, what a shell reports for an interrupted command.
        std::process::exit(130);
    })
    .context("cannot listen for Ctrl-C")
}

/// Killed, not asked: nothing that we start keeps state worth a goodbye.
fn end(child: &Mutex<Child>) {
    let mut child = lock(child);
    // An error here means that the process has already ended.
    let _ = child.kill();
    let _ = child.wait();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static ALL: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());
