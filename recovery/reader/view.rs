//! What a reader sees: the fold and the index of everything proven durable, as of one moment.
//!
//! A view learns how far the log is durable before it reads the log, so whatever lies below
//! that bound was whole in the files already. It applies only groups that lie wholly below.

use crate::error::{Corruption, Error, Result};
use crate::format::group::Group;
use crate::format::ids::{Epoch, JournalId, Lsn, SegmentId};
use crate::format::manifest::{Manifest, ReplayPoint};
use crate::format::names;
use crate::format::watermark::Watermark;
use crate::journal::index::{Index, Loc};
use crate::journal::segments::SegmentFile;
use crate::journal::walk::{Step, Stop, Walk};
use crate::model::event::{Kind, decode_payload};
use crate::model::fold::{FoldFault, Record};
use crate::model::state::State;
use crate::recovery::open::{Base, check_present, known, load_base, read_watermark};
use crate::recovery::scan::{Segments, read_log};
use crate::snapshot::catalog;
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use crate::sync::{Arc, RwLock};

/// How often a load is begun again because a writer changed the files meanwhile.
const ATTEMPTS: usize = 8;

/// Everything durable, as of one moment.
#[derive(Debug)]
pub(super) struct View {
    pub manifest: Manifest,
    pub state: State,
    pub index: Arc<RwLock<Index>>,
    /// Everything below is in `state` and `index`, and nothing else.
    pub point: ReplayPoint,
    /// The latest writer that is known of.
    pub epoch: Epoch,
    /// What was found damaged and could be done without.
    pub warnings: Vec<String>,
}

impl View {
    /// Reads the journal in `dir`.
    ///
    /// A writer may compact meanwhile: files vanish, or are used again under another name. So
    /// what does not validate is looked at again from the manifest on, and believed to be
    /// damage only when it fails twice in the same way while nothing was published in between.
    ///
    /// # Errors
    /// As [`super::Reader::open`].
    pub fn load(dir: &Dir, key_window: usize) -> Result<View> {
        let mut before = None;
        for _ in 1..ATTEMPTS {
            let error = match View::try_load(dir, key_window) {
                Err(error) if may_be_motion(&error) => error,
                loaded => return loaded,
            };
            let now = (error.to_string(), generation(dir)?);
            if before.replace(now) == before {
                return Err(error);
            }
        }
        View::try_load(dir, key_window)
    }

    fn try_load(dir: &Dir, key_window: usize) -> Result<View> {
        let found = catalog::read_newest(dir)?.ok_or_else(|| Error::NotFound {
            path: dir.path().to_path_buf(),
        })?;
        let manifest = &found.manifest;
        let journal = manifest.journal;
        let mark = read_watermark(dir, journal);
        let known = known(manifest, mark.as_ref().ok());
        let segments = Segments::open(dir, journal, manifest.log_floor, OpenMode::Read)?;
        let Base {
            mut image,
            packs,
            mut warnings,
            ..
        } = load_base(dir, &found, key_window)?;
        if let Err(why) = &mark {
            warnings.push(format!("the watermark page says nothing: {why}"));
        }
        check_present(dir, &segments, &image)?;
        let mut bound = known.lsn;
        let mut held_back = None;
        let mut end = read_log(dir, &segments, image.point, known, |segment, at, group| {
            bound = bound.max(group.header.durable_lsn);
            if held_back.is_some() || at.end_lsn > bound {
                held_back.get_or_insert(at.before);
                return Ok(());
            }
            image
                .apply_group(segment.id(), at.offset, group)
                .map_err(|misfit| misfit.into_error(segment))
        })?;
        end.hold_against_page(&segments, mark.is_ok());
        if let Some(corruption) = end.corruption {
            // A writer goes on while this reads: behind a group that was seen half written
            // there may be whole ones by now. What was durable at the beginning has been read.
            let moved = mark.ok().map(|mark| mark.counter) != counter(dir, journal);
            if !moved || end.point.next_lsn < known.lsn {
                return Err(corruption.into());
            }
        }
        let point = held_back.unwrap_or(end.point);
        image.set_point(point);
        let (state, mut index) = image.into_live();
        index.packs = packs;
        for id in index.first_lsns.values() {
            if let Some(segment) = segments.whole.get(id) {
                index.segments.insert(*id, segment.clone());
            }
        }
        let mut view = View {
            manifest: found.manifest,
            state,
            index: Arc::new(RwLock::new(index)),
            point,
            epoch: end.point.epoch,
            warnings,
        };
        // What proves a group may stand behind it.
        view.advance_to(dir, end.proven_lsn.min(end.point.next_lsn))?;
        if let Ok(mark) = read_watermark(dir, journal) {
            view.epoch = view.epoch.max(mark.epoch);
        }
        Ok(view)
    }

    /// Everything below is durable, and seen.
    pub fn durable_lsn(&self) -> Lsn {
        self.point.next_lsn
    }

    /// Goes on to what is durable now.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the log does not go on as far as it is proven: it is damaged, or a
    /// writer took away what this view refers to, or the whole journal. [`Error::Io`].
    pub fn advance(&mut self, dir: &Dir) -> Result<()> {
        match read_watermark(dir, self.manifest.journal) {
            Ok(Watermark {
                durable_lsn, epoch, ..
            }) => {
                self.epoch = self.epoch.max(epoch);
                self.advance_to(dir, durable_lsn)
            }
            Err(_) => {
                // A restore or an upgrade puts another journal in the place of this one, and the
                // page is that one's then.
                let in_force = catalog::read_newest(dir)?.map(|found| found.manifest.journal);
                if in_force != Some(self.manifest.journal) {
                    let what = "another journal is in the place of this one";
                    return Err(Corruption::new(dir.path(), what).into());
                }
                let proven = self.proven_by_groups(dir)?;
                self.advance_to(dir, proven)
            }
        }
    }

    /// Applies the groups that lie wholly below `bound`.
    fn advance_to(&mut self, dir: &Dir, bound: Lsn) -> Result<()> {
        if self.point.next_lsn >= bound {
            return Ok(());
        }
        let segments = self.segments_ahead(dir)?;
        self.walk_ahead(&segments, |view, segment, offset, group| {
            if group.header.end_lsn() > bound {
                return Ok(false);
            }
            view.apply(segment, offset, group)?;
            Ok(true)
        })?;
        if self.point.next_lsn >= bound {
            return Ok(());
        }
        let path = dir.join(&names::segment(self.point.segment));
        Err(Corruption::new(path, "durable records do not validate")
            .at(self.point.offset)
            .in_segment(self.point.segment)
            .of_lsns(self.point.next_lsn, bound)
            .into())
    }

    /// What the groups ahead prove to be durable, where no watermark page says it.
    fn proven_by_groups(&mut self, dir: &Dir) -> Result<Lsn> {
        let segments = self.segments_ahead(dir)?;
        let (start, mut proven) = (self.point, Lsn::default());
        let walked = self.walk_ahead(&segments, |_, _, _, group| {
            proven = proven.max(group.header.durable_lsn);
            Ok(true)
        });
        let end = std::mem::replace(&mut self.point, start);
        walked.map(|()| proven.min(end.next_lsn))
    }

    fn segments_ahead(&self, dir: &Dir) -> Result<Segments> {
        Segments::open(
            dir,
            self.manifest.journal,
            self.point.segment,
            OpenMode::Read,
        )
    }

    /// Hands group after group to `visit` and moves the point past those that it takes, up to
    /// the first one that it does not take, or that is not there.
    fn walk_ahead(
        &mut self,
        segments: &Segments,
        mut visit: impl FnMut(&mut View, &Arc<SegmentFile>, u64, &Group<'_>) -> Result<bool>,
    ) -> Result<()> {
        for (id, segment) in &segments.whole {
            let walk = if *id == self.point.segment {
                Walk::new(segment, self.point)
            } else {
                Walk::from_start(segment, &self.point)
            };
            let mut walk = walk.until(segments.void_from(*id));
            loop {
                match walk.step()? {
                    Step::Group(offset, group) => {
                        if !visit(self, segment, offset, &group)? {
                            return Ok(());
                        }
                        self.point = walk.point();
                    }
                    Step::End(Stop::Sealed | Stop::Full) => break,
                    Step::End(_) => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// Folds a group and notes where its records are.
    fn apply(&mut self, segment: &Arc<SegmentFile>, offset: u64, group: &Group<'_>) -> Result<()> {
        let mut index = self.index.write();
        let id: SegmentId = segment.id();
        if index.first_lsns.values().next_back() != Some(&id) {
            index.first_lsns.insert(group.header.first_lsn, id);
        }
        index.segments.entry(id).or_insert_with(|| segment.clone());
        for (at, frame) in group.frames() {
            let offset = offset + at as u64;
            let misfit = |why: String| -> Error {
                Corruption::new(segment.path(), why)
                    .at(offset)
                    .in_segment(id)
                    .of_lsns(frame.header.lsn, frame.header.lsn.next())
                    .into()
            };
            let coding = frame.header.coding();
            coding.map_err(|fault| misfit(fault.to_string()))?;
            let kind = Kind::try_from(frame.header.kind).map_err(FoldFault::Kind);
            let kind = kind.map_err(|fault| misfit(fault.to_string()))?;
            let (envelope, content) =
                decode_payload(frame.payload).map_err(|fault| misfit(fault.to_string()))?;
            let record = Record {
                lsn: frame.header.lsn,
                session: frame.header.session,
                seq: frame.header.seq,
                epoch: frame.header.epoch,
                kind,
                envelope: &envelope,
                content_len: content.len() as u32,
            };
            let applied = self.state.apply(&record);
            applied.map_err(|fault| misfit(fault.to_string()))?;
            let log = index.session_mut(frame.header.session);
            log.push(frame.header.seq, Loc::new(id, offset));
        }
        Ok(())
    }
}

/// Whether an error may come from a writer that changes the files while they are read.
pub(crate) fn may_be_motion(error: &Error) -> bool {
    match error {
        Error::Corrupt(_) => true,
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The generation of the manifest in force.
pub(super) fn generation(dir: &Dir) -> Result<Option<u64>> {
    let found = catalog::read_newest(dir)?;
    Ok(found.map(|found| found.manifest.generation))
}

fn counter(dir: &Dir, journal: JournalId) -> Option<u64> {
    read_watermark(dir, journal).ok().map(|mark| mark.counter)
}
