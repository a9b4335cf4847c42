//! The one door to locks and atomics.
//!
//! Under `cfg(loom)` the same names are loom's, so that each hand-over between
//! threads can be model-checked with the code that runs in production. Nothing
//! else in the crate names `parking_lot` or `loom`.

#[cfg(not(loom))]
mod real {
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub use std::sync::Arc;
    pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub use std::thread::{Thread, current, park};

    /// Waits on `condvar`, giving up `guard` meanwhile.
    pub fn wait<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>) {
        condvar.wait(guard);
    }

    /// As [`wait`], until `deadline` at the latest. Returns whether that has passed.
    pub fn wait_until<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        deadline: std::time::Instant,
    ) -> bool {
        condvar.wait_until(guard, deadline).timed_out()
    }
}

#[cfg(loom)]
mod model {
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub use loom::thread::{Thread, current, park};
    use std::ops::{Deref, DerefMut};
    pub use std::sync::Arc;

    /// loom's mutex with parking_lot's signature (no poisoning).
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    /// Guard of [`Mutex`]; `None` only while a condvar holds it.
    pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(
                self.0.lock().expect("loom mutexes are never poisoned here"),
            ))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_ref().expect("guard is held outside of a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("guard is held outside of a wait")
        }
    }

    /// loom's condvar with parking_lot's signature.
    #[derive(Debug, Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Condvar(loom::sync::Condvar::new())
        }
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
        pub fn notify_one(&self) {
            self.0.notify_one();
        }
    }

    /// Waits on `condvar`, giving up `guard` meanwhile.
    pub fn wait<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>) {
        let inner = guard.0.take().expect("guard is held before a wait");
        guard.0 = Some(
            condvar
                .0
                .wait(inner)
                .expect("loom mutexes are never poisoned here"),
        );
    }

    /// Timed waits are not modelled.
    pub fn wait_until<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        _deadline: std::time::Instant,
    ) -> bool {
        wait(condvar, guard);
        false
    }

    /// loom's reader-writer lock with parking_lot's signature.
    #[derive(Debug, Default)]
    pub struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub fn new(value: T) -> Self {
            RwLock(loom::sync::RwLock::new(value))
        }
        pub fn read(&self) -> loom::sync::RwLockReadGuard<'_, T> {
            self.0.read().expect("loom locks are never poisoned here")
        }
        pub fn write(&self) -> loom::sync::RwLockWriteGuard<'_, T> {
            self.0.write().expect("loom locks are never poisoned here")
        }
    }
}

#[cfg(loom)]
pub use model::*;
#[cfg(not(loom))]
pub use real::*;
