import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The file, and where each object is in it. All numbers are little-endian.
///
/// ```
/// mark (16), where the last record ends (8), then records:
/// bytes of the name (8), bytes of the body or 2^64 - 1 for a delete (8), name, body
/// ```
///
/// Records are synced before the end is moved behind them, and the end is synced before the lock is let go. So what lies
/// behind the end is what a writer left that died, and the next record takes its place; what lies before it never changes.
struct ObjectFile: Sendable {
    /// An object and where its body begins. Its version is the place of its record, which no other ever has.
    struct Object: Sendable {
        var info: ObjectInfo
        var start: UInt64
    }

    private static let mark = Array("t4 example store".utf8)
    private static let headerSize: UInt64 = 24
    private static let deleted = UInt64.max

    private let path: String
    private let descriptor: Int32
    /// By the bytes of their names: to `String` two spellings of one accented letter are equal.
    private var index: [[UInt8]: Object] = [:]
    /// What the index knows ends here.
    private var end = ObjectFile.headerSize
    /// Set when nobody knows what of the file is on the disk. Opening it again syncs it.
    private var isUnsure = false

    /// Opens the file or makes it, and reads the names.
    init(path: String) throws(ObjectStoreError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("open", path) }
        do throws(ObjectStoreError) {
            try lock()
            defer { flock(descriptor, LOCK_UN) }
            let header = Self.mark + Self.bytes(Self.headerSize)
            let there = try size()
            // A writer that died while it made the file leaves a part of the header, or zeros in its place.
            if there <= Self.headerSize, zip(try read(0..<there), header).allSatisfy({ $0 == 0 || $0 == $1 }) {
                try write(header, at: 0)
                try sync()
                try syncFolder()
            }
            guard try size() >= Self.headerSize, try read(0..<16) == Self.mark else {
                throw ObjectStoreError(.corrupted, "\(path) is not a file of this store")
            }
            // Also what a writer before this one wrote and could not sync.
            try sync()
            try catchUp()
        } catch {
            close()
            throw error
        }
    }

    func close() { _ = Self.closeFile(descriptor) }

    // MARK: - Reading

    /// The object of that name.
    mutating func object(_ key: ObjectKey) throws(ObjectStoreError) -> Object {
        try locked { file throws(ObjectStoreError) in
            guard let object = file.index[Array(key.rawValue.utf8)] else {
                throw ObjectStoreError(.notFound, "\(key): there is no such object")
            }
            return object
        }
    }

    /// All objects, in no order.
    mutating func objects() throws(ObjectStoreError) -> [ObjectInfo] {
        try locked { file in file.index.values.map(\.info) }
    }

    /// A part of an object's body, which stays where it is.
    func body(of object: Object, _ part: Range<UInt64>) throws(ObjectStoreError) -> [UInt8] {
        try read(object.start + part.lowerBound..<object.start + part.upperBound)
    }

    /// The whole file of a payload.
    static func content(ofPayload path: String) throws(ObjectStoreError) -> [UInt8] {
        let payload = open(path, O_RDONLY | O_CLOEXEC)
        defer { _ = closeFile(payload) }
        var status = stat()
        guard payload >= 0, fstat(payload, &status) == 0 else {
            throw ObjectStoreError(.invalidArgument, "the file \(path) cannot be read", cause: failure("open", path))
        }
        return try read(payload, path, 0..<UInt64(status.st_size))
    }

    // MARK: - Writing

    /// Writes an object where the condition holds.
    mutating func put(
        _ key: ObjectKey, _ body: [UInt8], when condition: PutCondition
    ) throws(ObjectStoreError) -> ObjectVersion {
        let name = Array(key.rawValue.utf8)
        return try locked { file throws(ObjectStoreError) in
            let there = file.index[name]?.info.version
            switch condition {
            case .always: break
            case .absent:
                guard there == nil else { throw ObjectStoreError(.alreadyExists, "\(key): there is such an object") }
            case .unchanged(let version):
                guard there == version else {
                    let seen = there.map { "at \($0)" } ?? "absent"
                    throw ObjectStoreError(.conditionFailed, "\(key): not at version \(version), but \(seen)")
                }
            }
            let version = ObjectVersion("\(file.end)")
            try file.append(Self.bytes(UInt64(name.count)) + Self.bytes(UInt64(body.count)) + name + body)
            return version
        }
    }

    /// Deletes those of the objects that are there.
    mutating func delete(_ keys: [ObjectKey]) throws(ObjectStoreError) {
        try locked { file throws(ObjectStoreError) in
            let names = Set(keys.map { Array($0.rawValue.utf8) }).filter { file.index[$0] != nil }
            if names.isEmpty { return }
            try file.append(names.flatMap { Self.bytes(UInt64($0.count)) + Self.bytes(Self.deleted) + $0 })
        }
    }

    /// Adds records, all of them or none.
    private mutating func append(_ records: [UInt8]) throws(ObjectStoreError) {
        try write(records, at: end)
        try sync()
        // From here on others may see the records.
        do throws(ObjectStoreError) {
            try write(Self.bytes(end + UInt64(records.count)), at: 16)
            try sync()
        } catch {
            isUnsure = true
            throw ObjectStoreError(.outcomeUnknown, "\(path): the end of the file was moved or not", cause: error)
        }
        try catchUp()
    }

    // MARK: - The lock

    /// Runs `work` while no other writer is at work, on an index that knows everything in the file.
    private mutating func locked<Result>(
        _ work: (inout ObjectFile) throws(ObjectStoreError) -> Result
    ) throws(ObjectStoreError) -> Result {
        guard !isUnsure else {
            throw ObjectStoreError(.unavailable, "\(path) could not be synced; the store has to be opened again")
        }
        try lock()
        defer { flock(descriptor, LOCK_UN) }
        if try number(at: 16) != end {
            // Its writer may have died before its sync: nobody is to see what the disk may not have.
            try sync()
            try catchUp()
        }
        return try work(&self)
    }

    /// Adds what others wrote to the index.
    private mutating func catchUp() throws(ObjectStoreError) {
        let newEnd = try number(at: 16)
        guard newEnd >= end, newEnd <= (try size()) else { throw damaged(at: 16) }
        while end < newEnd {
            let (nameSize, bodySize) = (try number(at: end), try number(at: end + 8))
            guard (1...1024).contains(nameSize), end + 16 + nameSize <= newEnd else { throw damaged(at: end) }
            let start = end + 16 + nameSize
            let name = try read(end + 16..<start)
            if bodySize == Self.deleted {
                index[name] = nil
                end = start
                continue
            }
            guard bodySize <= newEnd - start else { throw damaged(at: end) }
            let key = ObjectKey(String(decoding: name, as: UTF8.self))
            index[name] = Object(
                info: ObjectInfo(key: key, size: bodySize, version: ObjectVersion("\(end)")), start: start)
            end = start + bodySize
        }
    }

    // MARK: - System calls

    private func lock() throws(ObjectStoreError) {
        while flock(descriptor, LOCK_EX) != 0 {
            guard errno == EINTR else { throw Self.failure("lock", path) }
        }
    }

    private func size() throws(ObjectStoreError) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("stat", path) }
        return UInt64(status.st_size)
    }

    private func number(at offset: UInt64) throws(ObjectStoreError) -> UInt64 {
        try read(offset..<offset + 8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private func read(_ range: Range<UInt64>) throws(ObjectStoreError) -> [UInt8] {
        try Self.read(descriptor, path, range)
    }

    private static func read(
        _ descriptor: Int32, _ path: String, _ range: Range<UInt64>
    ) throws(ObjectStoreError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + done, $0.count - done, Int(range.lowerBound) + done)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("read", path) }
            guard count > 0 else { throw ObjectStoreError(.corrupted, "\(path) is shorter than it was") }
            done += count
        }
        return bytes
    }

    private func write(_ bytes: [UInt8], at offset: UInt64) throws(ObjectStoreError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress! + done, $0.count - done, Int(offset) + done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure("write", path) }
            done += count
        }
    }

    private func sync() throws(ObjectStoreError) {
        guard fdatasync(descriptor) == 0 else { throw Self.failure("sync", path) }
    }

    /// Makes the file's name durable.
    private func syncFolder() throws(ObjectStoreError) {
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { path[..<$0].isEmpty ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("open", folder) }
        defer { _ = Self.closeFile(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.failure("sync", folder) }
    }

    private func damaged(at offset: UInt64) -> ObjectStoreError {
        ObjectStoreError(.corrupted, "\(path) is damaged at byte \(offset)")
    }

    private static func bytes(_ number: UInt64) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    /// Says what a failed system call, before the end of the file was moved, means to the caller of the store.
    private static func failure(_ call: String, _ path: String) -> ObjectStoreError {
        let code = errno
        let meaning: ObjectStoreError.Code =
            switch code {
            case ENOSPC, EDQUOT, EFBIG: .noSpace
            case EACCES, EPERM, EROFS: .permissionDenied
            default: .unavailable
            }
        return ObjectStoreError(meaning, "\(call) \(path): \(String(cString: strerror(code)))")
    }

    /// `close` of the system, which the method of that name hides.
    private static func closeFile(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.close(descriptor)
        #else
            Musl.close(descriptor)
        #endif
    }
}
