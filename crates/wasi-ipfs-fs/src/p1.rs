//! Preview 1 programs: a module becomes a preview 2 component, so that both previews take one way.
//!
//! 1. `load`: [`load()`], and what it refuses.
//! 2. `module`: the outline of a module, as far as it matters here.
//! 3. `realloc`: an allocator from before 2023 is made safe to adapt.
//! 4. `exit_code`: a program keeps its own exit status.
//!
//! # Allocators of before 2023
//!
//! The adapter has to get memory before the program runs. It asks the module's exported `cabi_realloc`; without one
//! it grows the memory by itself. A `malloc` of today's wasi-libc keeps to the heap that the linker gave it, so that
//! this is safe. The `malloc` of a wasi-libc of before 2023 (Debian's with clang 14; wasi-sdk up to 19) takes at its
//! first call everything up to the end of memory, the adapter's part included, and the two overwrite each other.
//!
//! Such a module cannot be told by its code. It is taken for one when its `producers` section names a clang before
//! 16 and no rustc (Rust brings a wasi-libc of its own) and it exports no `cabi_realloc`. Then a `cabi_realloc`
//! that calls the module's own `malloc` is added to it, if its name section says which function that is; if its
//! name section shows that there is no `malloc`, there is nothing to fear; else it is refused with
//! [`Error::UnsafeAllocator`](crate::Error::UnsafeAllocator). A module without a `producers` section is trusted.

mod exit_code;
mod load;
mod module;
mod realloc;

pub use load::load;

#[cfg(test)]
mod tests;
