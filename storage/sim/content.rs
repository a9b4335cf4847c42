//! The bytes of a file, in pages that copies share until one of them is written.
//!
//! Copying a content costs one count per 256 KiB and writing a byte one page, whatever the
//! file's length. Pages of zeros are not kept, so a zero-filled segment costs next to nothing.
//! Bytes past the length are always zero.

use super::rng::Fnv;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The unit in which a disk writes: un-synced bytes live or die in such pieces.
pub const SECTOR: usize = 512;
const PAGE: usize = 4096;
const PAGES_PER_LEAF: usize = 64;

static ZEROS: [u8; PAGE] = [0; PAGE];
const HASH_OF_ZEROS: u64 = Fnv::new().with_words(&[0; PAGE]).finish();
const HASH_OF_NO_PAGES: u64 = Fnv::new().finish();

#[derive(Clone, Debug, Default)]
pub struct Content {
    len: u64,
    leaves: BTreeMap<u64, Arc<Leaf>>,
}

#[derive(Debug)]
struct Leaf {
    pages: [Option<Arc<Page>>; PAGES_PER_LEAF],
    /// Hash of the pages, once it was asked for.
    hash: OnceLock<u64>,
}

impl Clone for Leaf {
    fn clone(&self) -> Self {
        // Cloned to be written, as a page is.
        Leaf {
            pages: self.pages.clone(),
            hash: OnceLock::new(),
        }
    }
}

impl Leaf {
    fn empty() -> Self {
        Leaf {
            pages: [const { None }; PAGES_PER_LEAF],
            hash: OnceLock::new(),
        }
    }

    /// Hash of the pages that are not all zeros: pages kept and pages left out are alike.
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let mut hash = Fnv::new();
            for (slot, page) in self.pages.iter().enumerate() {
                let page_hash = page.as_ref().map_or(HASH_OF_ZEROS, |page| page.hash());
                if page_hash != HASH_OF_ZEROS {
                    hash.write(&(slot as u64).to_le_bytes());
                    hash.write(&page_hash.to_le_bytes());
                }
            }
            hash.finish()
        })
    }
}

impl Page {
    fn hash(&self) -> u64 {
        let hash = || Fnv::new().with_words(&self.bytes).finish();
        *self.hash.get_or_init(hash)
    }
}

#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE],
    /// Hash of the bytes, once it was asked for.
    hash: OnceLock<u64>,
}

impl Clone for Page {
    fn clone(&self) -> Self {
        // A page is cloned to be written, so the hash would not hold for long.
        Page {
            bytes: self.bytes,
            hash: OnceLock::new(),
        }
    }
}

impl Content {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Reads at `offset`; short only at the end.
    pub fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let there = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < there {
            let (page, at) = place(offset + done as u64);
            let part = &mut buf[done..there.min(done + PAGE - at)];
            match self.page(page) {
                Some(page) => part.copy_from_slice(&page.bytes[at..at + part.len()]),
                None => part.fill(0),
            }
            done += part.len();
        }
        there
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Writes at `offset`, lengthening as needed.
    pub fn write(&mut self, bytes: &[u8], offset: u64) {
        self.len = self.len.max(offset + bytes.len() as u64);
        self.write_within(bytes, offset);
    }

    /// The sector's bytes, zeros past the end.
    pub fn sector(&self, sector: u64) -> [u8; SECTOR] {
        let (page, at) = place(sector * SECTOR as u64);
        let mut bytes = [0; SECTOR];
        if let Some(page) = self.page(page) {
            bytes.copy_from_slice(&page.bytes[at..at + SECTOR]);
        }
        bytes
    }

    /// Writes one sector without regard to the length: the caller sets that afterwards.
    pub fn write_sector(&mut self, sector: u64, bytes: &[u8; SECTOR]) {
        self.write_within(bytes, sector * SECTOR as u64);
    }

    /// Sets the length, cutting everything past it.
    pub fn set_len(&mut self, len: u64) {
        // Sectors may have been written past the old length, so this cuts at any new one.
        let (page, at) = place(len);
        let (leaf, slot) = slot(page);
        let first_gone = if (slot, at) == (0, 0) { leaf } else { leaf + 1 };
        self.leaves.split_off(&first_gone);
        if first_gone != leaf && self.leaves.contains_key(&leaf) {
            let keep = slot + usize::from(at > 0);
            self.pages_mut(leaf)[keep..].fill(None);
            if at > 0
                && self
                    .page(page)
                    .is_some_and(|page| page.bytes[at..] != ZEROS[at..])
            {
                self.page_mut(page)[at..].fill(0);
            }
        }
        self.len = len;
    }

    /// Hash of length and bytes, from what was hashed before and has not changed.
    pub fn hash(&self) -> u64 {
        let mut hash = Fnv::new().with(&self.len.to_le_bytes());
        for (index, leaf) in &self.leaves {
            let leaf_hash = leaf.hash();
            if leaf_hash != HASH_OF_NO_PAGES {
                hash.write(&index.to_le_bytes());
                hash.write(&leaf_hash.to_le_bytes());
            }
        }
        hash.finish()
    }

    fn write_within(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, at) = place(offset + done as u64);
            let part = &bytes[done..bytes.len().min(done + PAGE - at)];
            done += part.len();
            if part == &ZEROS[..part.len()] {
                if self.page(page).is_none() {
                    continue;
                }
                if part.len() == PAGE {
                    self.drop_page(page);
                    continue;
                }
            }
            self.page_mut(page)[at..at + part.len()].copy_from_slice(part);
        }
    }

    fn page(&self, page: u64) -> Option<&Page> {
        let (leaf, slot) = slot(page);
        self.leaves.get(&leaf)?.pages[slot].as_deref()
    }

    fn pages_mut(&mut self, leaf: u64) -> &mut [Option<Arc<Page>>; PAGES_PER_LEAF] {
        let empty = || Arc::new(Leaf::empty());
        let leaf = Arc::make_mut(self.leaves.entry(leaf).or_insert_with(empty));
        leaf.hash = OnceLock::new();
        &mut leaf.pages
    }

    fn page_mut(&mut self, page: u64) -> &mut [u8; PAGE] {
        let (leaf, slot) = slot(page);
        let page = self.pages_mut(leaf)[slot].get_or_insert_with(|| {
            Arc::new(Page {
                bytes: ZEROS,
                hash: OnceLock::new(),
            })
        });
        let page = Arc::make_mut(page);
        page.hash = OnceLock::new();
        &mut page.bytes
    }

    fn drop_page(&mut self, page: u64) {
        let (leaf, slot) = slot(page);
        self.pages_mut(leaf)[slot] = None;
    }
}

fn place(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64, (offset % PAGE as u64) as usize)
}

fn slot(page: u64) -> (u64, usize) {
    let leaf = page / PAGES_PER_LEAF as u64;
    (leaf, (page % PAGES_PER_LEAF as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;

    #[test]
    fn pages_are_the_bytes_of_a_plain_vector() {
        const SPAN: u64 = 600 * 1024;
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let mut content = Content::default();
            let mut model: Vec<u8> = Vec::new();
            let mut earlier = (content.clone(), model.clone());
            for step in 0..40 {
                let offset = rng.below(SPAN) as usize;
                match rng.below(5) {
                    0 => {
                        content.set_len(offset as u64);
                        model.resize(offset, 0);
                    }
                    1 => earlier = (content.clone(), model.clone()),
                    choice => {
                        let mut bytes = vec![0; rng.below(3 * PAGE as u64) as usize];
                        let offset = if choice == 2 {
                            offset & !(PAGE - 1)
                        } else {
                            offset
                        };
                        if rng.sixteenths(10) {
                            rng.fill(&mut bytes);
                        }
                        content.write(&bytes, offset as u64);
                        model.resize(model.len().max(offset + bytes.len()), 0);
                        model[offset..offset + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                assert_eq!(content.len(), model.len() as u64, "seed {seed} step {step}");
            }
            assert!(content.to_vec() == model, "seed {seed}");
            assert!(
                earlier.0.to_vec() == earlier.1,
                "seed {seed}: a copy changed"
            );
            let mut rebuilt = Content::default();
            rebuilt.set_len(model.len() as u64);
            for (i, byte) in model.chunks(7).enumerate() {
                rebuilt.write(byte, i as u64 * 7);
            }
            assert_eq!(rebuilt.hash(), content.hash(), "seed {seed}");
        }
    }

    #[test]
    fn the_hash_sees_every_byte_and_the_length() {
        let mut content = Content::default();
        content.write(&[3; 10_000], 0);
        let before = content.hash();
        content.write(&[4], 9_999);
        assert_ne!(content.hash(), before);
        content.write(&[3], 9_999);
        assert_eq!(content.hash(), before);
        content.set_len(10_001);
        assert_ne!(content.hash(), before);
    }
}
