import Synchronization
import T4Protocols

/// What the clients of one memory store share: its objects. Lives as long as somebody holds it.
public final class MemoryStorage: Sendable {
    struct Object {
        var name: String
        var body: [UInt8]
        var version: UInt64

        var info: ObjectInfo {
            ObjectInfo(key: ObjectKey(name), size: UInt64(body.count), version: ObjectVersion("\(version)"))
        }
    }

    private struct State {
        /// In byte order of their names.
        var objects: [Object] = []
        var lastVersion: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Storage without objects.
    public init() {}

    /// The object of that name, nil when there is none.
    func object(_ key: ObjectKey) -> Object? {
        state.withLock { state in
            let (index, isThere) = state.objects.position(of: key)
            return isThere ? state.objects[index] : nil
        }
    }

    func put(
        _ key: ObjectKey, _ body: [UInt8], when condition: PutCondition
    ) throws(ObjectStoreError) -> ObjectVersion {
        try state.withLock { state throws(ObjectStoreError) in
            let (index, isThere) = state.objects.position(of: key)
            switch condition {
            case .always: break
            case .absent:
                guard !isThere else { throw ObjectStoreError(.alreadyExists, "\(key): there is such an object") }
            case .unchanged(let version):
                guard isThere else {
                    throw ObjectStoreError(.conditionFailed, "\(key): not at version \(version), but absent")
                }
                let seen = state.objects[index].info.version
                guard seen == version else {
                    throw ObjectStoreError(.conditionFailed, "\(key): not at version \(version), but at \(seen)")
                }
            }
            state.lastVersion += 1
            let object = Object(name: key.rawValue, body: body, version: state.lastVersion)
            if isThere { state.objects[index] = object } else { state.objects.insert(object, at: index) }
            return object.info.version
        }
    }

    /// At most `limit` objects behind `after` whose names begin with `prefix`, and whether more follow.
    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) -> ListPage {
        state.withLock { state in
            var index = state.objects.position(of: prefix).index
            if let after, !(after < prefix) {
                let (position, isThere) = state.objects.position(of: after)
                index = isThere ? position + 1 : position
            }
            var page = ListPage(objects: [], hasMore: false)
            while index < state.objects.count, state.objects[index].name.utf8.starts(with: prefix.rawValue.utf8) {
                if page.objects.count == limit {
                    page.hasMore = true
                    break
                }
                page.objects.append(state.objects[index].info)
                index += 1
            }
            return page
        }
    }

    func delete(_ keys: [ObjectKey]) {
        state.withLock { state in
            for key in keys {
                let (index, isThere) = state.objects.position(of: key)
                if isThere { state.objects.remove(at: index) }
            }
        }
    }
}

extension [MemoryStorage.Object] {
    /// Where the object of a name is, or belongs.
    fileprivate func position(of key: ObjectKey) -> (index: Int, isThere: Bool) {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].name.utf8.lexicographicallyPrecedes(key.rawValue.utf8) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        // By bytes: to `String` two spellings of one accented letter are equal.
        return (low, low < count && self[low].name.utf8.elementsEqual(key.rawValue.utf8))
    }
}
