import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct BlockingStoreTests {
    @Test func listsMoreThanAPage() async throws {
        let base = try await makeMemoryStore()
        for number in 1000..<3100 { try await base.put(ObjectKey("a/\(number)"), "") }
        try await base.put("b/1", "")
        try await onThread {
            var names: [String] = []
            try BlockingStore(base).list("a/", after: "a/1009") { names.append($0.key.rawValue) }
            #expect(names == (1010..<3100).map { "a/\($0)" })
        }
    }

    @Test func findsNothingOrTellsWhy() async throws {
        let base = try await makeMemoryStore()
        try await base.put("a", "text")
        try await onThread {
            let store = BlockingStore(FaultyStore(base, faults: [StoreFault(.get, .beforeEffect, .nth(3))]))
            let (there, missing) = try (store.find("a"), store.find("b"))
            #expect(there?.bytes == Array("text".utf8) && missing == nil)
            let error = #expect(throws: ObjectStoreError.self) { try store.find("a") }
            #expect(error?.code == .unavailable)
            let pending = store.start { (store) throws(ObjectStoreError) in try await store.get("a", bytes: 1..<3) }
            let (first, second) = try (pending.wait(), pending.wait())
            #expect(first.bytes == Array("ex".utf8) && second.bytes == first.bytes)
        }
    }
}
