import Glibc
import T4Protocols

/// Tables in files of a folder of their own, for the time until they are in the store.
///
/// For one thread. Nothing of it outlives a crash: whoever opens the data directory removes the folder.
package final class TableFiles {
    /// Room on the disk of the folder.
    package struct Space: Sendable {
        /// Bytes that are free.
        package var free: @Sendable () throws -> UInt64
        /// Bytes that are left to others.
        package var kept: UInt64

        package init(kept: UInt64, free: @escaping @Sendable () throws -> UInt64) {
            self.kept = kept
            self.free = free
        }
    }

    private let folder: String
    private let space: Space
    private var sizes: [String: Int] = [:]

    /// Makes the folder anew, empty.
    /// - Parameter expected: Bytes that will be put there, as far as that is known.
    /// - Throws: When there is no room for that many.
    package init(_ folder: String, expecting expected: UInt64, space: Space) throws {
        self.folder = folder
        self.space = space
        try DurableFile.removeTree(folder)
        try DurableFile.makeDirectory(folder)
        do {
            try requireSpace(expected)
        } catch {
            try remove()
            throw error
        }
    }

    /// Where a table lies; meaningful only where there is a size.
    package func path(of id: String) -> String { "\(folder)/\(id)" }

    /// Bytes of a table; nil when it is not here.
    package func size(of id: String) -> Int? { sizes[id] }

    package func put(_ table: Table) throws {
        let id = table.id.description
        if sizes[id] != nil { return }
        try requireSpace(UInt64(table.bytes.count))
        try DurableFile.writeUnsynced(table.bytes, to: path(of: id))
        sizes[id] = table.bytes.count
    }

    /// The bytes of a table; nil when it is not here.
    package func read(_ id: String) throws -> [UInt8]? {
        sizes[id] == nil ? nil : try DurableFile.readBytes(path(of: id))
    }

    /// Removes the folder with everything in it. Safe twice.
    package func remove() throws {
        sizes = [:]
        try DurableFile.removeTree(folder)
    }

    private func requireSpace(_ size: UInt64) throws {
        let free = try space.free()
        guard free < space.kept || free - space.kept < size else { return }
        throw CheckpointError(
            .interrupted,
            "No space left on device: \(folder) needs \(size) more bytes for tables and leaves \(space.kept) to others, "
                + "\(free) are free")
    }
}
