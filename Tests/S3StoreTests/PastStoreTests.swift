// Goal: a store of the past shows at every moment what was in the bucket then, however a service tells of versions.
// Method: a bucket with a time of its own that keeps versions, in the styles of the services; random changes, each state
// of which is compared with a record; and the rules of object stores for what is read.
import Foundation
import T4Conformance
import T4Protocols
import Testing

@testable import S3Store

@Suite struct PastStoreTests {
    /// A bucket, what writes to it, and what reads from its past.
    final class Subject: Sendable {
        let bucket: VersionedBucket
        let server: ScriptedServer
        private let settings: S3Settings
        let store: S3Store

        init(_ style: VersionedBucket.Style) throws {
            bucket = VersionedBucket(style)
            server = try bucket.serve()
            var settings = S3Settings(bucket: "bucket")
            settings.endpoint = server.endpoint
            settings.accessKeyID = "AKIAIOSFODNN7EXAMPLE"
            settings.secretAccessKey = S3Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            self.settings = settings
            store = try S3Store(settings, context: .test, environment: .test())
        }

        /// The bucket at a moment, in milliseconds since 1970.
        func past(_ milliseconds: Int) throws -> S3PastStore {
            var settings = settings
            settings.asOf = Timestamp(nanoseconds: UInt64(milliseconds) * 1_000_000)
            let later = TestClock(milliseconds / 1000)
            return try S3PastStore(settings, context: .test, environment: .test(clock: later.clock))
        }

        func put(_ key: String, _ text: String) async throws {
            _ = try await store.put(ObjectKey(key), .bytes(Array(text.utf8)), when: .always)
        }

        func stop() async {
            await store.close()
            server.stop()
        }

        static func with(_ style: VersionedBucket.Style, _ body: (Subject) async throws -> Void) async throws {
            let subject = try Subject(style)
            do {
                try await body(subject)
            } catch {
                await subject.stop()
                throw error
            }
            await subject.stop()
        }
    }

    // MARK: - Model

    private static let names = [
        "p", "p/", "p/a b", "p/a%20b", "p/a+b", "p/a", "p/\u{e4}", "p/a\u{308}", "p/&<", "p/b/c", "q",
    ]

    @Test(arguments: VersionedBucket.Style.all, [UInt64](1...2))
    func everyMomentIsShownAsItWas(_ style: VersionedBucket.Style, _ seed: UInt64) async throws {
        try await Subject.with(style) { subject in
            var generator = SeededGenerator(seed: seed)
            var present: [[UInt8]: String] = [:]
            // What there was when, in the service's resolution: the last state of each time counts.
            var history: [(time: Int, content: [[UInt8]: String])] = []
            subject.bucket.advance(milliseconds: 1500)
            for number in 0..<25 {
                let key = Self.names.randomElement(using: &generator)!
                if Int.random(in: 0..<3, using: &generator) > 0 {
                    let text = String(repeating: "\(number).", count: Int.random(in: 0...3, using: &generator))
                    try await subject.put(key, text)
                    present[Array(key.utf8)] = text
                } else {
                    let keys = [key, Self.names[0]].prefix(Int.random(in: 1...2, using: &generator))
                    try await subject.store.delete(keys.map { ObjectKey($0) })
                    for key in keys { present[Array(key.utf8)] = nil }
                }
                let time = subject.bucket.now / style.resolution * style.resolution
                if history.last?.time == time { history.removeLast() }
                history.append((time, present))
                // A service that tells markers apart does not tell the order within the same time.
                let step = Int.random(in: 0...1200, using: &generator)
                subject.bucket.advance(milliseconds: style.listsMarkersApart ? step + 1 : step)
            }
            subject.bucket.advance(milliseconds: 2000)
            for (place, state) in history.enumerated() {
                let next = place + 1 < history.count ? history[place + 1].time : subject.bucket.now
                for moment in Set([state.time, next - 1]) {
                    try await check(subject, moment, state.content, &generator, "\(style.name) \(seed) \(moment)")
                }
            }
            try await check(subject, history[0].time - 1, [:], &generator, "\(style.name) \(seed), before")
        }
    }

    private func check(
        _ subject: Subject, _ moment: Int, _ content: [[UInt8]: String], _ generator: inout SeededGenerator,
        _ context: String
    ) async throws {
        let past = try subject.past(moment)
        let expected = content.keys.filter { $0.starts(with: "p/".utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
        var listed: [ObjectInfo] = []
        let limit = Int.random(in: 1...4, using: &generator)
        // Some reads come after a listing that told of the version, some find it themselves.
        if Bool.random(using: &generator) {
            while true {
                let page = try await past.list(prefix: "p/", after: listed.last?.key, limit: limit)
                listed += page.objects
                #expect(page.hasMore == (listed.count < expected.count), "\(context)")
                if !page.hasMore { break }
            }
            #expect(listed.map { Array($0.key.rawValue.utf8) } == expected, "\(context)")
        }
        for name in Self.names.shuffled(using: &generator).prefix(5) {
            let key = ObjectKey(name)
            guard let text = content[Array(name.utf8)] else {
                #expect(
                    await code { () throws(ObjectStoreError) in _ = try await past.get(key, bytes: nil) } == .notFound,
                    "\(context) \(name)")
                continue
            }
            let found = try await past.get(key, bytes: nil)
            #expect(found.bytes == Array(text.utf8) && found.info.size == UInt64(text.utf8.count), "\(context) \(name)")
            let info = try await past.info(key)
            #expect(info == found.info, "\(context) \(name)")
            if !text.isEmpty {
                let part = try await past.get(key, bytes: 1..<3)
                #expect(part.bytes == Array(text.utf8.dropFirst().prefix(2)) && part.info == info, "\(context) \(name)")
            }
            for object in listed where object.key.isSame(as: key) { #expect(object == info, "\(context) \(name)") }
        }
        await past.close()
    }

    // MARK: - Rules

    /// Writes to the bucket, and reads from its past, which is the present here.
    private struct ReadByVersions: ObjectStore {
        let subject: Subject
        let capabilities = ObjectStoreCapabilities(putsIfAbsent: false, putsIfUnchanged: false, isDurable: true)

        private func read<Result>(
            _ body: (S3PastStore) async throws(ObjectStoreError) -> Result
        ) async throws(ObjectStoreError) -> Result {
            let past: S3PastStore
            do { past = try subject.past(subject.bucket.now) } catch {
                throw error as? ObjectStoreError ?? ObjectStoreError(.unavailable, "\(error)")
            }
            do throws(ObjectStoreError) {
                let result = try await body(past)
                await past.close()
                return result
            } catch {
                await past.close()
                throw error
            }
        }

        func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
            try await read { (past) throws(ObjectStoreError) in try await past.get(key, bytes: bytes) }
        }

        func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
            try await read { (past) throws(ObjectStoreError) in try await past.info(key) }
        }

        func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
            try await read { (past) throws(ObjectStoreError) in
                try await past.list(prefix: prefix, after: after, limit: limit)
            }
        }

        func put(
            _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
        ) async throws(ObjectStoreError) -> ObjectVersion {
            try await subject.store.put(key, payload, when: condition)
        }

        func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) { try await subject.store.delete(keys) }

        func close() async {}
    }

    /// Those of what is read and listed, without the ones that take thousands of requests.
    private static let rules = ObjectStoreRules.all.filter { rule in
        [
            "a list is in byte order", "a list states size", "a list is empty where", "a page begins behind",
            "a page that holds the last", "a page size outside", "an object comes back", "an absent object",
            "a put replaces the whole", "objects are deleted", "a range gives", "a range that starts",
            "names of letters", "names with blanks", "names beyond ASCII", "an object, objects below",
        ].contains { rule.name.hasPrefix($0) }
    }

    /// In pages that these rules do not fill a hundred times.
    private static let styles = VersionedBucket.Style.all.map { style in
        var style = style
        style.pageSize = max(style.pageSize, 20)
        return style
    }

    @Test(arguments: styles, rules)
    func whatIsReadKeepsTheRules(_ style: VersionedBucket.Style, _ rule: ObjectStoreRule) async throws {
        #expect(Self.rules.count == 16)
        let store = StoreUnderTest(
            name: "s3 by versions",
            capabilities: ObjectStoreCapabilities(putsIfAbsent: false, putsIfUnchanged: false, isDurable: true)
        ) {
            let subject = try Subject(style)
            return StoreStorage(open: { ReadByVersions(subject: subject) }, remove: { await subject.stop() })
        }
        try await rule.check(store)
    }

    // MARK: - Read only

    @Test func nothingIsWritten() async throws {
        try await Subject.with(.aws) { subject in
            try await subject.put("a", "1")
            let count = subject.server.requests.count
            let past = try subject.past(subject.bucket.now)
            #expect(past.capabilities == .init(putsIfAbsent: false, putsIfUnchanged: false, isDurable: true))
            for condition in [PutCondition.always, .absent, .unchanged(since: ObjectVersion("\"a\""))] {
                #expect(
                    await code { () throws(ObjectStoreError) in
                        _ = try await past.put("a", .bytes([1]), when: condition)
                    } == .unsupported)
            }
            #expect(await code { () throws(ObjectStoreError) in try await past.delete(["a"]) } == .unsupported)
            #expect(subject.server.requests.count == count)
            await past.close()
            #expect(await code { () throws(ObjectStoreError) in _ = try await past.info("a") } == .closed)
        }
    }

    @Test func theFutureIsRefused() throws {
        var settings = S3Settings(bucket: "bucket")
        settings.isAnonymous = true
        func open(_ seconds: Int, _ nanoseconds: UInt64 = 0) -> ObjectStoreError.Code? {
            settings.asOf = Timestamp(nanoseconds: UInt64(exampleTime.seconds + seconds) * 1_000_000_000 + nanoseconds)
            do throws(ObjectStoreError) {
                _ = try S3PastStore(settings, context: .test, environment: .test())
                return nil
            } catch {
                return error.code
            }
        }
        #expect(open(0) == nil && open(0, 999_999_999) == nil && open(-1) == nil)
        #expect(open(1) == .invalidArgument)
        // A store of the present must not pass for one of the past.
        #expect(throws: ObjectStoreError.self) { try S3Store(settings, context: .test, environment: .test()) }
        settings.asOf = nil
        #expect(throws: ObjectStoreError.self) { try S3PastStore(settings, context: .test, environment: .test()) }
    }
}
