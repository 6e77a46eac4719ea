package import Logging
package import T4Protocols

/// A database of another program that is taken over into a data directory of its own.
///
/// The directory is made as a restore makes it: under another name, and renamed once it is complete and on disk. The
/// database is a new one. Its lineage says what it was made from, which also tells a node that no log leads to its rows.
package struct ForeignDatabase: Sendable {
    /// Where the rows stand in the log of the new database: behind an entry that never was, so that nobody takes the log
    /// that begins there for the whole database.
    package static let position = LogPosition(term: 1, index: 1)

    private let digest: [UInt8]
    private let revision: Revision

    /// - Parameters:
    ///   - digest: SHA-256 of what the rows come from.
    ///   - revision: The revision of the database.
    package init(digest: [UInt8], revision: Revision) {
        precondition(digest.count == SHA256.byteCount, "a SHA-256 has \(SHA256.byteCount) bytes")
        self.digest = digest
        self.revision = revision
    }

    /// What a place for the directory must fulfil, to be asked before long work.
    /// - Throws: `RestoreError` with the code `.destination`; what the registry has against the engine's settings.
    package static func check(
        _ destination: RestoreDestination, registry: BackendRegistry, logger: Logger
    ) throws {
        try registry.checkEngineSettings(destination.engine, destination.engineSettings)
        _ = try RestoredDirectory(destination.dataDirectory, logger: logger)
    }

    /// Makes the directory. Blocks.
    /// - Parameter fill: Fills the empty engine, with `position` as its last entry, and may use the directory it is given
    ///   for temporary files.
    /// - Returns: What `fill` returned, and the id of the new database, 32 hexadecimal digits.
    /// - Throws: As `check`, and what `fill` throws; nothing is left then.
    package func make<Result>(
        _ destination: RestoreDestination, registry: BackendRegistry, logger: Logger,
        fill: (any LocalEngine, String) throws -> Result
    ) throws -> (result: Result, databaseID: String) {
        try registry.checkEngineSettings(destination.engine, destination.engineSettings)
        let directory = try RestoredDirectory(destination.dataDirectory, logger: logger)
        var random = SystemRandomNumberGenerator()
        let origin = Manifest.Lineage(
            database: Array(digest.prefix(DatabaseID.byteCount)).hex, term: ForeignDatabase.position.term,
            index: ForeignDatabase.position.index, revision: revision.rawValue)
        let identity = DataDirectory.Identity(
            database: .random(using: &random), instance: .random(using: &random), tie: .none, lineage: origin)
        let home = RestoredDirectory.Engine(type: destination.engine) { context in
            try registry.makeEngine(destination.engine, settings: destination.engineSettings, context: context)
        }
        return (try directory.make(identity, home, fill: fill), "\(identity.database)")
    }
}
