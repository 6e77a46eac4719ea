// Goal: the store does on a service that speaks S3 what its protocol promises.
// Method: moto, which computes every signature again with AWS's own library; or the service of T4_TEST_S3_ENDPOINT.
import Foundation
import T4Protocols
import Testing

@testable import S3Store

@Suite(.enabled(if: S3UnderTest.isAvailable, "scripts/fetch-moto installs the service that these tests want"))
struct ServiceTests {
    @Test func putsGetsAndDeletes() async throws {
        try await S3UnderTest.with { s3 in
            let key = s3.key("a")
            let version = try await s3.store.put(key, .bytes(Array("hello".utf8)), when: .always)
            let found = try await s3.store.get(key, bytes: nil)
            #expect(found.bytes == Array("hello".utf8))
            #expect(found.info == ObjectInfo(key: key, size: 5, version: version))
            #expect(try await s3.store.info(key) == found.info)
            #expect(try await s3.reopened().get(key, bytes: 1..<3).bytes == Array("el".utf8))
            try await s3.store.delete([key])
            try await s3.store.delete([key])
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await s3.store.get(key, bytes: nil) } == .notFound)
            #expect(await code { () throws(ObjectStoreError) in _ = try await s3.store.info(key) } == .notFound)
        }
    }

    @Test func readsRanges() async throws {
        try await S3UnderTest.with { s3 in
            let key = s3.key("a")
            let bytes = Array("0123456789".utf8)
            _ = try await s3.store.put(key, .bytes(bytes), when: .always)
            for (range, expected) in [
                (0..<10, 0..<10), (3..<4, 3..<4), (8..<99, 8..<10), (10..<20, 10..<10), (4..<4, 4..<4),
            ] {
                let found = try await s3.store.get(key, bytes: UInt64(range.lowerBound)..<UInt64(range.upperBound))
                #expect(found.bytes == Array(bytes[expected]))
                #expect(found.info.size == 10)
            }
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await s3.store.get(key, bytes: 11..<12) }
                    == .invalidArgument)
            _ = try await s3.store.put(key, .bytes([]), when: .always)
            #expect(try await s3.store.get(key, bytes: nil).bytes.isEmpty)
            #expect(try await s3.store.get(key, bytes: 0..<10).bytes.isEmpty)
        }
    }

    @Test func putsUnderConditions() async throws {
        try await S3UnderTest.with { s3 in
            let store = s3.store
            let key = s3.key("a")
            func put(_ text: String, _ condition: PutCondition) async -> Result<ObjectVersion, ObjectStoreError> {
                do throws(ObjectStoreError) {
                    return .success(try await store.put(key, .bytes(Array(text.utf8)), when: condition))
                } catch {
                    return .failure(error)
                }
            }
            func failure(_ result: Result<ObjectVersion, ObjectStoreError>) -> ObjectStoreError.Code? {
                if case .failure(let error) = result { error.code } else { nil }
            }
            #expect(await failure(put("x", .unchanged(since: ObjectVersion("\"0\"")))) == .conditionFailed)
            let first = try await put("1", .absent).get()
            #expect(await failure(put("2", .absent)) == .alreadyExists)
            let second = try await put("2", .unchanged(since: first)).get()
            #expect(first != second)
            #expect(await failure(put("3", .unchanged(since: first))) == .conditionFailed)
            #expect(try await store.get(key, bytes: nil).bytes == Array("2".utf8))
            try await store.delete([key])
            #expect(await failure(put("3", .unchanged(since: second))) == .conditionFailed)
            _ = try await put("4", .absent).get()
        }
    }

    /// Each is signed, stored and listed as it is.
    static let names = [
        "a b", "a+b", "a%b", "a%20b", "a=b&c", "#1", "a//b", "a/", "/a", "\u{e4}", "a\u{308}", "\u{1f600}", "~._-",
        "a?b",
        "a\\b", "a'b\"c", "<a>", "a;b:c,d", "*", "$@!()", String(repeating: "n", count: 900),
    ]

    @Test func takesAllKindsOfNames() async throws {
        try await S3UnderTest.with { s3 in
            for (number, name) in Self.names.enumerated() {
                _ = try await s3.store.put(s3.key(name), .bytes([UInt8(number)]), when: .always)
            }
            for (number, name) in Self.names.enumerated() {
                #expect(try await s3.store.get(s3.key(name), bytes: nil).bytes == [UInt8(number)], "\(name)")
                #expect(try await s3.store.info(s3.key(name)).size == 1, "\(name)")
            }
            let page = try await s3.store.list(prefix: s3.key(""), after: nil, limit: 1000)
            #expect(
                page.objects.map { Array($0.key.rawValue.utf8) }
                    == Self.names.map(s3.key).sorted().map { Array($0.rawValue.utf8) })
            for name in Self.names {
                let one = try await s3.store.list(prefix: s3.key(name), after: nil, limit: 1000)
                #expect(
                    one.objects.contains { $0.key.rawValue.utf8.elementsEqual(s3.key(name).rawValue.utf8) }, "\(name)")
            }
            try await s3.store.delete(Self.names.map(s3.key))
            #expect(try await s3.store.list(prefix: s3.key(""), after: nil, limit: 1000).objects.isEmpty)
        }
    }

    @Test func listsInPages() async throws {
        try await S3UnderTest.with { s3 in
            let keys = (0..<25).map { s3.key("l/\($0 < 10 ? "0" : "")\($0)") }
            for key in keys.shuffled() + [s3.key("k"), s3.key("m")] {
                _ = try await s3.store.put(key, .bytes([1, 2, 3]), when: .always)
            }
            var found: [ObjectKey] = []
            var pages = 0
            while true {
                let page = try await s3.store.list(prefix: s3.key("l/"), after: found.last, limit: 10)
                #expect(page.objects.allSatisfy { $0.size == 3 })
                found += page.objects.map(\.key)
                pages += 1
                if !page.hasMore { break }
            }
            #expect(found == keys)
            #expect(pages == 3)
            let later = try await s3.store.list(prefix: s3.key("l/"), after: s3.key("l/200"), limit: 3)
            #expect(later.objects.map(\.key) == Array(keys[21...23]))
            let listed = try await s3.store.list(prefix: s3.key("l/07"), after: nil, limit: 1).objects.first
            #expect(try await s3.store.info(s3.key("l/07")) == listed)
        }
    }

    @Test func deletesManyAtOnce() async throws {
        try await S3UnderTest.with { s3 in
            let keys = (0..<30).map { s3.key("d/<\($0)>&") }
            for key in keys { _ = try await s3.store.put(key, .bytes([]), when: .always) }
            try await s3.store.delete(keys.dropLast() + [s3.key("none")])
            let left = try await s3.store.list(prefix: s3.key("d/"), after: nil, limit: 1000)
            #expect(left.objects.map(\.key) == [keys[29]])
        }
    }

    @Test(arguments: [false, true]) func putsInParts(_ isFile: Bool) async throws {
        let folder = try TemporaryFolder()
        try await S3UnderTest.with(change: Self.smallParts) { s3 in
            let bytes = (0..<(11 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 4) }
            var payload = Payload.bytes(bytes)
            if isFile {
                let path = "\(folder.path)/big"
                try Data(bytes).write(to: URL(filePath: path))
                payload = .file(path: path)
            }
            let key = s3.key("big")
            let version = try await s3.store.put(key, payload, when: .absent)
            let found = try await s3.store.get(key, bytes: nil)
            #expect(found.bytes == bytes)
            #expect(found.info.version == version)
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await s3.store.put(key, payload, when: .absent) }
                    == .alreadyExists)
            let uploads = try await s3.store.send(
                S3Request(method: .get, query: [QueryItem("uploads")], hasXMLAnswer: true), .read)
            #expect(uploads.document?.all("Upload").filter { $0["Key"]?.text == key.rawValue }.isEmpty == true)
        }
    }

    private static func smallParts(_ settings: inout S3Settings) {
        settings.partSizeBytes = 5 << 20
        settings.multipartThresholdBytes = 5 << 20
    }

    @Test func aMissingBucketIsNotAnEmptyOne() async throws {
        try await S3UnderTest.with { s3 in
            var settings = s3.settings
            settings.bucket = "t4-none-\(UUID().uuidString.lowercased())"
            let store = try S3Store(settings, context: .test, environment: s3.environment)
            for operation in [0, 1, 2, 3] {
                let found = await code { () throws(ObjectStoreError) in
                    switch operation {
                    case 0: _ = try await store.get("a", bytes: nil)
                    case 1: _ = try await store.info("a")
                    case 2: _ = try await store.list(prefix: "", after: nil, limit: 1)
                    default: _ = try await store.put("a", .bytes([1]), when: .absent)
                    }
                }
                #expect(found == .invalidArgument, "operation \(operation)")
            }
            await store.close()
        }
    }

    @Test func wrongKeysAreRefused() async throws {
        try await S3UnderTest.with { s3 in
            var settings = s3.settings
            settings.accessKeyID = s3.settings.accessKeyID ?? "AKIAIOSFODNN7EXAMPLE"
            settings.secretAccessKey = S3Secret("wrong")
            let store = try S3Store(settings, context: .test, environment: s3.environment)
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await store.put("a", .bytes([1]), when: .absent) }
                    == .permissionDenied)
            await store.close()
        }
    }

    @Test func manyCallsRunAtOnce() async throws {
        try await S3UnderTest.with(change: { $0.connectionsMax = 8 }) { s3 in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<64 {
                    group.addTask {
                        let bytes = [UInt8](repeating: UInt8(number), count: 10_000)
                        _ = try await s3.store.put(s3.key("n/\(number)"), .bytes(bytes), when: .absent)
                        #expect(try await s3.store.get(s3.key("n/\(number)"), bytes: nil).bytes == bytes)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await s3.store.list(prefix: s3.key("n/"), after: nil, limit: 1000).objects.count == 64)
        }
    }
}

/// An encrypted moto with a certificate authority of its own.
@Suite(.enabled(if: MotoServer.isInstalled, "scripts/fetch-moto installs the service that these tests want"))
struct EncryptionTests {
    @Test func trustsItsOwnAuthorityOnly() async throws {
        let moto = try MotoServer(isEncrypted: true)
        let s3 = try await S3UnderTest.make(moto: moto)
        _ = try await s3.store.put("a", .bytes([1, 2]), when: .absent)
        var unsigned = s3.settings
        unsigned.hasUnsignedPayload = true
        let store = try S3Store(unsigned, context: .test, environment: s3.environment)
        _ = try await store.put("a", .bytes([3]), when: .always)
        #expect(try await store.get("a", bytes: nil).bytes == [3])
        await store.close()
        var stranger = s3.settings
        stranger.caFile = nil
        let other = try S3Store(stranger, context: .test, environment: s3.environment)
        // Refused before a byte of the request was sent, so nothing was written.
        #expect(
            await code { () throws(ObjectStoreError) in _ = try await other.put("a", .bytes([4]), when: .always) }
                == .unavailable)
        await other.close()
        try await s3.remove()
    }
}
