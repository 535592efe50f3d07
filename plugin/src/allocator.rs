//! Knowing which memory is ours to free.
//!
//! A host returns data in memory that it asks the plugin to allocate
//! (`proxy_on_memory_allocate`), and then names its address. An address that nobody
//! allocated would, once taken for a vector's, corrupt the heap. So the allocator
//! remembers the last allocation, and `host` takes over no other.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
#[cfg(not(target_family = "wasm"))]
use std::alloc::System;

/// The last allocation that nobody has taken: address and size in bytes. A plugin's VM
/// has one thread; atomics are what a `static` of safe Rust can change.
static LAST: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static LAST_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Forgets the last allocation, so that [`taken`] finds only what comes after.
pub(crate) fn forget() {
    LAST.store(ptr::null_mut(), Relaxed);
}

/// The size of the last allocation since [`forget`], if it is the one at `address`.
/// Forgets it: nobody else may own it.
pub(crate) fn taken(address: *mut u8) -> Option<usize> {
    let last = LAST.swap(ptr::null_mut(), Relaxed);
    (!last.is_null() && last == address).then(|| LAST_SIZE.load(Relaxed))
}

#[cfg_attr(target_family = "wasm", global_allocator)]
#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "only the plugin has hosts"))]
static ALLOCATOR: Recording = Recording;

struct Recording;

// SAFETY: every call goes to the system's allocator unchanged.
#[expect(unsafe_code, reason = "allocators are an unsafe interface; this one only takes notes")]
unsafe impl GlobalAlloc for Recording {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let address = unsafe { System.alloc(layout) };
        LAST.store(address, Relaxed);
        LAST_SIZE.store(layout.size(), Relaxed);
        address
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(address, layout, size) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(address, layout) }
    }
}

/// The C library's allocator, which WASI programs have.
#[cfg(target_family = "wasm")]
struct System;

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "allocators are an unsafe interface")]
mod c {
    use super::{GlobalAlloc, Layout, System, ptr};

    #[link(name = "c")]
    unsafe extern "C" {
        fn malloc(size: usize) -> *mut u8;
        fn calloc(count: usize, size: usize) -> *mut u8;
        fn realloc(address: *mut u8, size: usize) -> *mut u8;
        fn free(address: *mut u8);
    }

    /// To what `malloc` aligns in wasm32. Nothing here asks for more.
    const ALIGNMENT: usize = 16;

    // SAFETY: the C library keeps the same promises, up to its alignment.
    unsafe impl GlobalAlloc for System {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() > ALIGNMENT {
                return ptr::null_mut();
            }
            // SAFETY: any size may be asked for.
            unsafe { malloc(layout.size()) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            if layout.align() > ALIGNMENT {
                return ptr::null_mut();
            }
            // SAFETY: any size may be asked for.
            unsafe { calloc(1, layout.size()) }
        }

        unsafe fn realloc(&self, address: *mut u8, _: Layout, size: usize) -> *mut u8 {
            // SAFETY: the address is one of the above, by the caller's promise.
            unsafe { realloc(address, size) }
        }

        unsafe fn dealloc(&self, address: *mut u8, _: Layout) {
            // SAFETY: the address is one of the above, by the caller's promise.
            unsafe { free(address) }
        }
    }
}
