import FoundationEssentials
import Glibc
import T4Protocols

/// A node's directory: one process at a time, its identity, and where its parts keep their files.
///
/// ```
/// LOCK              held with flock by the running process; holds its pid
/// database          whose it is, see `Identity`
/// wal/              the log
/// wal.aside-N/      a log that another node superseded
/// aside             there while the whole directory is being set aside
/// aside-1/          what was set aside, for it is another history than that of the cluster
/// uploaded          an entry of the log that is in the store with everything before it
/// engine/state      which generation is in use, and whether it was closed cleanly
/// engine/N/         files of the engine
/// checkpoint.tmp/   tables on their way into the store
/// ```
package final class DataDirectory: Sendable {
    /// What is wrong with a data directory.
    package struct Failure: Error, Sendable, CustomStringConvertible {
        package var description: String
    }

    /// How far a directory is tied to an object store.
    package enum StoreTie: String, Hashable, Sendable {
        /// It has never had one.
        case none
        /// It has only ever had the one inside itself.
        case inside
        /// It has had another one: that prefix must know the database.
        case outside
        /// A restore made it, and no node has run in it yet.
        case restored
    }

    /// Who this directory belongs to.
    package struct Identity: Hashable, Sendable {
        /// Of the database; every segment of its log carries it.
        package var database: DatabaseID
        /// Of this directory; a new disk has a new one.
        package var instance: DatabaseID
        package var tie: StoreTie
        /// Where the database came from, if it began as a part of another one.
        package var lineage: Manifest.Lineage?
        /// Where a restore took the state from: what becomes the lineage where the directory becomes a database of its
        /// own. Only with `.restored`.
        package var origin: Manifest.Lineage?

        package init(
            database: DatabaseID, instance: DatabaseID, tie: StoreTie = .none, lineage: Manifest.Lineage? = nil,
            origin: Manifest.Lineage? = nil
        ) {
            self.database = database
            self.instance = instance
            self.tie = tie
            self.lineage = lineage
            self.origin = origin
        }
    }

    package let path: String
    private let state: Monitor<State>

    private struct State {
        var lock: Int32
        var identity: Identity?
    }

    package var wal: String { path + "/wal" }
    package var engine: String { path + "/engine" }
    /// Where tables lie that are written anew. Not there while nobody writes any; what a crash leaves is removed when the
    /// directory is opened.
    package var tables: String { path + "/checkpoint.tmp" }

    /// Makes the directory if it does not exist and locks it, until `unlock` or until the object is gone.
    package init(_ path: String) throws {
        self.path = path
        try DurableFile.makeDirectory(path)
        let file = try DataDirectory.lock(path)
        do {
            if try DurableFile.read(path + "/aside") != nil { try DataDirectory.finishSettingAside(path) }
            state = Monitor(State(lock: file, identity: try DataDirectory.readIdentity(path)))
            try DurableFile.makeDirectory(engine)
            try DurableFile.removeTree(tables)
        } catch {
            close(file)
            throw error
        }
    }

    /// Who it belongs to; nil when it is new.
    package var identity: Identity? { state.withLock { $0.identity } }

    /// Writes down who it belongs to; durable when it returns.
    package func setIdentity(_ identity: Identity) throws {
        try DataDirectory.writeIdentity(identity, path)
        state.withLock { $0.identity = identity }
    }

    /// The entry that `setUploadedMark` wrote down last.
    func uploadedMark() throws -> LogPosition? {
        guard let text = try DurableFile.read(path + "/uploaded") else { return nil }
        let fields = DurableFile.fields(of: text)
        guard let term = fields["term"].flatMap({ UInt64($0) }), let index = fields["index"].flatMap({ UInt64($0) })
        else { return nil }
        return LogPosition(term: term, index: index)
    }

    /// Writes down that the log is in the store up to an entry.
    func setUploadedMark(_ position: LogPosition) throws {
        try DurableFile.write("term \(position.term)\nindex \(position.index)\n", to: path + "/uploaded")
    }

    /// Renames the log's directory, so that a new log can begin.
    /// - Returns: Where it is now: `wal.aside-N`.
    func setLogAside() throws -> String {
        var number = 1
        while DurableFile.isDirectory("\(wal).aside-\(number)") { number += 1 }
        let aside = "\(wal).aside-\(number)"
        guard rename(wal, aside) == 0 else { throw DurableFile.Failure(call: "rename", path: wal, number: errno) }
        try DurableFile.syncDirectory(path)
        return aside
    }

    /// Decides that nothing here is used again: whoever locks the directory next finds it new, and everything in `aside-1`.
    /// - Throws: Also where something was set aside before that is still there.
    package func beginSettingAside() throws {
        let aside = path + "/aside-1"
        guard !DurableFile.isDirectory(aside) else {
            throw Failure(
                description: "a data directory that does not belong to the cluster's history is set aside, but "
                    + "\(aside) is still there from another time: look whether it is needed, and remove it")
        }
        try DurableFile.write("format 1\n", to: path + "/aside")
    }

    /// Moves everything away, as often as that is cut off; the directory is locked.
    private static func finishSettingAside(_ path: String) throws {
        let aside = path + "/aside-1"
        try DurableFile.makeDirectory(aside)
        let files = try FileManager.default.contentsOfDirectory(atPath: path)
        // The identity last: as long as it is there, so is the name under which the rest is known.
        for name in files.filter({ isOwn($0) && $0 != "database" }) + ["database"] {
            guard rename("\(path)/\(name)", "\(aside)/\(name)") == 0 || errno == ENOENT else {
                throw DurableFile.Failure(call: "rename", path: "\(path)/\(name)", number: errno)
            }
        }
        try DurableFile.syncDirectory(aside)
        try DurableFile.syncDirectory(path)
        guard unlink(path + "/aside") == 0 else {
            throw DurableFile.Failure(call: "unlink", path: path + "/aside", number: errno)
        }
        try DurableFile.syncDirectory(path)
    }

    private static func isOwn(_ name: String) -> Bool {
        ["database", "wal", "uploaded", "engine", "checkpoint.tmp"].contains(name) || name.hasPrefix("wal.aside-")
    }

    deinit { unlock() }

    /// Lets another process have the directory. Safe twice.
    package func unlock() {
        state.withLock { state in
            guard state.lock >= 0 else { return }
            // A child process between fork and exec still has the descriptor: closing alone would not let go.
            flock(state.lock, LOCK_UN)
            close(state.lock)
            state.lock = -1
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
        var identity = Identity(database: database, instance: instance)
        if let tie = fields["store"] {
            guard let known = StoreTie(rawValue: String(tie)) else {
                throw Failure(description: "\(name) is damaged: the line store says \(tie)")
            }
            identity.tie = known
        }
        identity.lineage = try lineage("lineage", fields, name)
        identity.origin = try lineage("restored", fields, name)
        return identity
    }

    private static func lineage(
        _ field: Substring, _ fields: [Substring: Substring], _ name: String
    ) throws -> Manifest.Lineage? {
        guard let text = fields[field] else { return nil }
        guard let lineage = Manifest.Lineage(line: text) else {
            throw Failure(description: "\(name) is damaged: the line \(field) cannot be read")
        }
        return lineage
    }

    /// Writes the identity of the directory at `path`, which must exist; durable when it returns.
    package static func writeIdentity(_ identity: Identity, _ path: String) throws {
        var text =
            "format 1\ndatabase \(identity.database)\ninstance \(identity.instance)\nstore \(identity.tie.rawValue)\n"
        if let lineage = identity.lineage { text += "lineage \(lineage.line)\n" }
        if let origin = identity.origin { text += "restored \(origin.line)\n" }
        try DurableFile.write(text, to: path + "/database")
    }
}

extension Manifest.Lineage {
    /// One line of text.
    fileprivate var line: String { "\(database) \(term) \(index) \(revision)" }

    fileprivate init?(line: Substring) {
        let fields = line.split(separator: " ", omittingEmptySubsequences: false)
        guard fields.count == 4, let database = DatabaseID(hex: fields[0]), let term = UInt64(fields[1]),
            let index = UInt64(fields[2]), let revision = Int64(fields[3])
        else { return nil }
        self.init(database: database.description, term: term, index: index, revision: revision)
    }
}
