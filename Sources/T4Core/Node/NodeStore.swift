public import T4Protocols

/// The object store of a node, and what the node does with it.
public struct NodeStore: Sendable {
    /// Where the store comes from.
    public enum Source: Sendable {
        /// The store of that name in the registry. The node opens and closes it.
        case registered(String, settings: any SettingsSource)
        /// A store that is open already. The node never closes it.
        case opened(any ObjectStore)
    }

    /// Where the store comes from.
    public var source: Source
    /// Stands before every name in the store.
    public var prefix: String
    /// The store lies inside the data directory: both are lost and kept together. Such a store may be given up for
    /// another one later.
    public var isInside: Bool
    /// Where a new database begins, as a branch of another one; nil for no branch. Not looked at once the database exists,
    /// but for a check that it is this branch.
    public var branch: BranchPoint?
    /// Uploads of the log under way at once while writes wait for them; 1 to 64, more count as 64.
    public var uploadsInFlight = 4
    /// With `.local` durability entries are uploaded when the first of them is this old.
    public var uploadAgeMax = Duration.seconds(10)
    /// A start is given up when the store has not taken the node's first entry within this time.
    public var startTimeout = Duration.seconds(60)
    /// With `.objectStore` durability writes are refused, and those under way answered as unknown, once uploads have
    /// failed for so long.
    public var outageTimeout = Duration.seconds(5)
    /// A stop waits so long for entries that are not in the store yet. What is left is in the local log.
    public var stopTimeout = Duration.seconds(10)
    /// When checkpoints are made.
    public var checkpoints = CheckpointSchedule()
    /// What the node keeps when it deletes what nobody needs any more from the store: after the first checkpoint of its
    /// run, and after later ones at most once in five minutes. A collection that fails is only logged. Nil for never: then
    /// `GarbageCollection` has to be run by somebody else.
    public var collection: CollectionPolicy?

    /// A store with defaults for everything else.
    public init(_ source: Source, prefix: String = "", isInside: Bool = false) {
        self.source = source
        self.prefix = prefix
        self.isInside = isInside
    }
}

/// When a node makes checkpoints, apart from those it is asked for and the one at its start.
public struct CheckpointSchedule: Hashable, Sendable {
    /// Time from one to the next; nil for none by time.
    public var interval: Duration? = .seconds(15 * 60)
    /// Entries of the log from one to the next; 0 for none by number.
    public var entries: UInt64 = 0

    /// The first one is written anew from the rows of the engine, with no table of an earlier one: for a store in which some
    /// are damaged or lost.
    public var beginsAnew = false

    /// Every 15 minutes.
    public init() {}
}

/// When a write is acknowledged.
public enum Durability: Hashable, Sendable {
    /// Once it is synced to the local disk. It gets into the object store soon after.
    case local
    /// Once it is synced to the local disk and in the object store; in a cluster on the disks of all nodes in sync, too.
    case objectStore
    /// In a cluster: once it is synced to the disks of all nodes in sync, where that is one node also in the object store.
    case replicated
}
