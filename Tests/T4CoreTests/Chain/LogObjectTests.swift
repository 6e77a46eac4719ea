import T4Protocols
import Testing

@testable import T4Core

@Suite struct LogObjectTests {
    static let previous = LogPosition(term: 2, index: 6)
    static let entries = LogFixture.entries(7...9, term: 2) + LogFixture.entries(10...11, term: 3, bodySize: 0)
    static let key = StoreLayout.log(firstIndex: 7)

    static func encode() -> [UInt8] {
        LogObject.encode(entries, databaseID: LogFixture.databaseID, term: 5, previous: previous)
    }

    @Test func givesBackWhatWasWritten() throws {
        let object = try LogObject(LogObjectTests.encode(), key: LogObjectTests.key, databaseID: LogFixture.databaseID)
        #expect(object.entries == LogObjectTests.entries)
        #expect(object.header.term == 5)
        #expect(object.header.previous == LogObjectTests.previous)
        #expect(object.end == LogPosition(term: 3, index: 11))
        #expect(object.footer.tally.lastTime == 1011)
    }

    @Test func everyFlippedByteIsFoundAndNamed() throws {
        let bytes = LogObjectTests.encode()
        for offset in bytes.indices {
            var damaged = bytes
            damaged[offset] ^= 1 << UInt8(offset % 8)
            let error = #expect(throws: LogError.self, "byte \(offset)") {
                try LogObject(damaged, key: LogObjectTests.key, databaseID: LogFixture.databaseID)
            }
            #expect(error?.description.contains(LogObjectTests.key.rawValue) == true, "byte \(offset)")
        }
    }

    @Test func aShorterOrLongerObjectIsDamaged() {
        let bytes = LogObjectTests.encode()
        for damaged in bytes.indices.map({ Array(bytes[..<$0]) }) + [bytes + [0], bytes + bytes] {
            #expect(throws: LogError.self, "\(damaged.count) bytes") {
                try LogObject(damaged, key: LogObjectTests.key, databaseID: LogFixture.databaseID)
            }
        }
    }

    @Test func anObjectUnderAnotherNameOrOfAnotherDatabaseIsRefused() throws {
        let bytes = LogObjectTests.encode()
        let name = #expect(throws: LogError.self) {
            try LogObject(bytes, key: StoreLayout.log(firstIndex: 8), databaseID: LogFixture.databaseID)
        }
        #expect(name?.code == .corrupted)
        let other = try #require(DatabaseID([UInt8](repeating: 9, count: 16)))
        let database = #expect(throws: LogError.self) {
            try LogObject(bytes, key: LogObjectTests.key, databaseID: other)
        }
        #expect(database?.code == .wrongDatabase)
    }
}
