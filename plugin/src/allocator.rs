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
use std::alloc::System as MEMORY;

/// The heap of a VM. The C library's own, which WASI programs have, is 8 KB more.
#[cfg(target_family = "wasm")]
static MEMORY: heap::Heap = heap::Heap::new();

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

/// By how many bytes the VM's memory has grown since this was last asked. It is never given back.
pub(crate) fn grown() -> usize {
    let size = memory_bytes();
    size.saturating_sub(COUNTED.swap(size, Relaxed))
}

static COUNTED: AtomicUsize = AtomicUsize::new(0);

#[cfg(target_family = "wasm")]
fn memory_bytes() -> usize {
    core::arch::wasm32::memory_size::<0>().saturating_mul(PAGE)
}

#[cfg(not(target_family = "wasm"))]
fn memory_bytes() -> usize {
    0
}

/// Of the WebAssembly specification, in bytes.
#[cfg(target_family = "wasm")]
const PAGE: usize = 65_536;

#[cfg_attr(target_family = "wasm", global_allocator)]
#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "only the plugin has hosts"))]
static ALLOCATOR: Recording = Recording;

struct Recording;

// SAFETY: every call goes to another allocator unchanged.
#[expect(unsafe_code, reason = "allocators are an unsafe interface; this one only takes notes")]
unsafe impl GlobalAlloc for Recording {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let address = unsafe { MEMORY.alloc(layout) };
        LAST.store(address, Relaxed);
        LAST_SIZE.store(layout.size(), Relaxed);
        address
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { MEMORY.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { MEMORY.realloc(address, layout, size) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { MEMORY.dealloc(address, layout) }
    }
}

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "allocators are an unsafe interface; this one lends rlsf the VM's memory")]
mod heap {
    use super::PAGE;
    use core::alloc::{GlobalAlloc, Layout};
    use core::arch::wasm32::{memory_grow, memory_size};
    use core::cell::UnsafeCell;
    use core::ptr::{self, NonNull};
    use rlsf::{FlexSource, FlexTlsf};

    /// Free memory by 32 powers of two, each in 32 parts: all that 32 bits can address, at most
    /// 1/32 of a block unused.
    type Tlsf = FlexTlsf<Pages, usize, usize, 32, 32>;

    pub(super) struct Heap(UnsafeCell<Tlsf>);

    // SAFETY: a VM has one thread.
    unsafe impl Sync for Heap {}

    impl Heap {
        pub(super) const fn new() -> Self {
            Heap(UnsafeCell::new(Tlsf::new(Pages)))
        }
    }

    // SAFETY: rlsf keeps the promises of an allocator. Nothing borrows it longer than a call, and
    // none of its calls comes back here.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: it is borrowed for this call only.
            let tlsf = unsafe { &mut *self.0.get() };
            tlsf.allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
        }

        unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
            let Some(address) = NonNull::new(address) else { return };
            // SAFETY: it is borrowed for this call only; the address came from it, and with this
            // alignment, by the caller's promise.
            unsafe { (*self.0.get()).deallocate(address, layout.align()) }
        }

        unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            let Ok(layout) = Layout::from_size_align(size, layout.align()) else { return ptr::null_mut() };
            let Some(address) = NonNull::new(address) else { return ptr::null_mut() };
            // SAFETY: as in `dealloc`.
            unsafe { (*self.0.get()).reallocate(address, layout) }.map_or(ptr::null_mut(), NonNull::as_ptr)
        }
    }

    /// The VM's memory, which only grows, and at its end.
    struct Pages;

    impl Pages {
        /// Adds so many bytes or more; where they begin, and how many they are.
        fn grow(bytes: usize) -> Option<(usize, usize)> {
            let pages = bytes.div_ceil(PAGE);
            // The host says `usize::MAX` where it gives no more.
            let before = Some(memory_grow::<0>(pages)).filter(|before| *before != usize::MAX)?;
            Some((before.checked_mul(PAGE)?, pages.checked_mul(PAGE)?))
        }
    }

    // SAFETY: what is grown belongs to nobody else, and is never given back.
    unsafe impl FlexSource for Pages {
        unsafe fn alloc(&mut self, least: usize) -> Option<NonNull<[u8]>> {
            let (start, size) = Self::grow(least)?;
            NonNull::new(ptr::slice_from_raw_parts_mut(ptr::with_exposed_provenance_mut(start), size))
        }

        unsafe fn realloc_inplace_grow(&mut self, pool: NonNull<[u8]>, least: usize) -> Option<usize> {
            let end = pool.cast::<u8>().addr().get().checked_add(pool.len())?;
            // Nobody else should have grown it; if somebody has, this pool ends here.
            if end.checked_div(PAGE)? != memory_size::<0>() {
                return None;
            }
            let (_, more) = Self::grow(least.checked_sub(pool.len())?)?;
            pool.len().checked_add(more)
        }

        fn supports_realloc_inplace_grow(&self) -> bool {
            true
        }

        fn min_align(&self) -> usize {
            PAGE
        }
    }
}
