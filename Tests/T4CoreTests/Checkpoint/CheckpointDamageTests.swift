import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

// Rule S3: a wrong byte anywhere is an error that names the object.

@Suite struct CheckpointDamageTests {
    /// Flips one byte of an object, looks what `body` says, and puts the object back.
    func flip(
        _ key: ObjectKey, every step: Int = 1, _ fixture: CheckpointFixture, _ body: () throws -> Void
    ) throws {
        let bytes = try fixture.store.get(key).bytes
        for offset in stride(from: 0, to: bytes.count, by: step) {
            var damaged = bytes
            damaged[offset] ^= 1 << UInt8(offset % 7)
            _ = try fixture.store.put(key, damaged, when: .always)
            let error = #expect(throws: (any Error).self, "byte \(offset) of \(key)", performing: body)
            let text = error.map { "\($0)" } ?? ""
            #expect(error is CheckpointError && text.contains(key.rawValue), "byte \(offset): \(text)")
        }
        _ = try fixture.store.put(key, bytes, when: .always)
    }

    @Test func aWrongByteOfHeadOrManifestIsFound() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(12)
            let key = try #require(try fixture.writer().write(fixture.mark())).key
            try flip(StoreLayout.head, fixture) { _ = try fixture.newest() }
            try flip(key, fixture) { _ = try fixture.newest() }
            _ = try fixture.newest()
        }
    }

    @Test(arguments: BackendRegistry.builtIn.engineNames)
    func aWrongByteOfATableIsFound(_ engine: String) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            for count in [150, 30, 30] {
                try fixture.extend(count)
                _ = try fixture.writer().write(fixture.mark())
            }
            let file = try fixture.newest().file
            #expect(file.checkpoint.tables.count > 2)
            for table in file.checkpoint.tables {
                let key = ObjectKey(try #require(file.envelope.places[table.id]).key)
                let size = try fixture.store.get(key).bytes.count
                try flip(key, every: engine == "memory" ? 3 : size / 5, fixture) {
                    let target = try EngineFixture(engine)
                    try fixture.load(file, into: target.engine)
                }
            }
        }
    }

    /// The manifest of another checkpoint in the place of the one that the head means.
    @Test func aManifestThatIsNotTheHeadsIsFound() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(12)
            let first = try #require(try fixture.writer().write(fixture.mark()))
            try fixture.extend(12)
            let second = try #require(try fixture.writer().write(fixture.mark()))
            _ = try fixture.store.put(second.key, first.file.encoded(), when: .always)
            let error = #expect(throws: CheckpointError.self) { try fixture.newest() }
            #expect(error?.description.contains(second.key.rawValue) == true)
        }
    }

    /// Rows that are intact, but not those that the digest was made of.
    @Test func aDigestThatDoesNotMatchIsFound() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(40)
            var mark = try fixture.mark()
            mark.meta.digest.add(name: [5, 1], value: [])
            let file = try #require(try fixture.writer().write(mark)).file
            let error = #expect(throws: CheckpointError.self) {
                try fixture.load(file, into: CheckpointHistory.makeEngine())
            }
            #expect(error?.code == .corrupted)
        }
    }

    @Test func checkpointsOfAnotherDatabaseAreRefused() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(12)
            let key = try #require(try fixture.writer().write(fixture.mark())).key
            let other = CheckpointStore(
                fixture.store, databaseID: try #require(DatabaseID([UInt8](repeating: 9, count: 16))))
            #expect(throws: CheckpointError.self) { try other.head() }
            #expect(throws: CheckpointError.self) { try other.manifest(key) }
        }
    }
}
