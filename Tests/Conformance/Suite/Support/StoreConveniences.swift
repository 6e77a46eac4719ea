import Foundation
import T4Protocols

extension ObjectStore {
    /// Puts bytes.
    @discardableResult
    func put(
        _ key: ObjectKey, _ bytes: [UInt8], when condition: PutCondition = .always
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await put(key, .bytes(bytes), when: condition)
    }

    /// Puts text.
    @discardableResult
    func put(
        _ key: ObjectKey, _ text: String, when condition: PutCondition = .always
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await put(key, Array(text.utf8), when: condition)
    }

    /// Puts many small objects, several at once; each body is its name.
    func putEach(_ keys: [ObjectKey]) async throws {
        try await eachInParallel(keys) { try await put($0, $0.rawValue) }
    }

    /// The whole body, checked against the sizes that the answer states.
    func body(_ key: ObjectKey) async throws -> [UInt8] {
        let stored = try await get(key, bytes: nil)
        try expectEqual(stored.info.size, UInt64(stored.bytes.count), "size that get(\(key)) states")
        try expect(isSame(stored.info.key, key), "get(\(key)) answers for \(stored.info.key)")
        return stored.bytes
    }

    /// The body as text.
    func text(_ key: ObjectKey) async throws -> String { String(decoding: try await body(key), as: UTF8.self) }

    /// All objects with a prefix, page by page, checked for order, for names outside the prefix and for full pages.
    func listAll(
        _ prefix: ObjectKey = "", after: ObjectKey? = nil, pageSize: Int = 1000
    ) async throws -> [ObjectInfo] {
        var all: [ObjectInfo] = []
        var after = after
        while true {
            let page = try await list(prefix: prefix, after: after, limit: pageSize)
            try expect(
                page.objects.count <= pageSize, "a page of \(page.objects.count) where \(pageSize) were asked for")
            for info in page.objects {
                if let last = all.last?.key ?? after {
                    try expect(last < info.key, "the list goes from \(last) to \(info.key)")
                }
                try expect(
                    info.key.rawValue.utf8.starts(with: prefix.rawValue.utf8),
                    "a list with the prefix \"\(prefix)\" holds \(info.key)")
                all.append(info)
            }
            guard page.hasMore else { return all }
            try expect(!page.objects.isEmpty, "an empty page says that more follows")
            after = page.objects.last?.key
        }
    }
}

/// Runs `body` for each element, at most 16 at once.
func eachInParallel<Element: Sendable>(
    _ elements: [Element], _ body: @escaping @Sendable (Element) async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for (index, element) in elements.enumerated() {
            if index >= 16 { try await group.next() }
            group.addTask { try await body(element) }
        }
        try await group.waitForAll()
    }
}

/// Equal by bytes; to `String` two spellings of one accented letter are equal.
func isSame(_ left: ObjectKey, _ right: ObjectKey) -> Bool {
    left.rawValue.utf8.elementsEqual(right.rawValue.utf8)
}

/// Throws a `RuleViolation` that names the first difference of two lists of names.
func expectNames(
    _ seen: [ObjectInfo], _ expected: [ObjectKey], _ what: @autoclosure () -> String
) throws(RuleViolation) {
    for (info, key) in zip(seen, expected) where !isSame(info.key, key) {
        throw RuleViolation("\(what()): the list has \(info.key) where \(key) belongs")
    }
    try expectEqual(seen.count, expected.count, "\(what()): number of names")
}

/// Throws a `RuleViolation` unless `body` fails with an `ObjectStoreError` of that code.
func expectError(
    _ code: ObjectStoreError.Code, _ what: String, _ body: () async throws -> Void
) async throws {
    try await expectFailure(code, what, parts: { (error: ObjectStoreError) in (error.code, error.message) }, body)
}

/// Bytes in which every part differs from its neighbours, the same for the same seed.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes += $0 } }
    bytes.removeLast(bytes.count - count)
    return bytes
}

/// Lends a file with that content, removed afterwards.
func withFile(_ content: [UInt8], _ body: (String) async throws -> Void) async throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("t4-rule-\(UUID().uuidString)")
    try Data(content).write(to: file)
    do {
        try await body(file.path)
    } catch {
        try FileManager.default.removeItem(at: file)
        throw error
    }
    try FileManager.default.removeItem(at: file)
}
