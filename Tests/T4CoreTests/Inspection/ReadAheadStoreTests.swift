import Synchronization
import T4Conformance
import T4Core
import T4Protocols
import Testing

@Suite struct ReadAheadStoreTests {
    @Test func partsAreThoseOfTheObject() async throws {
        let base = try await makeMemoryStore()
        var random = SeededGenerator(seed: 4)
        let objects = (0..<4).map { _ in (0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) } }
        for (number, bytes) in objects.enumerated() {
            _ = try await base.put(ObjectKey("\(number)"), .bytes(bytes), when: .always)
        }
        let store = ReadAheadStore(base, sizeMax: 4000, stepMax: 1000)
        var next = 0
        for _ in 0..<3000 {
            let number = Int.random(in: 0..<4, using: &random)
            let start = Bool.random(using: &random) && next < 5000 ? next : Int.random(in: 0..<5000, using: &random)
            let end = start + Int.random(in: 1...700, using: &random)
            next = end
            let stored = try await store.get(ObjectKey("\(number)"), bytes: UInt64(start)..<UInt64(end))
            #expect(stored.bytes == Array(objects[number][start..<min(end, 5000)]))
            #expect(stored.info.size == 5000)
        }
        await #expect(throws: ObjectStoreError.self) { try await store.get("0", bytes: 5001..<5002) }
    }

    @Test func readsInARowBecomeLarger() async throws {
        let base = try await makeMemoryStore()
        _ = try await base.put("a", .bytes([UInt8](repeating: 7, count: 100_000)), when: .always)
        let sizes = Mutex<[UInt64]>([])
        let store = ReadAheadStore(
            MeteredStore(base) { seen in sizes.withLock { $0.append(seen.bytesRead) } }, stepMax: 10_000)
        for start in stride(from: 0 as UInt64, to: 40_000, by: 100) {
            _ = try await store.get("a", bytes: start..<start + 100)
        }
        #expect(sizes.withLock { $0 } == [100, 400, 1600, 6400, 10_000, 10_000, 10_000, 10_000])
        // Back again: nothing follows, nothing is read ahead.
        _ = try await store.get("a", bytes: 0..<100)
        #expect(sizes.withLock { $0.last } == 100)
    }

    @Test func aReplacedObjectIsReadAgain() async throws {
        let store = ReadAheadStore(try await makeMemoryStore())
        for byte in [1, 2] as [UInt8] {
            _ = try await store.put("a", .bytes([byte, byte]), when: .always)
            #expect(try await store.get("a", bytes: 0..<1).bytes == [byte])
        }
        try await store.delete(["a"])
        await #expect(throws: ObjectStoreError.self) { try await store.get("a", bytes: 0..<1) }
    }
}
