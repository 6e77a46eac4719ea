package import Logging
package import T4Core
package import T4Protocols

/// Takes the database in a file of etcd's over into a new data directory, at the same revisions.
package struct EtcdImport: Sendable {
    /// What was taken over.
    package struct Report: Hashable, Sendable {
        /// Id of the new database, 32 hexadecimal digits.
        package var databaseID: String
        package var revision: Revision
        /// History below it is gone.
        package var compactedRevision: Revision
        /// Keys that exist.
        package var keyCount: UInt64
        /// Versions of keys, deletions too.
        package var versionCount: Int64
        package var leaseCount: Int
        package var userCount: Int
        package var roleCount: Int
        package var isAuthEnabled: Bool
        package var alarmCount: Int
        /// Keys that name a lease which the file does not have.
        package var keysWithoutLease: Int64
        /// Bytes of the database in the file.
        package var fileSize: UInt64
        /// Bytes that the engine takes on disk.
        package var sizeOnDisk: Int
    }

    private let path: String
    private let checksHash: Bool

    /// - Parameters:
    ///   - path: A file of `etcdctl snapshot save`, or of `member/snap/db` of a stopped etcd.
    ///   - checksHash: Refuses a file without the hash that `snapshot save` appends, or with a wrong one.
    package init(_ path: String, checksHash: Bool = true) {
        self.path = path
        self.checksHash = checksHash
    }

    /// Makes the directory, whole or not at all, as a restore does. Blocks.
    ///
    /// Holds in memory: 80 MiB of rows, the leases, users and roles, and of each page up to 256 MiB. Temporary files, in
    /// the directory under its other name, take about twice the size of the database.
    /// - Throws: `RestoreError` with the code `.destination`; a description of what is wrong with the file, of the
    ///   engine, of the disk.
    package func run(
        into destination: RestoreDestination, registry: BackendRegistry, logger: Logger
    ) throws -> Report {
        try ForeignDatabase.check(destination, registry: registry, logger: logger)
        let snapshot = try EtcdSnapshot(POSIXFileSystem().open(path), checksHash: checksHash)
        let database = ForeignDatabase(digest: snapshot.digest, revision: snapshot.revision)
        let made = try database.make(destination, registry: registry, logger: logger) { engine, directory in
            var rows = try EtcdSnapshotRows(snapshot, directory: directory)
            do throws(EngineError) {
                try engine.bulkLoad(&rows, at: ForeignDatabase.position)
            } catch {
                // What matters is what is wrong with the file.
                throw error.code == .ioFailed ? error.cause ?? error : error
            }
            return (meta: rows.meta, counts: rows.counts, sizeOnDisk: try engine.sizeOnDisk())
        }
        let (meta, counts, sizeOnDisk) = made.result
        return Report(
            databaseID: made.databaseID, revision: meta.revision, compactedRevision: meta.compacted,
            keyCount: meta.keys, versionCount: counts.versions, leaseCount: snapshot.leases.count,
            userCount: snapshot.accounts.users.count, roleCount: snapshot.accounts.roles.count,
            isAuthEnabled: snapshot.accounts.isEnabled, alarmCount: snapshot.alarms.count,
            keysWithoutLease: counts.keysWithoutLease, fileSize: snapshot.byteCount, sizeOnDisk: sizeOnDisk)
    }
}
