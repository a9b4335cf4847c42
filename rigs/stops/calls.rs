//! Which system calls concern files, and which errors each can return.
//!
//! From the manual pages, section 2, ERRORS, without those that need an argument the engine does
//! not pass (EFAULT, a bad flag) and with those that every call on a sick disk, a network disk or
//! a confined process is known to return.

// The numbers keep libc's names, which are no constants' in Rust's eyes.
#![allow(non_upper_case_globals)]

use libc::*;

/// How a call is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is not made, and this error is returned.
    Refused(i32),
    /// It is made, and this error is returned all the same.
    Told(i32),
    /// It transfers only half of what was asked for.
    Short,
}

/// A system call as the tracer sees it on entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub number: i64,
    pub args: [u64; 4],
}

impl Call {
    /// Whether it concerns a file. A map of memory that is no file's does not.
    pub fn concerns_files(&self) -> bool {
        match self.number {
            SYS_mmap => self.args[3] & MAP_ANONYMOUS as u64 == 0,
            number => table(number).is_some(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        table(self.number).map_or("?", |(name, _)| name)
    }

    /// How it fails on a disk that is gone for good, if it asks the disk for anything.
    pub fn fails_for_good(&self) -> Option<Fault> {
        let eio = self.faults().into_iter().find(|fault| match fault {
            Fault::Refused(error) | Fault::Told(error) => *error == EIO,
            Fault::Short => false,
        });
        eio.filter(|_| self.number != SYS_getrandom)
    }

    /// Whether somebody who only reads makes it.
    pub fn reads(&self) -> bool {
        matches!(
            self.number,
            SYS_openat
                | SYS_open
                | SYS_read
                | SYS_pread64
                | SYS_stat
                | SYS_lstat
                | SYS_newfstatat
                | SYS_statx
                | SYS_fstat
                | SYS_lseek
                | SYS_getdents64
                | SYS_mmap
        )
    }

    /// Every way in which it can fail.
    pub fn faults(&self) -> Vec<Fault> {
        let Some((_, errors)) = table(self.number) else {
            return Vec::new();
        };
        let creates = match self.number {
            SYS_openat => self.args[2] & O_CREAT as u64 != 0,
            SYS_open => self.args[1] & O_CREAT as u64 != 0,
            _ => true,
        };
        let only_creating = [ENOSPC, EDQUOT, EEXIST, EROFS];
        let can = |error: &&i32| creates || !only_creating.contains(error);
        // A close always lets go of the descriptor, whatever it returns.
        let refusable = self.number != SYS_close;
        let refused = errors.iter().filter(can).map(|e| Fault::Refused(*e));
        let mut faults: Vec<Fault> = refused.filter(|_| refusable).collect();
        let told: &[i32] = match self.number {
            SYS_close => errors,
            // What a disk that fails late says of something that has happened.
            SYS_write | SYS_pwrite64 | SYS_fdatasync | SYS_fsync | SYS_rename | SYS_renameat
            | SYS_renameat2 | SYS_unlink | SYS_unlinkat | SYS_mkdir | SYS_mkdirat
            | SYS_ftruncate => &[EIO],
            _ => &[],
        };
        faults.extend(told.iter().map(|e| Fault::Told(*e)));
        if matches!(
            self.number,
            SYS_read | SYS_write | SYS_pread64 | SYS_pwrite64
        ) && self.args[2] > 1
        {
            faults.push(Fault::Short);
        }
        faults
    }
}

/// What a call concerning files is named, and which errors it returns.
fn table(number: i64) -> Option<(&'static str, &'static [i32])> {
    const OPEN: &[i32] = &[
        EACCES,
        EBUSY,
        EDQUOT,
        EEXIST,
        EINTR,
        EIO,
        ELOOP,
        EMFILE,
        ENAMETOOLONG,
        ENFILE,
        ENOENT,
        ENOMEM,
        ENOSPC,
        ENOTDIR,
        EOVERFLOW,
        EPERM,
        EROFS,
        ESTALE,
        ETIMEDOUT,
        ETXTBSY,
    ];
    const READ: &[i32] = &[EAGAIN, EINTR, EIO, EISDIR, ENOMEM, EPERM, ESTALE, ETIMEDOUT];
    const WRITE: &[i32] = &[
        EAGAIN, EDQUOT, EFBIG, EINTR, EIO, ENOMEM, ENOSPC, EPERM, EROFS, ESTALE, ETIMEDOUT,
    ];
    const SYNC: &[i32] = &[EDQUOT, EINTR, EIO, ENOSPC, EROFS, ESTALE, ETIMEDOUT];
    const STAT: &[i32] = &[
        EACCES,
        EIO,
        ELOOP,
        ENAMETOOLONG,
        ENOENT,
        ENOMEM,
        ENOTDIR,
        EOVERFLOW,
        ESTALE,
    ];
    const FSTAT: &[i32] = &[EIO, ENOMEM, EOVERFLOW, ESTALE];
    const NAMES: &[i32] = &[
        EACCES,
        EBUSY,
        EDQUOT,
        EEXIST,
        EIO,
        ELOOP,
        ENAMETOOLONG,
        ENOENT,
        ENOMEM,
        ENOSPC,
        ENOTDIR,
        EPERM,
        EROFS,
        ESTALE,
    ];
    const REMOVE: &[i32] = &[
        EACCES,
        EBUSY,
        EIO,
        EISDIR,
        ELOOP,
        ENAMETOOLONG,
        ENOENT,
        ENOMEM,
        ENOTDIR,
        EPERM,
        EROFS,
        ESTALE,
    ];
    const MAKE_DIR: &[i32] = &[
        EACCES,
        EDQUOT,
        EEXIST,
        EIO,
        ELOOP,
        EMLINK,
        ENAMETOOLONG,
        ENOENT,
        ENOMEM,
        ENOSPC,
        ENOTDIR,
        EPERM,
        EROFS,
    ];
    const MODE: &[i32] = &[EIO, ENOENT, ENOMEM, EPERM, EROFS];
    Some(match number {
        SYS_openat => ("openat", OPEN),
        SYS_open => ("open", OPEN),
        SYS_read => ("read", READ),
        SYS_pread64 => ("pread64", READ),
        SYS_write => ("write", WRITE),
        SYS_pwrite64 => ("pwrite64", WRITE),
        SYS_fdatasync => ("fdatasync", SYNC),
        SYS_fsync => ("fsync", SYNC),
        SYS_msync => ("msync", &[EBUSY, EIO, ENOMEM]),
        SYS_ftruncate => (
            "ftruncate",
            &[EFBIG, EINTR, EIO, ENOSPC, EPERM, EROFS, ETXTBSY],
        ),
        SYS_fallocate => (
            "fallocate",
            &[EFBIG, EINTR, EIO, ENOSPC, EOPNOTSUPP, EPERM, ETXTBSY],
        ),
        SYS_stat => ("stat", STAT),
        SYS_lstat => ("lstat", STAT),
        SYS_newfstatat => ("newfstatat", STAT),
        SYS_statx => ("statx", STAT),
        SYS_fstat => ("fstat", FSTAT),
        SYS_statfs => (
            "statfs",
            &[
                EACCES, EINTR, EIO, ELOOP, ENOENT, ENOMEM, ENOSYS, ENOTDIR, EOVERFLOW,
            ],
        ),
        SYS_fstatfs => ("fstatfs", &[EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW]),
        SYS_lseek => ("lseek", &[EOVERFLOW, ENXIO]),
        SYS_close => ("close", &[EDQUOT, EINTR, EIO, ENOSPC]),
        SYS_rename => ("rename", NAMES),
        SYS_renameat => ("renameat", NAMES),
        SYS_renameat2 => ("renameat2", NAMES),
        SYS_link => ("link", NAMES),
        SYS_linkat => ("linkat", NAMES),
        SYS_unlink => ("unlink", REMOVE),
        SYS_unlinkat => ("unlinkat", REMOVE),
        SYS_rmdir => ("rmdir", REMOVE),
        SYS_mkdir => ("mkdir", MAKE_DIR),
        SYS_mkdirat => ("mkdirat", MAKE_DIR),
        SYS_getdents64 => ("getdents64", &[EINTR, EIO, ENOENT, ENOMEM, ESTALE]),
        SYS_flock => ("flock", &[EINTR, EIO, ENOLCK, EWOULDBLOCK]),
        SYS_fcntl => ("fcntl", &[EINTR, EMFILE]),
        SYS_fchmod => ("fchmod", MODE),
        SYS_chmod => ("chmod", MODE),
        SYS_readlink => ("readlink", STAT),
        SYS_mmap => (
            "mmap",
            &[
                EACCES, EAGAIN, ENFILE, ENODEV, ENOMEM, EOVERFLOW, EPERM, ETXTBSY,
            ],
        ),
        SYS_getrandom => ("getrandom", &[EAGAIN, EINTR, ENOSYS, EPERM]),
        _ => return None,
    })
}

/// An error's name.
pub fn error_name(error: i32) -> &'static str {
    match error {
        EACCES => "EACCES",
        EAGAIN => "EAGAIN",
        EBUSY => "EBUSY",
        EDQUOT => "EDQUOT",
        EEXIST => "EEXIST",
        EFBIG => "EFBIG",
        EINTR => "EINTR",
        EIO => "EIO",
        EISDIR => "EISDIR",
        ELOOP => "ELOOP",
        EMFILE => "EMFILE",
        EMLINK => "EMLINK",
        ENAMETOOLONG => "ENAMETOOLONG",
        ENFILE => "ENFILE",
        ENODEV => "ENODEV",
        ENOENT => "ENOENT",
        ENOLCK => "ENOLCK",
        ENOMEM => "ENOMEM",
        ENOSPC => "ENOSPC",
        ENOSYS => "ENOSYS",
        ENOTDIR => "ENOTDIR",
        ENXIO => "ENXIO",
        EOPNOTSUPP => "EOPNOTSUPP",
        EOVERFLOW => "EOVERFLOW",
        EPERM => "EPERM",
        EROFS => "EROFS",
        ESTALE => "ESTALE",
        ETIMEDOUT => "ETIMEDOUT",
        ETXTBSY => "ETXTBSY",
        _ => "E?",
    }
}
