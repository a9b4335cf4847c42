//! The model between the kernel and the one who breaks it: every request passes here.

use super::model::{Errno, Keep, Model, Names};
use super::mounted::Fault;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The model, and what goes wrong with it.
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The model, and what is to happen to it.
pub struct State {
    /// The files.
    pub model: Model,
    /// Changes left until power fails.
    cut_in: Option<u64>,
    /// Whether the next sync fails.
    pub fail_sync: bool,
    /// Whether what was armed has come about.
    pub met: bool,
    power: Power,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// Off, and every request waits.
    Held,
    /// Off, and every request fails.
    Off,
}

/// What kind of request it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Nothing changes by it.
    ToLook,
    /// Something does.
    ToChange,
}

impl Shared {
    pub fn new(names: Names) -> Shared {
        let model = Model::new(names);
        let state = State {
            model,
            cut_in: None,
            fail_sync: false,
            met: false,
            power: Power::On,
        };
        Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        act(&mut self.lock().model)
    }

    pub fn arm(&self, fault: Fault) {
        let mut state = self.lock();
        state.met = false;
        match fault {
            Fault::PowerOff { change } => state.cut_in = Some(change),
            Fault::FailSync => state.fail_sync = true,
            Fault::Full { free_bytes } => {
                state.model.capacity = Some(state.model.used_bytes() + free_bytes);
            }
        }
    }

    pub fn met(&self) -> bool {
        self.lock().met
    }

    pub fn wait_for_cut(&self, timeout: Duration) {
        let on = |state: &mut State| state.power == Power::On;
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, on);
        let (mut state, _) = waited.expect("nobody panics with it");
        if state.power == Power::On {
            state.power = Power::Held;
        }
    }

    pub fn release(&self) {
        let mut state = self.lock();
        if state.power == Power::Held {
            state.power = Power::Off;
        }
        self.changed.notify_all();
    }

    pub fn power_on(&self, keep: Keep) {
        let mut state = self.lock();
        state.model.lose_power(keep);
        (state.power, state.cut_in, state.fail_sync) = (Power::On, None, false);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// Every request comes through here: it counts changes, and waits when power is off.
    pub fn request<T>(
        &self,
        asks: Asks,
        act: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        let mut state = self.lock();
        if asks == Asks::ToChange
            && state.power == Power::On
            && let Some(left) = state.cut_in
        {
            state.cut_in = left.checked_sub(1);
            if left <= 1 {
                (state.cut_in, state.met, state.power) = (None, true, Power::Held);
                self.changed.notify_all();
            }
        }
        let held = |state: &mut State| state.power == Power::Held;
        let mut state = self
            .changed
            .wait_while(state, held)
            .expect("nobody panics with it");
        let done = match state.power {
            Power::On => act(&mut state),
            _ => Err(libc::EIO),
        };
        if done.as_ref().err() == Some(&libc::ENOSPC) {
            state.met = true;
        }
        done.map_err(fuser::Errno::from_i32)
    }

    pub fn look<T>(&self, act: impl FnOnce(&Model) -> Result<T, Errno>) -> Result<T, fuser::Errno> {
        self.request(Asks::ToLook, |state| act(&state.model))
    }

    pub fn change<T>(
        &self,
        act: impl FnOnce(&mut Model) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        self.request(Asks::ToChange, |state| act(&mut state.model))
    }
}
