import T4Core
import T4Protocols
import Testing

/// The KV semantics one by one, through the whole pipeline of a node on the memory engine.
struct KVTests {
    private let test: TestNode
    private var node: Node { test.node }

    init() throws { test = try TestNode() }

    private func put(_ key: String, _ value: String, lease: Int64 = 0) async throws -> Int64 {
        try await node.put(PutRequest(key: [UInt8](key), value: [UInt8](value), lease: lease)).revision.rawValue
    }

    private func get(_ key: String, end: String = "", revision: Int64 = 0) throws -> [String] {
        let request = RangeRequest(key: [UInt8](key), rangeEnd: [UInt8](end), revision: revision)
        return try node.range(request).kvs.map(\.text)
    }

    private func expectError(
        _ code: DatabaseError.Code, _ location: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
    ) async {
        do {
            try await body()
            Issue.record("no error", sourceLocation: location)
        } catch {
            #expect((error as? DatabaseError)?.code == code, "\(error)", sourceLocation: location)
        }
    }

    @Test func countersOfAKey() async throws {
        #expect(node.revision == .initial)
        #expect(try await put("a", "1") == 2)
        #expect(try await put("a", "2") == 3)
        #expect(try await put("b", "1") == 4)
        let a = try node.range(RangeRequest(key: [UInt8]("a"))).kvs[0]
        #expect([a.createRevision, a.modRevision] == [Revision(2), Revision(3)])
        #expect(a.version == 2)
        _ = try await node.deleteRange(DeleteRangeRequest(key: [UInt8]("a")))
        _ = try await put("a", "3")
        let again = try node.range(RangeRequest(key: [UInt8]("a"))).kvs[0]
        #expect(again.createRevision == Revision(6))
        #expect(again.version == 1)
    }

    @Test func historyStaysReadable() async throws {
        _ = try await put("a", "1")
        _ = try await put("b", "1")
        _ = try await put("a", "2")
        _ = try await node.deleteRange(DeleteRangeRequest(key: [UInt8]("a"), rangeEnd: [UInt8]("c")))
        _ = try await put("b", "3")
        #expect(try get("a", end: "z", revision: 2) == ["a=1"])
        #expect(try get("a", end: "z", revision: 3) == ["a=1", "b=1"])
        #expect(try get("a", end: "z", revision: 4) == ["a=2", "b=1"])
        #expect(try get("a", end: "z", revision: 5) == [])
        #expect(try get("a", end: "z") == ["b=3"])
        #expect(try get("a", revision: 3) == ["a=1"])
        await expectError(.futureRevision) { _ = try get("a", revision: 7) }
    }

    @Test func deletionIsOneRevisionAndNoneForNothing() async throws {
        for key in ["a", "b", "c"] { _ = try await put(key, "v") }
        let none = try await node.deleteRange(DeleteRangeRequest(key: [UInt8]("x")))
        #expect(none.deleted == 0 && none.revision == Revision(4))
        let all = try await node.deleteRange(DeleteRangeRequest(key: [0], rangeEnd: [0], previous: true))
        #expect(all.deleted == 3 && all.revision == Revision(5))
        #expect(all.previous.map(\.text) == ["a=v", "b=v", "c=v"])
    }

    @Test func rangeForms() async throws {
        for key in ["a", "a0", "b", "c"] { _ = try await put(key, "v") }
        func keys(_ key: [UInt8], _ end: [UInt8]) throws -> [String] {
            try node.range(RangeRequest(key: key, rangeEnd: end)).kvs.map { String(decoding: $0.key, as: UTF8.self) }
        }
        #expect(try keys([UInt8]("b"), [0]) == ["b", "c"])
        #expect(try keys([0], [0]) == ["a", "a0", "b", "c"])
        #expect(try keys([UInt8]("a"), [UInt8]("b")) == ["a", "a0"])
        #expect(try keys([UInt8]("b"), [UInt8]("a")) == [])
        #expect(try keys([UInt8]("b"), [UInt8]("b")) == [])
        await expectError(.keyNotProvided) { _ = try keys([], [0]) }
    }

    @Test func limitsOrdersAndFilters() async throws {
        for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("d", "0")] { _ = try await put(key, value) }
        _ = try await put("a", "9")
        func run(_ change: (inout RangeRequest) -> Void) throws -> (String, Bool, Int64) {
            var request = RangeRequest(key: [UInt8]("a"), rangeEnd: [UInt8]("z"))
            change(&request)
            let response = try node.range(request)
            let keys = response.kvs.map { String(decoding: $0.key, as: UTF8.self) }.joined()
            return (keys, response.more, response.count)
        }
        #expect(try run { $0.limit = 2 } == ("ab", true, 4))
        #expect(try run { $0.limit = 4 } == ("abcd", false, 4))
        #expect(try run { $0.limit = -1 } == ("abcd", false, 4))
        #expect(try run { $0.sortOrder = .descend } == ("dcba", false, 4))
        #expect(
            try run {
                $0.sortOrder = .descend; $0.limit = 1
            } == ("d", true, 4))
        #expect(try run { $0.sortTarget = .value } == ("dbca", false, 4))
        #expect(
            try run {
                $0.sortTarget = .value; $0.sortOrder = .descend
            } == ("acbd", false, 4))
        #expect(try run { $0.sortTarget = .mod } == ("bcda", false, 4))
        #expect(try run { $0.sortTarget = .create } == ("abcd", false, 4))
        #expect(
            try run {
                $0.sortTarget = .version; $0.sortOrder = .descend
            } == ("abcd", false, 4))
        #expect(try run { $0.minModRevision = 4 } == ("acd", false, 4))
        #expect(try run { $0.maxModRevision = 4 } == ("bc", false, 4))
        #expect(try run { $0.maxCreateRevision = 2 } == ("a", false, 4))
        #expect(
            try run {
                $0.minCreateRevision = 3; $0.limit = 2
            } == ("bc", true, 4))
        #expect(try run { $0.countOnly = true } == ("", false, 4))
        #expect(
            try run {
                $0.keysOnly = true; $0.sortTarget = .value
            } == ("dbca", false, 4))
        let keysOnly = try node.range(RangeRequest(key: [UInt8]("a"), rangeEnd: [UInt8]("z"), keysOnly: true))
        #expect(keysOnly.kvs.allSatisfy { $0.value.isEmpty })
    }

    @Test func putFlags() async throws {
        _ = try await put("a", "1")
        var request = PutRequest(key: [UInt8]("a"), value: [UInt8]("2"), previous: true)
        #expect(try await node.put(request).previous?.text == "a=1")
        request = PutRequest(key: [UInt8]("a"), value: [], ignoreValue: true)
        _ = try await node.put(request)
        #expect(try get("a") == ["a=2"])
        await expectError(.keyNotFound) {
            try await node.put(PutRequest(key: [UInt8]("x"), value: [], ignoreValue: true))
        }
        await expectError(.valueProvided) {
            try await node.put(PutRequest(key: [UInt8]("a"), value: [1], ignoreValue: true))
        }
        await expectError(.leaseProvided) {
            try await node.put(PutRequest(key: [UInt8]("a"), value: [], lease: 1, ignoreLease: true))
        }
        await expectError(.leaseNotFound) { _ = try await put("a", "1", lease: 77) }
        await expectError(.requestTooLarge) {
            try await node.put(PutRequest(key: [UInt8](repeating: 1, count: 32 * 1024 + 1), value: []))
        }
        _ = try await node.put(PutRequest(key: [UInt8](repeating: 0, count: 32 * 1024), value: [1]))
        #expect(try node.range(RangeRequest(key: [0], rangeEnd: [1])).count == 1)
    }

    @Test func compactionDropsHistoryAndSaysSo() async throws {
        for value in 1...5 { _ = try await put("a", "\(value)") }
        _ = try await node.deleteRange(DeleteRangeRequest(key: [UInt8]("a")))
        _ = try await put("b", "1")
        await expectError(.futureRevision) { try await node.compact(CompactionRequest(revision: 9)) }
        try await node.compact(CompactionRequest(revision: 5, physical: true))
        #expect(try get("a", revision: 5) == ["a=4"])
        await expectError(.compacted) { _ = try get("a", revision: 4) }
        await expectError(.compacted) { try await node.compact(CompactionRequest(revision: 5)) }
        try await node.compact(CompactionRequest(revision: 8, physical: true))
        #expect(try get("a", end: "z") == ["b=1"])
        #expect(try rowCounts() == [1, 0, 1])
    }

    /// Rows in the current, history and changes keyspaces: what a compaction may leave.
    private func rowCounts() throws -> [Int] {
        let reader = try node.read()
        return try [Keyspace.current, Keyspace.history, Keyspace.changes].map { space in
            var count = 0
            try reader.snapshot.scan(.init(prefix: [space]), order: .ascending) { _, _ in
                count += 1
                return .next
            }
            return count
        }
    }

    @Test func leasesOwnKeys() async throws {
        let lease = try await node.grantLease(id: 7, ttl: 100_000)
        #expect(lease.id == 7 && lease.ttl == 100_000)
        await expectError(.leaseExists) { _ = try await node.grantLease(id: 7, ttl: 100_000) }
        for key in ["c", "a", "b"] { _ = try await put(key, "v", lease: 7) }
        _ = try await put("b", "free")
        #expect(try node.read().keys(leasedTo: 7) == [[UInt8]("a"), [UInt8]("c")])
        let before = node.revision
        #expect(try await node.revokeLease(7) == before.next)
        #expect(try get("a", end: "z") == ["b=free"])
        await expectError(.leaseNotFound) { try await node.revokeLease(7) }
        let empty = try await node.grantLease(ttl: 100_000)
        let unchanged = node.revision
        #expect(try await node.revokeLease(empty.id) == unchanged)
    }

    @Test func concurrentWritersGetEachRevisionOnce() async throws {
        let node = node
        let revisions = try await withThrowingTaskGroup(of: [Int64].self) { group in
            for writer in 0..<16 {
                group.addTask {
                    var revisions: [Int64] = []
                    for count in 0..<50 {
                        let request = PutRequest(key: [UInt8]("k\(writer)"), value: [UInt8]("\(count)"))
                        revisions.append(try await node.put(request).revision.rawValue)
                    }
                    return revisions
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(revisions.sorted() == Array(2...801))
        #expect(node.revision == Revision(801))
        #expect(try node.range(RangeRequest(key: [UInt8]("k0"))).kvs[0].version == 50)
    }
}
