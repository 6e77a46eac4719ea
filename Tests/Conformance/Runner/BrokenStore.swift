import Foundation
import Synchronization
import T4Protocols

/// What is wrong with a `BrokenStore`; the text is the beginning of the name of a rule that must see it.
enum StoreDefect: String, CaseIterable {
    case createOverwrites = "a put if absent creates once"
    case swapComparesNothing = "a put if unchanged replaces that version only"
    case swapCreates = "a put if unchanged never creates"
    case looksThenCreates = "of 16 creates at once"
    case looksThenSwaps = "a counter that several writers raise"
    case looksThenSwapsOnce = "of 16 swaps of one version"
    case pretends = "a condition that the store cannot keep"
    case keepsVersion = "a put replaces the whole object"
    case returnsVersionBefore = "equal bytes put twice"
    case listHasOwnVersions = "versions that list, info and get give"
    case listOutOfOrder = "a list is in byte order"
    case listMissesNewest = "a list sees every finished put"
    case listWithoutSizes = "a list states size and version"
    case prefixIsFolder = "a list is in byte order and"
    case afterIsIncluded = "a page begins behind"
    case pagesEndEarly = "1100 objects are listed"
    case alwaysMore = "a page that holds the last name"
    case rangeOffByOne = "a range gives its bytes"
    case rangeStatesOwnSize = "a range gives its bytes, cut"
    case rangeBehindEndIsEmpty = "a range that starts at the end"
    case deleteThrowsForAbsent = "objects are deleted, absent ones"
    case deleteTakesFolder = "an object, objects below its name"
    case tornPut = "a read sees one put"
    case fileCutOff = "a body is put from a file"
    case fileMissingIsEmpty = "a body from a file that cannot be read"
    case ignoresCase = "names of letters, digits"
    case trimsSlashes = "names with dots for parts"
    case unifiesSpellings = "names beyond ASCII"
    case worksAfterClose = "a closed store refuses"
    case dropsCancelled = "cancelled callers leave whole objects"
}

/// A store with one defect.
final class BrokenStore: ObjectStore {
    private let base: any ObjectStore
    private let defect: StoreDefect
    private let newest = Mutex<ObjectKey?>(nil)

    init(_ base: any ObjectStore, _ defect: StoreDefect) {
        self.base = base
        self.defect = defect
    }

    var capabilities: ObjectStoreCapabilities {
        defect == .pretends
            ? ObjectStoreCapabilities(putsIfAbsent: false, putsIfUnchanged: false, isDurable: false)
            : base.capabilities
    }

    func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        var range = bytes
        if let bytes, defect == .rangeOffByOne { range = bytes.lowerBound..<(bytes.upperBound &+ 1) }
        do throws(ObjectStoreError) {
            var stored = try await base.get(stored(key), bytes: range)
            stored.info = seen(stored.info, as: key)
            if defect == .rangeStatesOwnSize { stored.info.size = UInt64(stored.bytes.count) }
            return stored
        } catch {
            guard defect == .rangeBehindEndIsEmpty, error.code == .invalidArgument else { throw error }
            return StoredBytes(bytes: [], info: try await base.info(key))
        }
    }

    func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        seen(try await base.info(stored(key)), as: key)
    }

    func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        newest.withLock { $0 = key }
        if defect == .dropsCancelled, Task.isCancelled { return try await base.put(key, .bytes([]), when: condition) }
        if defect == .tornPut, case .bytes(let bytes) = payload {
            _ = try await base.put(key, .bytes(Array(bytes.prefix(bytes.count / 2))), when: condition)
            await Task.yield()
            return try await base.put(key, payload, when: .always)
        }
        let before = defect == .returnsVersionBefore ? try await versionIfThere(key) : nil
        let version = try await base.put(
            stored(key), self.payload(payload), when: try await self.condition(condition, on: stored(key)))
        return defect == .keepsVersion ? ObjectVersion("fixed") : before ?? version
    }

    func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        let isFolder = defect == .prefixIsFolder && !prefix.rawValue.isEmpty && !prefix.rawValue.hasSuffix("/")
        var page = try await base.list(
            prefix: isFolder ? ObjectKey(prefix.rawValue + "/") : prefix, after: after, limit: limit)
        switch defect {
        case .listOutOfOrder where page.objects.count > 1: page.objects.swapAt(0, page.objects.count - 1)
        case .listMissesNewest: page.objects.removeAll { $0.key == newest.withLock { $0 } }
        case .listWithoutSizes: for index in page.objects.indices { page.objects[index].size = 0 }
        case .listHasOwnVersions:
            for index in page.objects.indices { page.objects[index].version = ObjectVersion("listed") }
        case .afterIsIncluded:
            if let after, let info = try await infoIfThere(after), after.rawValue.hasPrefix(prefix.rawValue) {
                page.objects.insert(info, at: 0)
            }
        case .pagesEndEarly: page.hasMore = false
        case .alwaysMore: page.hasMore = !page.objects.isEmpty
        default: break
        }
        return page
    }

    func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        for key in keys {
            if defect == .deleteThrowsForAbsent { _ = try await base.info(key) }
            guard defect == .deleteTakesFolder else { continue }
            let below = try await base.list(prefix: ObjectKey(key.rawValue + "/"), after: nil, limit: 1000)
            try await base.delete(below.objects.map(\.key))
        }
        try await base.delete(keys.map(stored))
    }

    func close() async {
        if defect != .worksAfterClose { await base.close() }
    }

    // MARK: - Parts of the defects

    private func stored(_ key: ObjectKey) -> ObjectKey {
        switch defect {
        case .ignoresCase: ObjectKey(key.rawValue.lowercased())
        case .trimsSlashes: ObjectKey(key.rawValue.split(separator: "/").joined(separator: "/"))
        // Two spellings of one text are equal as `String`, and so are their lengths in characters.
        case .unifiesSpellings: ObjectKey(key.rawValue == "\u{E9}" ? "\u{E9}" : key.rawValue)
        default: key
        }
    }

    private func seen(_ info: ObjectInfo, as key: ObjectKey) -> ObjectInfo {
        var info = info
        info.key = key
        if defect == .keepsVersion { info.version = ObjectVersion("fixed") }
        return info
    }

    private func payload(_ payload: Payload) -> Payload {
        guard case .file(let path) = payload, defect == .fileCutOff || defect == .fileMissingIsEmpty else {
            return payload
        }
        let content = FileManager.default.contents(atPath: path).map { Array($0) }
        if defect == .fileMissingIsEmpty { return .bytes(content ?? []) }
        return content.map { .bytes(Array($0.prefix(1 << 20))) } ?? payload
    }

    private func condition(
        _ condition: PutCondition, on key: ObjectKey
    ) async throws(ObjectStoreError) -> PutCondition {
        switch (defect, condition) {
        case (.createOverwrites, .absent), (.swapCreates, .unchanged): return .always
        case (.swapComparesNothing, .unchanged): return try await versionIfThere(key) == nil ? condition : .always
        case (.keepsVersion, .unchanged): return try await versionIfThere(key) == nil ? condition : .always
        case (.looksThenCreates, .absent):
            let isThere = try await infoIfThere(key) != nil
            await Task.yield()
            return isThere ? condition : .always
        case (.looksThenSwaps, .unchanged(let version)), (.looksThenSwapsOnce, .unchanged(let version)):
            let isSame = try await versionIfThere(key) == version
            await Task.yield()
            return isSame ? .always : condition
        default: return condition
        }
    }

    private func versionIfThere(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectVersion? {
        try await infoIfThere(key)?.version
    }

    private func infoIfThere(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo? {
        do throws(ObjectStoreError) {
            return try await base.info(key)
        } catch {
            if error.code == .notFound || error.code == .invalidArgument { return nil }
            throw error
        }
    }
}
