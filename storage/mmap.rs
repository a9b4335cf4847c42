//! Memory maps: sealed files for reading, and the one page that is stored to.
//!
//! The only module with `unsafe`. A map is a promise about what *others* do with a file, so
//! each block says who keeps that promise and for how long. What is never mapped: a file that
//! still grows, and any file that has not been checked as a whole.
#![allow(unsafe_code)]

use super::disk::sys;
use super::{Map, PAGE_LEN, Page};
use memmap2::{Mmap, MmapOptions, MmapRaw};
use std::fmt;
use std::fs;
use std::io;
// Not `crate::sync`: these words live in a file, where loom cannot follow them.
use std::sync::Arc;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A whole file, as long as it was when it was mapped. `None` is the empty file, which
/// systems refuse to map.
struct FileMap(Option<Mmap>);

impl Map for FileMap {
    fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for FileMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMap")
            .field("len", &self.bytes().len())
            .finish()
    }
}

/// Maps all of `file` for reading.
pub fn map(file: &fs::File) -> io::Result<Arc<dyn Map>> {
    let len = file.metadata()?.len();
    if len == 0 {
        return Ok(Arc::new(FileMap(None)));
    }
    let len = usize::try_from(len)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too large to map"))?;
    // SAFETY: the bytes must not change and the file must not shrink while the map lives. The
    // engine keeps that: it maps only files that it has sealed and never writes to or
    // truncates such a file again, only unlinks it, which leaves the pages in place until the
    // map is dropped. Other processes of the engine do not write without the journal's lock,
    // and everybody else is kept out by mode 0600 in a 0700 directory. The map is `len` bytes
    // and not the length at some later time, so growth is not seen.
    let map = unsafe { MmapOptions::new().len(len).map(file)? };
    Ok(Arc::new(FileMap(Some(map))))
}

/// A shared, writable map of the first page of a file.
struct MappedPage {
    map: MmapRaw,
}

impl Page for MappedPage {
    fn store(&self, offset: usize, bytes: &[u8]) {
        check_store(offset, bytes.len());
        for (i, word) in bytes.chunks_exact(8).enumerate() {
            let word = u64::from_ne_bytes(word.try_into().expect("chunks of 8 bytes"));
            // SAFETY: `check_store` keeps the address within the `PAGE_LEN` bytes that `map`
            // owns and that stay mapped as long as `self`; a map begins at a page boundary
            // and the offset is a multiple of 8, so the word is aligned. In this process all
            // access is through these atomic stores (no slice of the page is ever made), so
            // threads may race. Other processes only read the file. The file keeps its first
            // page for as long as it exists: only the holder of the journal's lock could
            // shorten it, and the engine never shortens a file that it mapped.
            let cell =
                unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset + 8 * i).cast()) };
            // In order, so that whoever sees a word sees the ones before it.
            cell.store(word, Ordering::Release);
        }
    }
}

impl fmt::Debug for MappedPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedPage").finish_non_exhaustive()
    }
}

/// A page stored to by ordinary writes, for file systems that copy on write: there, storing
/// to a mapped page needs new space each time, and on a full disk the system answers a store
/// with SIGBUS, which would kill the host.
#[derive(Debug)]
struct WrittenPage {
    file: fs::File,
}

impl Page for WrittenPage {
    fn store(&self, offset: usize, bytes: &[u8]) {
        check_store(offset, bytes.len());
        // As with a map, there is nobody to tell; the file keeps its older words.
        let _ = sys::write_all_at(&self.file, bytes, offset as u64);
    }
}

/// A page of memory that the kernel clears in every process forked from this one. There is one,
/// for all that asks.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
pub struct ForkMark {
    map: MmapRaw,
}

/// The page, once somebody has asked. A pointer and no `OnceLock`: a child forked while another
/// thread was making the page would wait for that thread for good.
#[cfg(any(target_os = "linux", target_os = "android"))]
static FORK_MARK: AtomicPtr<ForkMark> = AtomicPtr::new(std::ptr::null_mut());

/// What no process was called yet, in the line from the first to this one.
#[cfg(any(target_os = "linux", target_os = "android"))]
static NEXT_LIFE: AtomicU64 = AtomicU64::new(1);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl ForkMark {
    /// The page. `None` where the kernel cannot clear pages on fork.
    pub fn get() -> Option<&'static ForkMark> {
        let mut mark = FORK_MARK.load(Ordering::Acquire);
        if mark.is_null() {
            let mine = Box::into_raw(Box::new(ForkMark::new().ok()?));
            let put = FORK_MARK.compare_exchange(
                std::ptr::null_mut(),
                mine,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            mark = match put {
                Ok(_) => mine,
                Err(other) => {
                    // SAFETY: `mine` came from a box two lines above, and was given to nobody.
                    drop(unsafe { Box::from_raw(mine) });
                    other
                }
            };
        }
        // SAFETY: not null, so it is what one thread put there, from a box that nobody frees. The
        // acquiring load saw all of it written. A forked child has a copy of the box, and the page.
        Some(unsafe { &*mark })
    }

    fn new() -> io::Result<ForkMark> {
        let map = MmapRaw::from(MmapOptions::new().len(PAGE_LEN).map_anon()?);
        let advice = rustix::mm::Advice::LinuxWipeOnFork;
        // SAFETY: the advice concerns only the page that `map` has just made, is its only owner
        // of, and holds no reference into; it changes what a forked child finds there, which is
        // zeros, and those are as valid as any other bytes of a word.
        unsafe { rustix::mm::madvise(map.as_mut_ptr().cast(), PAGE_LEN, advice)? };
        Ok(ForkMark { map })
    }

    /// A number that this process has, and none that it was forked from or that is forked from it.
    pub fn life(&self) -> u64 {
        let life = self.now();
        if life != 0 {
            return life;
        }
        // Nobody has asked in this process. The counter was copied at the fork, so it is past
        // whatever the parent was called.
        let mine = NEXT_LIFE.fetch_add(1, Ordering::Relaxed);
        let word = self.word();
        match word.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => mine,
            Err(life) => life,
        }
    }

    /// The same, and 0 in a forked process that has not asked for its own.
    #[inline]
    pub fn now(&self) -> u64 {
        self.word().load(Ordering::Relaxed)
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: the first word of a page that `map` owns and keeps mapped as long as `self`,
        // aligned as pages are. All access to it is through this atomic; the kernel writes it
        // only in a child that has no other thread yet.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast()) }
    }
}

fn check_store(offset: usize, len: usize) {
    assert!(
        offset.is_multiple_of(8) && len.is_multiple_of(8),
        "a page is stored to in whole words"
    );
    assert!(
        offset <= PAGE_LEN && len <= PAGE_LEN - offset,
        "a store stays within its page"
    );
}

/// Makes the first page of `file` ready for storing to.
pub fn page(file: &fs::File) -> io::Result<Arc<dyn Page>> {
    if file.metadata()?.len() < PAGE_LEN as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the file is shorter than a page",
        ));
    }
    // `map_raw` gives out no reference, so making it takes no promise; `store` does.
    // Read into memory now, where failing has a name: a first store that has to wait for the disk
    // ends the process with SIGBUS if the disk does not answer.
    let map = MmapOptions::new().len(PAGE_LEN).populate().map_raw(file)?;
    if sys::file_overwrites_in_place(file) {
        Ok(Arc::new(MappedPage { map }))
    } else {
        Ok(Arc::new(WrittenPage {
            file: file.try_clone()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: &[u8]) -> fs::File {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        file
    }

    #[test]
    fn a_map_keeps_the_length_it_was_made_with() {
        let file = file_of(b"sealed");
        let map = map(&file).unwrap();
        sys::write_all_at(&file, b"!", 6).unwrap();
        assert_eq!(map.bytes(), b"sealed");
        assert_eq!(format!("{map:?}"), "FileMap { len: 6 }");
    }

    #[test]
    fn an_empty_file_maps_to_no_bytes() {
        assert_eq!(map(&file_of(b"")).unwrap().bytes(), b"");
    }

    #[test]
    fn stores_are_seen_by_readers_of_the_file() {
        let file = file_of(&[7; PAGE_LEN + 1]);
        let written = Arc::new(WrittenPage {
            file: file.try_clone().unwrap(),
        }) as Arc<dyn Page>;
        for page in [page(&file).unwrap(), written] {
            page.store(512, b"watermark at 12.");
            page.store(PAGE_LEN - 8, b"last one");
            let mut seen = vec![0; PAGE_LEN + 1];
            sys::read_at(&file, &mut seen, 0).unwrap();
            assert_eq!(&seen[512..528], b"watermark at 12.");
            assert_eq!(&seen[PAGE_LEN - 8..], b"last one\x07");
            assert_eq!(seen[511], 7);
            assert_eq!(seen[528], 7);
            sys::write_all_at(&file, &[7; PAGE_LEN + 1], 0).unwrap();
        }
    }

    #[test]
    fn a_file_shorter_than_a_page_has_none() {
        let error = page(&file_of(&[0; PAGE_LEN - 1])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    #[should_panic(expected = "within its page")]
    fn a_store_past_the_page_is_refused() {
        page(&file_of(&[0; PAGE_LEN]))
            .unwrap()
            .store(PAGE_LEN - 8, &[0; 16]);
    }

    #[test]
    #[should_panic(expected = "whole words")]
    fn a_store_of_part_of_a_word_is_refused() {
        page(&file_of(&[0; PAGE_LEN])).unwrap().store(4, &[0; 8]);
    }
}
