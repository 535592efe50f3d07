//! What the standard library would bring, and no more: memory, and what a panic does.

#[cfg(target_family = "wasm")]
#[global_allocator]
static HEAP: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

/// A trap, which JavaScript sees as a `WebAssembly.RuntimeError`. The lints of this workspace
/// let no code of ours panic.
#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
