import Glibc
import Synchronization
import T4Protocols

/// The files of one store, opened by one client. All calls may block.
///
/// ```
/// format       says that this is a store, and of which version
/// lock         its bytes are locked (LockRange); holds the generation of the folders
/// objects/     the objects (ObjectPath, ObjectHeader)
/// tmp/NUMBER/  files in the making of one client, which holds the lock of that number as long as it lives
/// ```
final class StoreDirectory: Sendable {
    /// Whether conditions are kept, or refused.
    let keepsConditions: Bool
    let objects: OpenFile
    let locks: LockFile
    /// The folder of this client's files in the making.
    let temporary: OpenFile
    let lastTemporary = Atomic<UInt64>(0)
    let durableFolders = Mutex(DurableFolders())
    /// Held by whoever has the disk write a piece of a large object.
    let pieceTurn = Mutex(())
    /// Files in the making that dead clients left and this opening removed.
    let leftoverCount: Int

    /// Folders whose own names are on the disk, as far as this client knows; counts for one generation only.
    struct DurableFolders {
        var generation: UInt64 = 0
        var paths: Set<String> = []
    }

    private let temporaries: OpenFile
    private let temporaryName: String
    private let owner: HeldLock

    /// Opens the store in a folder, or makes one there.
    /// - Throws: `.invalidArgument` when the folder holds something else; `.unsupported` for a format of another
    ///   version; `.permissionDenied`, `.noSpace`, `.unavailable`.
    init(
        path: String, conditionalPuts: FilesystemStoreSettings.ConditionalPuts
    ) throws(ObjectStoreError) {
        try StoreDirectory.prepare(path)
        keepsConditions =
            switch conditionalPuts {
            case .on: true
            case .off: false
            case .auto: MountTable.type(of: path).map(MountTable.localTypes.contains) ?? false
            }
        do throws(SystemFailure) {
            let root = try OpenFile(path: path, O_RDONLY | O_DIRECTORY)
            let locks = try LockFile(root: root)
            self.locks = locks
            // Until the end: no other client takes this one's folder for a dead one's.
            let start = try locks.hold(.start)
            defer { withExtendedLifetime(start) {} }
            objects = try OpenFile("objects", in: root, O_RDONLY | O_DIRECTORY)
            let temporaries = try OpenFile("tmp", in: root, O_RDONLY | O_DIRECTORY)
            leftoverCount = try StoreDirectory.removeLeftovers(temporaries, locks)
            let number = UInt64.random(in: 0..<1 << 60)
            owner = try locks.hold(.owner(number))
            temporaryName = String(number, radix: 16)
            try makeFolder(temporaryName, in: temporaries)
            temporary = try OpenFile(temporaryName, in: temporaries, O_RDONLY | O_DIRECTORY)
            self.temporaries = temporaries
        } catch {
            throw ObjectStoreError(error)
        }
    }

    deinit {
        // Where this fails the next opening removes it.
        unlinkat(temporaries.descriptor, temporaryName, AT_REMOVEDIR)
    }

    private static let format = "t4 filesystem store 1\n"

    /// Makes the folder and writes the format into it, or checks the format.
    private static func prepare(_ path: String) throws(ObjectStoreError) {
        let obstacle = try io { () throws(SystemFailure) -> Obstacle? in
            try makeFolders(path)
            let root = try OpenFile(path: path, O_RDONLY | O_DIRECTORY)
            if let obstacle = try findObstacle(in: root) { return obstacle }
            return try LockFile(root: root).holding(.start) { _ throws(SystemFailure) in
                // Of several clients one makes the store.
                if let obstacle = try findObstacle(in: root) { return obstacle }
                try fill(root)
                return nil
            }
        }
        switch obstacle {
        case nil: return
        case .format(let text):
            throw ObjectStoreError(
                .unsupported,
                "\(path)/format says \(text.debugDescription); this version knows \(format.debugDescription)")
        case .file(let name):
            throw ObjectStoreError(
                .invalidArgument, "\(path) is no store and not empty, it holds \(name); name an empty folder")
        }
    }

    /// Why a folder cannot be a store.
    private enum Obstacle {
        case format(String)
        case file(String)
    }

    private static func findObstacle(in root: OpenFile) throws(SystemFailure) -> Obstacle? {
        let names = Set(try root.names())
        if names.contains("format") {
            let text = String(decoding: try OpenFile("format", in: root, O_RDONLY).read(100, at: 0), as: UTF8.self)
            return text == format ? nil : .format(text)
        }
        // What an opening that was cut off has made is fine.
        return names.subtracting([LockFile.name, "format.new", "objects", "tmp", "lost+found"]).min().map(Obstacle.file)
    }

    private static func fill(_ root: OpenFile) throws(SystemFailure) {
        if try root.names().contains("format") { return }
        for name in ["objects", "tmp"] { try makeFolder(name, in: root) }
        let file = try OpenFile("format.new", in: root, O_RDWR | O_CREAT | O_TRUNC)
        try file.write(Array(format.utf8).span.bytes, at: 0)
        try file.sync()
        try check("rename", file.path) { renameat(root.descriptor, "format.new", root.descriptor, "format") }
        try root.sync()
    }

    /// Removes the files of clients that no longer live. Called with the lock `start` held.
    /// - Returns: How many files.
    private static func removeLeftovers(
        _ temporaries: OpenFile, _ locks: LockFile
    ) throws(SystemFailure) -> Int {
        var count = 0
        for name in try temporaries.names() {
            guard let number = UInt64(name, radix: 16), number < 1 << 60, try !locks.isHeld(.owner(number)) else {
                continue
            }
            let folder = try OpenFile(name, in: temporaries, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            for file in try folder.names() {
                try check("unlink", "\(folder.path)/\(file)") { unlinkat(folder.descriptor, file, 0) }
                count += 1
            }
            try check("rmdir", folder.path) { unlinkat(temporaries.descriptor, name, AT_REMOVEDIR) }
        }
        return count
    }
}

/// Runs system calls, none of which has changed an object when one fails.
func io<Result>(
    _ key: ObjectKey? = nil, _ body: () throws(SystemFailure) -> Result
) throws(ObjectStoreError) -> Result {
    do throws(SystemFailure) {
        return try body()
    } catch {
        throw ObjectStoreError(error, on: key)
    }
}

/// Makes a folder unless it exists; its name is not on the disk until `parent` is synced.
func makeFolder(_ name: String, in parent: OpenFile) throws(SystemFailure) {
    let descriptor = parent.descriptor
    if mkdirat(descriptor, name, 0o700) != 0, errno != EEXIST {
        throw SystemFailure(call: "mkdir", path: "\(parent.path)/\(name)", number: errno)
    }
}

/// Makes a folder with those above it, their names on the disk.
private func makeFolders(_ path: String) throws(SystemFailure) {
    var result = mkdir(path, 0o700)
    if result != 0, errno == ENOENT, path != "/", !path.isEmpty {
        try makeFolders(parent(of: path))
        // Once: a link to nowhere, or a place such as /proc, says the same for ever.
        result = mkdir(path, 0o700)
    }
    if result != 0 {
        if errno == EEXIST { return }
        throw SystemFailure(call: "mkdir", path: path, number: errno)
    }
    try OpenFile(path: parent(of: path), O_RDONLY | O_DIRECTORY).sync()
}

private func parent(of path: String) -> String {
    let parts = path.split(separator: "/")
    let above = parts.dropLast().joined(separator: "/")
    return path.utf8.first == UInt8(ascii: "/") ? "/" + above : above.isEmpty ? "." : above
}
