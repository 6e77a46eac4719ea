import Glibc
import T4Protocols

extension StoreDirectory {
    /// One page of names in byte order.
    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) throws(ObjectStoreError) -> ListPage {
        let prefix = Array(prefix.rawValue.utf8)
        // No object lies outside the folder that the prefix names up to its last slash.
        let start = Array(prefix[..<(prefix.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)])
        var listing = Listing(prefix: prefix, after: after.map { Array($0.rawValue.utf8) }, limit: limit)
        _ = try walk(ObjectPath.folder(of: start), start, &listing)
        return listing.page
    }

    private struct Listing {
        let prefix: [UInt8]
        let after: [UInt8]?
        let limit: Int
        var page = ListPage(objects: [], hasMore: false)

        func wants(object name: [UInt8]) -> Bool {
            name.starts(with: prefix) && after.map { $0.lexicographicallyPrecedes(name) } != false
        }

        /// - Parameter start: What the names in it begin with.
        func wants(folder start: [UInt8]) -> Bool {
            guard start.starts(with: prefix) || prefix.starts(with: start) else { return false }
            guard let after else { return true }
            return after.starts(with: start) || after.lexicographicallyPrecedes(start)
        }
    }

    private struct Entry {
        /// A folder's ends in a slash, so that sorting these sorts all names below them.
        var name: [UInt8]
        var path: String
        var isFolder: Bool
    }

    /// Adds the objects of a folder and those below it.
    /// - Returns: False when the page is full.
    private func walk(
        _ folder: String, _ start: [UInt8], _ listing: inout Listing
    ) throws(ObjectStoreError) -> Bool {
        var entries: [Entry] = []
        do throws(SystemFailure) {
            try read(folder, start, listing, into: &entries)
        } catch {
            throw ObjectStoreError(error)
        }
        entries.sort { $0.name.lexicographicallyPrecedes($1.name) }
        for entry in entries {
            if entry.isFolder {
                guard try walk(entry.path, entry.name, &listing) else { return false }
            } else if let info = try info(of: entry) {
                if listing.page.objects.count == listing.limit {
                    listing.page.hasMore = true
                    return false
                }
                listing.page.objects.append(info)
            }
        }
        return true
    }

    /// Size and version of what was found; nil for what is no object of ours, or no longer there.
    private func info(of entry: Entry) throws(ObjectStoreError) -> ObjectInfo? {
        guard ObjectPath(entry.name).relative == entry.path, let name = String(validating: entry.name, as: UTF8.self)
        else { return nil }
        do throws(ObjectStoreError) {
            return try info(ObjectKey(name))
        } catch {
            if error.code == .notFound { return nil }
            throw error
        }
    }

    /// Reads the names of one folder, with those that continue in other folders because they are long.
    private func read(
        _ folder: String, _ start: [UInt8], _ listing: Listing, into entries: inout [Entry]
    ) throws(SystemFailure) {
        for name in try names(in: folder) {
            let path = ObjectPath.join(folder, name)
            switch ObjectPath.read(name) {
            case .object(let rest):
                let name = start + rest
                if listing.wants(object: name) { entries.append(Entry(name: name, path: path, isFolder: false)) }
            case .folder(let part):
                let name = start + part + [UInt8(ascii: "/")]
                if listing.wants(folder: name) { entries.append(Entry(name: name, path: path, isFolder: true)) }
            case .piece(let piece):
                let name = start + piece
                if listing.wants(folder: name) { try read(path, name, listing, into: &entries) }
            case nil: break
            }
        }
    }

    /// The names in a folder; none when it is not there, or no folder.
    private func names(in folder: String) throws(SystemFailure) -> [String] {
        // On some file systems a name that is replaced while a folder is read can be missed, so no put does it now.
        try locks.holding(.names) { _ throws(SystemFailure) in
            do throws(SystemFailure) {
                let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
                return try OpenFile(folder.isEmpty ? "." : folder, in: objects, flags).names()
            } catch {
                if error.number == ENOENT || error.number == ENOTDIR || error.number == ELOOP { return [] }
                throw error
            }
        }
    }
}
