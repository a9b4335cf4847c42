//! Deliberately broken variants, to test the tests.
//!
//! With feature `sim`, one thread at a time can switch one variant on for itself; the power-loss
//! simulation must then find what it breaks. Without the feature nothing of this is compiled in.

/// A way to break the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sabotage {
    /// Groups are acknowledged without a sync.
    SkipSync,
    /// Names are never made durable.
    SkipDirSync,
    /// A group is acknowledged before the sync that covers it.
    AckBeforeSync,
    /// The watermark is stored before the sync that it speaks of.
    EarlyWatermark,
    /// A snapshot is published before its files are durable.
    EarlySnapshot,
    /// Segments are given up before the snapshot that covers them is published.
    EarlyReclaim,
    /// All lives of a file share one seed, and nobody looks at the segment's id.
    DropSeed,
    /// A group is believed by its header: its frames are not checked.
    TrustLength,
    /// A group with broken frames is taken as far as it reads.
    HalfGroups,
    /// Recovery believes what is not proven durable.
    SkipRelog,
    /// After an unclean stop the torn segment is appended to.
    AppendAfterTorn,
    /// Whatever does not validate is a torn tail.
    IgnoreProof,
    /// A snapshot forgets which sessions were deleted.
    ForgetTombstones,
    /// The name of the journal's own directory is never made durable.
    SkipParentSync,
    /// A sync that failed is asked for once more, and believed.
    RetrySync,
    /// The older of the two watermarks on the page counts.
    StaleWatermark,
    /// The page goes on to say that the journal is closed while it is written to again.
    KeepCleanMark,
    /// Whoever waits for the very last record of a group is not woken.
    LoseWakeUp,
}

#[cfg(feature = "sim")]
impl Sabotage {
    /// Every variant.
    pub const ALL: &'static [Sabotage] = &[
        Sabotage::SkipSync,
        Sabotage::SkipDirSync,
        Sabotage::AckBeforeSync,
        Sabotage::EarlyWatermark,
        Sabotage::EarlySnapshot,
        Sabotage::EarlyReclaim,
        Sabotage::DropSeed,
        Sabotage::TrustLength,
        Sabotage::HalfGroups,
        Sabotage::SkipRelog,
        Sabotage::AppendAfterTorn,
        Sabotage::IgnoreProof,
        Sabotage::ForgetTombstones,
        Sabotage::SkipParentSync,
        Sabotage::RetrySync,
        Sabotage::StaleWatermark,
        Sabotage::KeepCleanMark,
        Sabotage::LoseWakeUp,
    ];

    /// Switches a variant on for this thread, or all off.
    pub fn set(variant: Option<Sabotage>) {
        CURRENT.set(variant);
    }
}

impl Sabotage {
    /// Whether this variant is on.
    #[inline]
    pub(crate) fn is_on(self) -> bool {
        #[cfg(feature = "sim")]
        return CURRENT.get() == Some(self);
        #[cfg(not(feature = "sim"))]
        false
    }
}

#[cfg(feature = "sim")]
thread_local! {
    static CURRENT: std::cell::Cell<Option<Sabotage>> = const { std::cell::Cell::new(None) };
}
