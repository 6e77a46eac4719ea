// Goal: a bucket that did not keep its versions never shows a past that was not; listings that are none are refused.
// Method: a scripted server, and a bucket that keeps versions at times.
import T4Protocols
import Testing

@testable import S3Store

@Suite struct PastRefusalTests {
    private static let moment = "2013-05-24T00:00:00Z"

    /// Runs `body` with the past of a server's bucket.
    private func withPast(_ server: ScriptedServer, _ body: (S3PastStore) async throws -> Void) async throws {
        var settings = S3Settings(bucket: "bucket")
        settings.endpoint = server.endpoint
        settings.isAnonymous = true
        settings.asOf = Timestamp(Self.moment)
        let past = try S3PastStore(settings, context: .test, environment: .test())
        do {
            try await body(past)
        } catch {
            await past.close()
            server.stop()
            throw error
        }
        await past.close()
        server.stop()
    }

    private func error(_ body: () async throws(ObjectStoreError) -> Void) async -> ObjectStoreError? {
        do throws(ObjectStoreError) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    private static let enabled = Reply.answer(
        200, body: "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")

    private static func entry(
        _ key: String, _ id: String, _ time: String = "2013-05-23T00:00:00.000Z", isMarker: Bool = false,
        isLatest: Bool = false
    ) -> String {
        let element = isMarker ? "DeleteMarker" : "Version"
        return "<\(element)><Key>\(key)</Key><VersionId>\(id)</VersionId><IsLatest>\(isLatest)</IsLatest>"
            + "<LastModified>\(time)</LastModified><ETag>&quot;\(id)&quot;</ETag><Size>3</Size></\(element)>"
    }

    private static func page(_ entries: [String], more: String = "") -> Reply {
        .answer(200, body: "<ListVersionsResult>\(more)\(entries.joined())</ListVersionsResult>")
    }

    private static func more(_ key: String, _ id: String) -> String {
        "<IsTruncated>true</IsTruncated><NextKeyMarker>\(key)</NextKeyMarker>"
            + "<NextVersionIdMarker>\(id)</NextVersionIdMarker>"
    }

    // MARK: - Requests

    @Test func asksForVersionsAndReadsThem() async throws {
        let server = try ScriptedServer { request in
            if request.target.contains("versioning") { return Self.enabled }
            guard request.target.contains("versions") else {
                return .answer(206, headers: ["ETag": "\"v/1\"", "Content-Range": "bytes 1-2/3"], body: "bc")
            }
            return request.target.contains("version-id-marker")
                ? Self.page([Self.entry("a/2", "v2")])
                : Self.page([Self.entry("a/1", "v/1")], more: Self.more("a/1", "v/1"))
        }
        try await withPast(server) { past in
            let page = try await past.list(prefix: "a/", after: "a/0", limit: 5)
            #expect(page.objects.map(\.key) == ["a/1", "a/2"] && !page.hasMore)
            #expect(page.objects[0] == ObjectInfo(key: "a/1", size: 3, version: ObjectVersion("\"v/1\"")))
            #expect(try await past.get("a/1", bytes: 1..<9).bytes == Array("bc".utf8))
            #expect(try await past.get("a/1", bytes: 3..<9).bytes == [])
            #expect(
                await error { () throws(ObjectStoreError) in _ = try await past.get("a/1", bytes: 4..<9) }?.code
                    == .invalidArgument)
        }
        let list = "/bucket/?encoding-type=url&key-marker=a%2F"
        #expect(
            server.requests.map(\.target) == [
                "/bucket/?versioning=", "\(list)0&max-keys=1000&prefix=a%2F&versions=",
                "\(list)1&max-keys=1000&prefix=a%2F&version-id-marker=v%2F1&versions=", "/bucket/a/1?versionId=v%2F1",
            ])
        #expect(server.requests[3]["Range"] == "bytes=1-2")
    }

    @Test func namesWithTheNameInFrontAreOthers() async throws {
        let server = try ScriptedServer(
            Self.enabled, Self.page([Self.entry("a1", "v1")]), Self.page([Self.entry("a", "v1", isMarker: true)]),
            Self.page([]))
        try await withPast(server) { past in
            for _ in 0..<3 {
                #expect(await error { () throws(ObjectStoreError) in _ = try await past.info("a") }?.code == .notFound)
            }
        }
        #expect(server.requests.count == 4)
    }

    @Test func aVersionThatIsGoneSinceIsNotFound() async throws {
        let server = try ScriptedServer(
            Self.enabled, Self.page([Self.entry("a", "v1")]), .error(404, "NoSuchVersion"))
        try await withPast(server) { past in
            #expect(
                await error { () throws(ObjectStoreError) in _ = try await past.get("a", bytes: nil) }?.code
                    == .notFound)
        }
    }

    @Test func aBodyOfAnotherSizeIsRefused() async throws {
        let server = try ScriptedServer(
            Self.enabled, Self.page([Self.entry("a", "v1")]), .answer(200, headers: ["ETag": "\"v1\""], body: "four"))
        try await withPast(server) { past in
            #expect(
                await error { () throws(ObjectStoreError) in _ = try await past.get("a", bytes: nil) }?.code
                    == .corrupted)
        }
    }

    /// Of one second the service's order counts, and its word on which is the latest.
    @Test func theOrderOfTheServiceCountsWithinASecond() async throws {
        let pages = [
            [Self.entry("a", "v2"), Self.entry("a", "v1", isMarker: true)],
            [Self.entry("a", "v1"), Self.entry("a", "v2", isMarker: true, isLatest: true)],
            [Self.entry("a", "v1", isMarker: true), Self.entry("a", "v2")],
            [Self.entry("a", "v1", "2013-05-22T00:00:00Z"), Self.entry("a", "v2", isMarker: true)],
        ]
        for (entries, isThere) in zip(pages, [true, false, false, false]) {
            try await withPast(try ScriptedServer(Self.enabled, Self.page(entries))) { past in
                let found = try await past.list(prefix: "", after: nil, limit: 5).objects
                #expect(found.map(\.version.rawValue) == (isThere ? ["\"v2\""] : []), "\(entries)")
            }
        }
    }

    // MARK: - Refusals

    @Test(arguments: [
        [page([entry("p/b", "v1"), entry("p/a", "v1")])],
        [page([entry("p/b", "v1")], more: more("p/b", "v1")), page([entry("p/a", "v1")])],
        [page([entry("p/a", "v1"), entry("z", "v1")])],
        [page([], more: more("p/a", "v1"))],
        [page([entry("p/a", "v1")], more: "<IsTruncated>true</IsTruncated>")],
        [page([entry("p/a", "")])], [page([entry("p/a", "v1", "yesterday")])],
        [page(["<Version><Key>p/a</Key><VersionId>v</VersionId><LastModified>\(moment)</LastModified></Version>"])],
        [page([entry("p/a%2", "v1")], more: "<EncodingType>url</EncodingType>")],
        [.answer(200, body: "<ListBucketResult></ListBucketResult>")], [.answer(200, body: "")],
    ])
    func listingsThatAreNoneAreRefused(_ pages: [Reply]) async throws {
        try await withPast(try ScriptedServer([Self.enabled] + pages)) { past in
            let found = await error { () throws(ObjectStoreError) in
                _ = try await past.list(prefix: "p/", after: nil, limit: 5)
            }
            #expect(found?.code == .unsupported)
        }
    }

    @Test func aBucketWithoutVersionsIsRefused() async throws {
        for status in ["", "<Status/>", "<Status>Off</Status>"] {
            let server = try ScriptedServer(
                .answer(200, body: "<VersioningConfiguration>\(status)</VersioningConfiguration>"))
            try await withPast(server) { past in
                for _ in 0..<2 {
                    let found = await error { () throws(ObjectStoreError) in
                        _ = try await past.list(prefix: "", after: nil, limit: 1)
                    }
                    #expect(found?.code == .unsupported)
                    #expect(found?.message.contains("it keeps no versions") == true, "\(String(describing: found))")
                }
                #expect(
                    await error { () throws(ObjectStoreError) in _ = try await past.info("a") }?.code == .unsupported)
            }
            #expect(server.requests.allSatisfy { $0.target == "/bucket/?versioning=" })
        }
    }

    @Test(arguments: [
        (Reply.error(501, "NotImplemented"), ObjectStoreError.Code.unsupported),
        (.error(404, "NoSuchBucket"), .invalidArgument), (.error(503, "SlowDown"), .unavailable),
        (.answer(200, body: "<html/>"), .unsupported), (.error(200, "InternalError"), .unavailable),
    ])
    func whatCannotBeAskedIsNotAssumed(_ reply: Reply, _ expected: ObjectStoreError.Code) async throws {
        let server = try ScriptedServer(reply, Self.enabled, Self.page([]))
        try await withPast(server) { past in
            let list = { () async throws(ObjectStoreError) in _ = try await past.list(prefix: "", after: nil, limit: 1)
            }
            #expect(await error(list)?.code == expected)
            // It is asked again, not taken for answered.
            #expect(await error(list) == nil)
            #expect(await error(list) == nil)
        }
        #expect(server.requests.map { $0.target.contains("versioning") } == [true, true, false, false])
    }

    /// Without the right to ask, everything that was written without versions since is refused, and nothing else.
    @Test(arguments: [("2013-05-23T23:59:59.000Z", true), (moment, true), ("2013-05-24T00:00:01.000Z", false)])
    func withoutTheRightToAskLaterObjectsWithoutVersionAreRefused(_ time: String, _ isShown: Bool) async throws {
        for isMarker in [false, true] {
            let entries = [Self.entry("a", "null", time, isMarker: isMarker), Self.entry("a", "v1")]
            let server = try ScriptedServer(.error(403, "AccessDenied"), Self.page(entries))
            try await withPast(server) { past in
                let list = { () async throws(ObjectStoreError) in
                    _ = try await past.list(prefix: "", after: nil, limit: 1)
                }
                let info = { () async throws(ObjectStoreError) in _ = try await past.info("a") }
                if isShown {
                    #expect(await error(list) == nil)
                    #expect(await error(info)?.code == (isMarker ? .notFound : nil))
                } else {
                    for found in [await error(list), await error(info)] {
                        #expect(found?.code == .unsupported)
                        #expect(found?.message.contains("when the bucket kept no versions") == true)
                    }
                }
            }
            #expect(server.requests.count { $0.target.contains("versioning") } == 1)
        }
    }

    /// The rights that listing and reading take.
    @Test func missingRightsAreNamedAsSuch() async throws {
        let denied = Reply.error(403, "AccessDenied")
        let server = try ScriptedServer(denied, denied)
        try await withPast(server) { past in
            #expect(
                await error { () throws(ObjectStoreError) in _ = try await past.list(prefix: "", after: nil, limit: 1)
                }?
                .code == .permissionDenied)
        }
    }
}
