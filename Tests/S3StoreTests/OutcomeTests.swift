// Goal: what the service answers, or fails to answer, becomes the error that a caller can act on.
// Method: a scripted server; each test looks at the error and at the requests that came.
import T4Protocols
import Testing

@testable import S3Store

@Suite struct OutcomeTests {
    private static let replaced = PutCondition.unchanged(since: ObjectVersion("\"old\""))

    struct Case: Sendable, CustomTestStringConvertible {
        var condition: PutCondition
        var reply: Reply
        var code: ObjectStoreError.Code
        var testDescription: String { "\(condition) \(reply) \(code)" }
    }

    static let puts: [Case] = [
        Case(condition: .absent, reply: .error(412, "PreconditionFailed"), code: .alreadyExists),
        Case(condition: .absent, reply: .answer(304), code: .alreadyExists),
        Case(condition: replaced, reply: .error(412, "PreconditionFailed"), code: .conditionFailed),
        Case(condition: replaced, reply: .answer(304), code: .conditionFailed),
        Case(condition: replaced, reply: .error(404, "NoSuchKey"), code: .conditionFailed),
        Case(condition: replaced, reply: .error(404, "NoSuchBucket"), code: .invalidArgument),
        Case(condition: .absent, reply: .error(409, "ConditionalRequestConflict"), code: .outcomeUnknown),
        Case(condition: replaced, reply: .error(409, "ConditionalRequestConflict"), code: .outcomeUnknown),
        Case(condition: .always, reply: .error(409, "OperationAborted"), code: .unavailable),
        Case(condition: .absent, reply: .error(500, "InternalError"), code: .outcomeUnknown),
        Case(condition: .always, reply: .error(500, "InternalError"), code: .outcomeUnknown),
        Case(condition: .absent, reply: .error(503, "ServiceUnavailable"), code: .outcomeUnknown),
        Case(condition: .absent, reply: .answer(502, body: "<html>bad gateway"), code: .outcomeUnknown),
        Case(condition: .absent, reply: .answer(504), code: .outcomeUnknown),
        Case(condition: .absent, reply: .answer(408), code: .outcomeUnknown),
        Case(condition: .absent, reply: .error(503, "SlowDown"), code: .unavailable),
        Case(condition: .absent, reply: .answer(429), code: .unavailable),
        Case(condition: .absent, reply: .error(400, "RequestTimeout"), code: .unavailable),
        Case(condition: .absent, reply: .error(400, "BadDigest"), code: .unavailable),
        Case(condition: .absent, reply: .error(403, "AccessDenied"), code: .permissionDenied),
        Case(condition: .absent, reply: .error(403, "SignatureDoesNotMatch"), code: .permissionDenied),
        Case(condition: .absent, reply: .error(501, "NotImplemented"), code: .unsupported),
        Case(condition: .always, reply: .error(507, "XMinioStorageFull"), code: .noSpace),
        Case(condition: .always, reply: .error(400, "EntityTooLarge"), code: .invalidArgument),
        Case(condition: .absent, reply: .hangUp, code: .outcomeUnknown),
        Case(condition: .always, reply: .hangUp, code: .outcomeUnknown),
        Case(condition: .absent, reply: .bytes("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Le"), code: .outcomeUnknown),
        Case(condition: .absent, reply: .bytes("not HTTP at all\r\n\r\n"), code: .outcomeUnknown),
        Case(condition: .absent, reply: .answer(200), code: .outcomeUnknown),
    ]

    @Test(arguments: puts) func tellsHowAPutEnded(_ sample: Case) async throws {
        let server = try ScriptedServer(sample.reply)
        try await withStore(server) { store in
            let found = await code { () throws(ObjectStoreError) in
                _ = try await store.put("wal/1", .bytes([1, 2]), when: sample.condition)
            }
            #expect(found == sample.code)
            // Nothing was tried again.
            #expect(server.requests.count == 1)
        }
    }

    static let gets: [(Reply, ObjectStoreError.Code)] = [
        (.error(404, "NoSuchKey"), .notFound), (.error(404, "NoSuchBucket"), .invalidArgument),
        (.answer(404, body: "<html>nginx"), .unavailable), (.error(500, "InternalError"), .unavailable),
        (.error(503, "SlowDown"), .unavailable), (.error(403, "AccessDenied"), .permissionDenied),
        (.hangUp, .unavailable), (.answer(200), .unsupported),
        (.bytes("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\nshort"), .unavailable),
        (.bytes("HTTP/1.1 200 OK\r\nETag: \"a\"\r\n\r\nperhaps short"), .unsupported),
        (.bytes("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho"), .unavailable),
    ]

    @Test(arguments: gets.indices) func tellsHowAGetEnded(_ index: Int) async throws {
        let (reply, expected) = Self.gets[index]
        let server = try ScriptedServer(reply)
        try await withStore(server) { store in
            let found = await code { () throws(ObjectStoreError) in _ = try await store.get("a", bytes: nil) }
            #expect(found == expected)
        }
    }

    @Test func putSendsTheConditionAndTheVersionAsTheyAre() async throws {
        let server = try ScriptedServer(.answer(200, headers: ["ETag": "\"e-2\""]))
        try await withStore(server) { store in
            let first = try await store.put("a b/\u{e4}+", .bytes(Array("body".utf8)), when: .absent)
            #expect(first.rawValue == "\"e-2\"")
            _ = try await store.put("a", .bytes([]), when: .unchanged(since: first))
            _ = try await store.put("a", .bytes([]), when: .always)
        }
        let requests = server.requests
        try #require(requests.count == 3)
        #expect(requests[0].method == "PUT")
        #expect(requests[0].target == "/bucket/a%20b/%C3%A4%2B")
        #expect(requests[0]["If-None-Match"] == "*")
        #expect(requests[0].text == "body")
        #expect(requests[0]["Host"] == "127.0.0.1:\(server.port)")
        #expect(requests[0]["x-amz-content-sha256"] == hex(Digests.sha256(Array("body".utf8))))
        #expect(requests[0]["Expect"] == nil)
        #expect(requests[1]["If-Match"] == "\"e-2\"")
        #expect(requests[1]["Content-Length"] == "0")
        #expect(requests[2]["If-Match"] == nil && requests[2]["If-None-Match"] == nil)
        // An empty conditional put takes a connection of its own.
        #expect(requests[1].connection != requests[0].connection)
    }

    @Test func unquotedTagsAreSentWithoutQuotes() async throws {
        let server = try ScriptedServer(.answer(200, headers: ["ETag": "\"e\""]))
        try await withStore(server, change: { $0.hasUnquotedETags = true }) { store in
            let version = try await store.put("a", .bytes([1]), when: .unchanged(since: ObjectVersion("\"old\"")))
            #expect(version.rawValue == "\"e\"")
        }
        #expect(server.requests[0]["If-Match"] == "old")
    }

    @Test(arguments: ["", "*", "a\r\nX: y", "a b"]) func refusesVersionsThatAreNone(_ text: String) async throws {
        let server = try ScriptedServer(.answer(200, headers: ["ETag": "\"e\""]))
        try await withStore(server) { store in
            let found = await code { () throws(ObjectStoreError) in
                _ = try await store.put("a", .bytes([1]), when: .unchanged(since: ObjectVersion(text)))
            }
            #expect(found == .invalidArgument)
        }
        #expect(server.requests.isEmpty)
    }

    @Test func anonymousRequestsAreNotSigned() async throws {
        let server = try ScriptedServer(.answer(200, headers: ["ETag": "\"e\""], body: "x"))
        try await withStore(
            server,
            change: { settings in
                settings.isAnonymous = true
                settings.accessKeyID = nil
                settings.secretAccessKey = nil
            },
            { store in _ = try await store.get("a", bytes: nil) })
        #expect(server.requests[0]["Authorization"] == nil)
    }

    @Test func anInfoOfAMissingBucketIsNoMissingObject() async throws {
        let server = try ScriptedServer { request in
            request.method == "HEAD" ? .answer(404) : .error(404, "NoSuchBucket")
        }
        try await withStore(server) { store in
            #expect(await code { () throws(ObjectStoreError) in _ = try await store.info("a") } == .invalidArgument)
        }
        #expect(server.requests.map(\.method) == ["HEAD", "GET"])
    }

    @Test func aBucketOnceSeenIsNotAskedForAgain() async throws {
        let server = try ScriptedServer { request in
            request.method == "HEAD" ? .answer(404) : .error(404, "NoSuchKey")
        }
        try await withStore(server) { store in
            for _ in 0..<2 {
                #expect(await code { () throws(ObjectStoreError) in _ = try await store.info("a") } == .notFound)
            }
        }
        #expect(server.requests.map(\.method) == ["HEAD", "GET", "HEAD"])
    }

    @Test(arguments: ["", "a\u{1}", "a/../b", ".", "a/.", "\u{7f}", String(repeating: "a", count: 1025)])
    func refusesNames(_ name: String) async throws {
        let server = try ScriptedServer(.hangUp)
        try await withStore(server) { store in
            let key = ObjectKey(name)
            #expect(await code { () throws(ObjectStoreError) in _ = try await store.info(key) } == .invalidArgument)
            #expect(await code { () throws(ObjectStoreError) in try await store.delete([key]) } == .invalidArgument)
        }
        #expect(server.requests.isEmpty)
    }
}
