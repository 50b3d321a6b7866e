//! Ways to deviate from the protocol. The model must notice each of them, but for the one that is said to do no harm.

/// One deviation of an implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    // W1 to W6
    ReadsPlanBeforeOpen,
    ChoosesParentBeforeOpen,
    /// Harmless: a parent chosen after `open` is found by P5 in any case.
    ChoosesParentBeforePlan,
    AcknowledgesBeforeItStopsUsing,
    ReusesCondemnedAfterSeen,
    GoesOnAfterAMissedPlan,
    CommitOverwrites,
    ResumesAcrossAFence,
    ResumesFromEnded,
    EverySegmentCounts,
    Level1CountsWithoutResult,
    // P2, P3
    PlansWithoutSessions,
    ListsSessionsBeforePacks,
    // P4, P5
    DoesNotWait,
    PassesOverTheSilent,
    PassesOverTheSilentWithASibling,
    DoesNotLookAgain,
    LooksAgainWithoutSettling,
    ListsSessionsBeforeTombstones,
    ListsSnapshotsBeforeSessions,
    ParentIsNoRoot,
    ProgressIsNoRoot,
    SessionIsOverAlone,
    // P6, P7
    Reprieves,
    TrustsOrphanCopies,
    HoldsNothingForSessions,
    PutsOrphansIntoTheIndex,
    // P8
    DeletesBeforeResult,
    ActsBelowTheHighestPlan,
    DeletesTombstones,
    DeletesAnyForgottenRecord,
}
