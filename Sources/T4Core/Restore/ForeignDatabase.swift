package import Logging
package import T4Protocols

/// A database of another program that is taken over into a data directory of its own.
///
/// The directory is made as a restore makes it: under another name, and renamed once it is complete and on disk. The
/// database is a new one. Its lineage says what it was made from, which also tells a node that no log leads to its rows.
package struct ForeignDatabase {
    /// Where the rows stand in the log of the new database: behind an entry that never was, so that nobody takes the log
    /// that begins there for the whole database.
    package static let position = LogPosition(term: 1, index: 1)

    /// What the rows come from.
    package struct Origin: Hashable, Sendable {
        /// SHA-256 of it.
        package var digest: [UInt8]
        /// Revision of the database.
        package var revision: Revision

        package init(digest: [UInt8], revision: Revision) {
            precondition(digest.count == SHA256.byteCount, "a SHA-256 has \(SHA256.byteCount) bytes")
            self.digest = digest
            self.revision = revision
        }
    }

    private let destination: RestoreDestination
    private let registry: BackendRegistry
    private let directory: RestoredDirectory

    /// Looks whether the directory can be made.
    /// - Throws: `RestoreError` with the code `.destination`; what the registry has against the engine's settings.
    package init(_ destination: RestoreDestination, registry: BackendRegistry, logger: Logger) throws {
        try registry.checkEngineSettings(destination.engine, destination.engineSettings)
        directory = try RestoredDirectory(destination.dataDirectory, logger: logger)
        self.destination = destination
        self.registry = registry
    }

    /// Makes the directory. Blocks.
    /// - Parameter fill: Fills the empty engine, with `position` as its last entry, and may use the directory it is given
    ///   for temporary and further files.
    /// - Returns: What `fill` returned, and the id of the new database, 32 hexadecimal digits.
    /// - Throws: What `fill` throws; of the engine and the disk. Nothing is left then.
    package func make<Result>(
        fill: (any LocalEngine, String) throws -> (Result, Origin)
    ) throws -> (result: Result, databaseID: String) {
        let (registry, destination) = (registry, destination)
        let home = RestoredDirectory.Engine(type: destination.engine) { context in
            try registry.makeEngine(destination.engine, settings: destination.engineSettings, context: context)
        }
        return try directory.make(home) { engine, directory in
            let (result, origin) = try fill(engine, directory)
            let identity = ForeignDatabase.identity(origin)
            return ((result, "\(identity.database)"), identity)
        }
    }

    private static func identity(_ origin: Origin) -> DataDirectory.Identity {
        var random = SystemRandomNumberGenerator()
        let lineage = Manifest.Lineage(
            database: Array(origin.digest.prefix(DatabaseID.byteCount)).hex, term: position.term, index: position.index,
            revision: origin.revision.rawValue)
        return DataDirectory.Identity(
            database: .random(using: &random), instance: .random(using: &random), tie: .none, lineage: lineage)
    }
}
