import Glibc

/// A node's directory: one process at a time, its identity, and where its parts keep their files.
///
/// ```
/// LOCK              held with flock by the running process; holds its pid
/// database          format, database id, instance id
/// wal/              the log
/// engine/state      which generation is in use, and whether it was closed cleanly
/// engine/N/         files of the engine
/// ```
package final class DataDirectory: Sendable {
    /// What is wrong with a data directory.
    package struct Failure: Error, Sendable, CustomStringConvertible {
        package var description: String
    }

    /// Who this directory belongs to.
    package struct Identity: Hashable, Sendable {
        /// Of the database; every segment of its log carries it.
        package var database: DatabaseID
        /// Of this directory; a new disk has a new one.
        package var instance: DatabaseID
    }

    package let path: String
    package let identity: Identity
    private let lock: Monitor<Int32>

    package var wal: String { path + "/wal" }
    package var engine: String { path + "/engine" }

    /// Makes the directory if it does not exist and locks it, until `unlock` or until the object is gone.
    package init(_ path: String) throws {
        self.path = path
        try DurableFile.makeDirectory(path)
        let file = try DataDirectory.lock(path)
        lock = Monitor(file)
        do {
            if let identity = try DataDirectory.readIdentity(path) {
                self.identity = identity
            } else {
                var generator = SystemRandomNumberGenerator()
                identity = Identity(database: .random(using: &generator), instance: .random(using: &generator))
                let text = "format 1\ndatabase \(identity.database)\ninstance \(identity.instance)\n"
                try DurableFile.write(text, to: path + "/database")
            }
            try DurableFile.makeDirectory(path + "/engine")
        } catch {
            close(file)
            throw error
        }
    }

    deinit { unlock() }

    /// Lets another process have the directory. Safe twice.
    package func unlock() {
        lock.withLock { file in
            guard file >= 0 else { return }
            // A child process between fork and exec still has the descriptor: closing alone would not let go.
            flock(file, LOCK_UN)
            close(file)
            file = -1
        }
    }

    private static func lock(_ path: String) throws -> Int32 {
        let name = path + "/LOCK"
        let file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw DurableFile.Failure(call: "open", path: name, number: errno) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            defer { close(file) }
            guard number == EWOULDBLOCK else { throw DurableFile.Failure(call: "flock", path: name, number: number) }
            let owner = try DurableFile.read(name).map { $0.prefix { $0 != "\n" } } ?? ""
            throw Failure(
                description: "the data directory \(path) is in use by another t4 process"
                    + (owner.isEmpty ? "" : " (pid \(owner))") + "; stop it, or give this one another --data-dir")
        }
        let pid = Array("\(getpid())\n".utf8)
        guard ftruncate(file, 0) == 0, pwrite(file, pid, pid.count, 0) == pid.count else {
            let number = errno
            close(file)
            throw DurableFile.Failure(call: "write", path: name, number: number)
        }
        return file
    }

    /// The identity of a data directory; nil when it has none yet.
    package static func readIdentity(_ path: String) throws -> Identity? {
        let name = path + "/database"
        guard let text = try DurableFile.read(name) else { return nil }
        let fields = DurableFile.fields(of: text)
        guard fields["format"] == "1" else {
            throw Failure(
                description: "\(name) has format \(fields["format"] ?? "(none)"), this version reads format 1")
        }
        guard let database = fields["database"].flatMap({ DatabaseID(hex: $0) }),
            let instance = fields["instance"].flatMap({ DatabaseID(hex: $0) })
        else { throw Failure(description: "\(name) is damaged: it needs the lines format, database and instance") }
        return Identity(database: database, instance: instance)
    }
}
