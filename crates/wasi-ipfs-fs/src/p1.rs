//! Preview 1 programs: a module becomes a preview 2 component, so that both previews share one implementation.
//!
//! 1. `load`: [`load()`], and which programs it refuses.
//! 2. `module`: the outline of a module, as far as it matters here.
//! 3. `realloc`: makes an allocator from before 2023 safe to adapt.
//! 4. `exit_code`: preserves a program's own exit status.
//!
//! # Allocators from before 2023
//!
//! The adapter needs memory before the program runs. It asks the module's exported `cabi_realloc`; without one, it
//! grows the memory by itself. That is safe with the `malloc` of a current wasi-libc, which keeps to the heap that the
//! linker assigned. The `malloc` of a wasi-libc from before 2023 (Debian's with clang 14; wasi-sdk up to 19) is not:
//! its first call takes everything up to the end of memory, the adapter's part included, and the two overwrite each
//! other.
//!
//! Such a module cannot be recognised by its code. It is assumed if the `producers` section names a clang before 16 and
//! no rustc (Rust brings its own wasi-libc), and the module exports no `cabi_realloc`. If the name section says which
//! function is `malloc`, a `cabi_realloc` that calls it is added. If the name section shows that there is no `malloc`,
//! the module is safe as it is. Otherwise it is refused with [`Error::UnsafeAllocator`](crate::Error::UnsafeAllocator).
//! A module without a `producers` section is trusted.

mod exit_code;
mod load;
mod module;
mod realloc;

pub use load::load;

#[cfg(test)]
mod tests;
