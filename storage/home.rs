//! The process that something belongs to, and whether this is still that process.
//!
//! A child forked from a host inherits every handle: descriptors, maps, buffers with records that
//! the parent will write as well. It does not inherit the threads, and whichever lock one of them
//! held at that moment stays held for good. So the first thing that a call does is to ask whether
//! it is still at home, before it takes any lock.
//!
//! Asking the system for the process id costs a system call in each append. A page that the kernel
//! clears in every forked child costs a load. Where the kernel has no such page (before Linux 4.14,
//! and elsewhere), the process id is asked for. See docs/decisions/0010.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
use super::mmap::ForkMark;

/// Where something was made. Made in a forked child, it is the child's.
#[derive(Debug)]
pub struct Home {
    pid: u32,
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
    mark: Option<(&'static ForkMark, u64)>,
}

impl Home {
    /// This process.
    pub fn here() -> Home {
        Home {
            pid: std::process::id(),
            #[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
            mark: ForkMark::get().map(|mark| (mark, mark.life())),
        }
    }

    /// Whether this is the process, and not one forked from it.
    #[inline]
    pub fn is_here(&self) -> bool {
        #[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
        if let Some((mark, life)) = self.mark {
            return mark.now() == life;
        }
        // Windows and the model have no fork.
        cfg!(any(loom, not(unix))) || self.pid == std::process::id()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}
