import T4Protocols

/// Reads everything of a database in its object store and checks it, whatever else is damaged.
///
/// Changes nothing, and may run beside a node and beside a collection: what they remove meanwhile is not missed. What the
/// last upload before a loss has added cannot be told from what was never uploaded: an end of the log that is gone is not
/// found unless a checkpoint lies behind it.
package struct StoreVerifier: Sendable {
    /// Whose digests are added up from all rows and compared.
    package enum Depth: Hashable, Sendable {
        /// Nobody's: every object is intact and belongs to the others.
        case objects
        /// The newest checkpoint's.
        case newestState
        /// Every checkpoint's, and what the log makes of it up to the next one. Keeps in memory what changed between two.
        case allStates
    }

    /// How far the work is.
    package struct Progress: Hashable, Sendable {
        package var what: String
        package var done: Int
        package var all: Int
    }

    private let store: BlockingStore
    private let depth: Depth
    private let foreign: @Sendable (String) throws -> BlockingStore
    private let progress: @Sendable (Progress) -> Void

    /// - Parameters:
    ///   - foreign: Gives the store under another prefix, for tables of a branch.
    ///   - progress: Hears of each object or state that is done; called on the thread of `run`.
    package init(
        _ store: BlockingStore, depth: Depth, foreign: @escaping @Sendable (String) throws -> BlockingStore,
        progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) {
        self.store = store
        self.depth = depth
        self.foreign = foreign
        self.progress = progress
    }

    /// Verifies everything. Blocks; see `BlockingStore`.
    /// - Throws: Whatever keeps the store from answering. What is wrong with objects is in the report.
    package func run() throws -> VerificationReport {
        let verification = StoreVerification(store, foreign: foreign, progress: progress)
        try verification.readRoots()
        try verification.readCollection()
        try verification.readManifests()
        try verification.readPins()
        try verification.readTables()
        try verification.readLog()
        switch depth {
        case .objects: break
        case .newestState: try verification.addUpNewestState()
        case .allStates: try verification.addUpStates()
        }
        return verification.report
    }
}
