//! The C allocator's own habits, which count in a process's resident set.
#![allow(unsafe_code)]

/// Keeps glibc's allocator to one arena, so that a small process with several
/// threads does not reserve and fragment one each. Call it first thing in
/// `main`; does nothing with other C libraries.
pub fn limit_arenas() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: A1. A call without pointers, which glibc
        // documents as safe to make at any time (mallopt(3)).
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

/// Gives the allocator's free pages back to the kernel; worth its while after
/// much was freed. Does nothing with other C libraries.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: A2. A call without pointers, which glibc
        // makes under its own locks (malloc_trim(3)).
        let _ = unsafe { libc::malloc_trim(0) };
    }
}
