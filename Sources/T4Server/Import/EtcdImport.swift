import Glibc
package import Logging
package import T4Core
package import T4Protocols

/// Takes a database of etcd's over into a new data directory, at the same revisions.
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

    /// Opens the file; may make it, as a temporary one in the directory that it is given.
    private let open: @Sendable (_ directory: String) throws -> any LogFile
    /// What the file is called in errors.
    private let name: String
    private let checksHash: Bool
    private let mirroredCluster: UInt64?

    /// - Parameters:
    ///   - path: A file of `etcdctl snapshot save`, or of `member/snap/db` of a stopped etcd.
    ///   - checksHash: Refuses a file without the hash that `snapshot save` appends, or with a wrong one.
    package init(_ path: String, checksHash: Bool = true) {
        open = { _ in
            var info = stat()
            if stat(path, &info) == 0, (info.st_mode & S_IFMT) != S_IFREG {
                throw BoltDatabase.Failure("it is no regular file")
            }
            return try POSIXFileSystem().open(path)
        }
        name = path
        self.checksHash = checksHash
        mirroredCluster = nil
    }

    /// A directory that is to follow a cluster, from what its call `Snapshot` gives.
    init(mirroring cluster: UInt64, open: @escaping @Sendable (_ directory: String) throws -> any LogFile) {
        self.open = open
        name = "the snapshot of the source"
        checksHash = true
        mirroredCluster = cluster
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
        let database = try ForeignDatabase(destination, registry: registry, logger: logger)
        let made = try database.make { engine, directory in
            do {
                return try make(engine, directory)
            } catch let failure as BoltDatabase.Failure {
                throw BoltDatabase.Failure("\(name): \(failure)")
            }
        }
        var report = made.result
        report.databaseID = made.databaseID
        return report
    }

    private func make(_ engine: any LocalEngine, _ directory: String) throws -> (Report, ForeignDatabase.Origin) {
        let snapshot = try EtcdSnapshot(open(directory), checksHash: checksHash)
        let report = try EtcdImport.load(snapshot, into: engine, directory)
        if let mirroredCluster { try MirrorMark.write(mirroredCluster, directory) }
        return (report, ForeignDatabase.Origin(digest: snapshot.digest, revision: snapshot.revision))
    }

    private static func load(
        _ snapshot: EtcdSnapshot, into engine: any LocalEngine, _ directory: String
    ) throws -> Report {
        var rows = try EtcdSnapshotRows(snapshot, directory: directory)
        do throws(EngineError) {
            try engine.bulkLoad(&rows, at: ForeignDatabase.position)
        } catch {
            // What matters is what is wrong with the file.
            throw error.code == .ioFailed ? error.cause ?? error : error
        }
        let accounts = snapshot.accounts
        return Report(
            databaseID: "", revision: rows.meta.revision, compactedRevision: rows.meta.compacted,
            keyCount: rows.meta.keys, versionCount: rows.counts.versions, leaseCount: snapshot.leases.count,
            userCount: accounts.users.count, roleCount: accounts.roles.count, isAuthEnabled: accounts.isEnabled,
            alarmCount: snapshot.alarms.count, keysWithoutLease: rows.counts.keysWithoutLease,
            fileSize: snapshot.byteCount, sizeOnDisk: try engine.sizeOnDisk())
    }
}
