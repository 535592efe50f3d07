//! The edge from the proxy: what it calls (proxy-wasm ABI 0.2.1).
//!
//! The exports are ours, as the calls are (`host`), for the same reason. The SDK's
//! panic on a context or a call that they do not know, and their trait objects carry
//! the SDK's own host calls into the file, used or not.

use crate::contexts::{Context, Contexts};
use crate::host::{self, Level};
use crate::request::Request;
use crate::root::{Entrance, Root};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

/// What a callback about a request answers, by the ABI's numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub(crate) enum Action {
    /// The stream goes on.
    Continue = 0,
    /// The stream stays where it is.
    Pause = 1,
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "a static of one thread")]
mod one_thread {
    use super::{Contexts, RefCell};

    struct OneThread(RefCell<Contexts>);

    // SAFETY: a VM has one thread.
    unsafe impl Sync for OneThread {}

    static CONTEXTS: OneThread = OneThread(RefCell::new(Contexts::new()));

    pub(super) fn with<T>(work: impl FnOnce(&RefCell<Contexts>) -> T) -> T {
        work(&CONTEXTS.0)
    }
}

#[cfg(not(target_family = "wasm"))]
mod one_thread {
    use super::{Contexts, RefCell};

    std::thread_local! {
        static CONTEXTS: RefCell<Contexts> = const { RefCell::new(Contexts::new()) };
    }

    pub(super) fn with<T>(work: impl FnOnce(&RefCell<Contexts>) -> T) -> T {
        CONTEXTS.with(work)
    }
}

/// Runs `work` on all contexts, unless the host calls while it is being called: then
/// nothing is done.
fn with_contexts<T>(work: impl FnOnce(&mut Contexts) -> T) -> Option<T> {
    one_thread::with(|contexts| contexts.try_borrow_mut().ok().map(|mut contexts| work(&mut contexts)))
}

fn with_root<T>(id: u32, work: impl FnOnce(&mut Root) -> T) -> Option<T> {
    with_contexts(|contexts| match contexts.get_mut(id) {
        Some(Context::Root(root)) => Some(work(root)),
        _ => None,
    })
    .flatten()
}

/// A request that the host never announced does not go on.
fn with_request(id: u32, work: impl FnOnce(&mut Request) -> Action) -> Action {
    with_contexts(|contexts| match contexts.get_mut(id) {
        Some(Context::Request(request)) => work(request),
        _ => Action::Pause,
    })
    .unwrap_or(Action::Pause)
}

/// Lets requests look whether the records that they wait for were taken, where this root's gate
/// has any wait.
fn tell_waiting(root: u32) {
    let Some(now) = with_root(root, |root| root.recorded_at()).flatten() else { return };
    with_contexts(|contexts| {
        for (id, request) in contexts.requests() {
            request.on_news(id, now);
        }
    });
}

/// What the host calls. The names are the ABI's.
// Unit tests link the SDK for its types, and its exports have the same names.
#[cfg_attr(not(test), expect(unsafe_code, reason = "an export has a name that others could take"))]
#[cfg_attr(test, allow(dead_code, reason = "nobody calls them there"))]
mod exports {
    use super::*;

    // Flags come as numbers: a `bool` that is neither 0 nor 1 would be undefined
    // behaviour.
    //
    // INVARIANT of all `no_mangle` here: nothing else in the file has these names; the
    // linker would refuse it.

    #[cfg(target_os = "wasi")]
    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn _initialize() {
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }
        // SAFETY: the host calls this once, before anything else.
        unsafe { __wasm_call_ctors() };
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_abi_version_0_2_1() {}

    /// Memory for what the host returns; see `host::buffer`, which takes it over.
    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
        // Null where there is none, as from `malloc`.
        let mut memory = Vec::<u8>::new();
        if memory.try_reserve_exact(size).is_err() {
            return core::ptr::null_mut();
        }
        core::mem::ManuallyDrop::new(memory).as_mut_ptr()
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
        with_contexts(|contexts| {
            let context = match contexts.get_mut(parent) {
                None if parent == 0 => Context::Root(Box::default()),
                Some(Context::Root(root)) => Context::Request(Box::new(root.request())),
                // Of no configuration: it is refused.
                _ => Context::Request(Box::new(Request::new(Entrance::Unconfigured))),
            };
            contexts.insert(id, context);
        });
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> bool {
        true
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_configure(id: u32, size: usize) -> bool {
        let known = with_root(id, |root| root.on_configure(size));
        if known.is_none() {
            host::log(Level::Critical, "the gate does not start: proxy_on_context_create was left out");
        }
        known.unwrap_or(false)
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_request_headers(id: u32, _: usize, ends: u32) -> Action {
        with_request(id, |request| request.on_headers(ends != 0))
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_request_body(id: u32, size: usize, ends: u32) -> Action {
        with_request(id, |request| request.on_body(size, ends != 0))
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_request_trailers(id: u32, count: usize) -> Action {
        with_request(id, |request| request.on_trailers(count))
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_response_headers(id: u32, _: usize, _: u32) -> Action {
        with_contexts(|contexts| match contexts.get_mut(id) {
            Some(Context::Request(request)) => request.on_response(),
            _ => Action::Continue,
        })
        .unwrap_or(Action::Continue)
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_tick(id: u32) {
        with_root(id, Root::on_tick);
        tell_waiting(id);
    }

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_http_call_response(id: u32, token: u32, _: usize, size: usize, _: usize) {
        // Most hosts tell the root, whichever context has called.
        let answered = with_contexts(|contexts| {
            let waiting = contexts.requests().find(|(_, request)| request.waits_for(token));
            waiting.map(|(id, request)| request.on_answered(id, size))
        });
        if answered == Some(None) {
            with_root(id, |root| root.on_call_answered(token, size));
            tell_waiting(id);
        }
    }

    /// Nothing is left to do, so the context may go.
    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_done(_: u32) -> bool {
        true
    }

    /// Some hosts call it without asking whether it is there.
    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_log(_: u32) {}

    #[cfg_attr(not(test), unsafe(no_mangle))]
    extern "C" fn proxy_on_delete(id: u32) {
        with_contexts(|contexts| {
            // Of all callbacks the one that comes for certain, and last.
            if let Some(Context::Request(mut request)) = contexts.remove(id) {
                request.on_end();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_numbers_of_actions_are_the_sdks() {
        use proxy_wasm::types::Action as Theirs;
        assert_eq!(Action::Continue as u32, Theirs::Continue as u32);
        assert_eq!(Action::Pause as u32, Theirs::Pause as u32);
    }

    #[test]
    fn a_request_that_was_never_announced_does_not_go_on() {
        assert_eq!(with_request(7, |_| Action::Continue), Action::Pause);
    }

    #[test]
    fn a_root_is_no_request_and_a_request_no_root() {
        with_contexts(|contexts| {
            contexts.insert(1, Context::Root(Box::default()));
            contexts.insert(2, Context::Request(Box::new(Request::new(Entrance::Unconfigured))));
        });
        assert_eq!(with_request(1, |_| Action::Continue), Action::Pause);
        assert_eq!(with_request(2, |_| Action::Continue), Action::Continue);
        assert!(with_root(1, |_| ()).is_some());
        assert!(with_root(2, |_| ()).is_none());
    }

    #[test]
    fn a_host_that_calls_while_it_is_called_gets_nothing_through() {
        with_contexts(|contexts| {
            contexts.insert(1, Context::Request(Box::new(Request::new(Entrance::Unconfigured))))
        });
        let inner = with_contexts(|_| with_request(1, |_| Action::Continue));
        assert_eq!(inner, Some(Action::Pause));
    }
}
