// Goal: a put in parts becomes visible at once or not at all, and tells which. Method: a scripted server that keeps
// count of an upload.
import Synchronization
import T4Protocols
import Testing

@testable import S3Store

@Suite struct MultipartTests {
    private static let size = 11 << 20
    private static let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

    /// Runs a put of three parts against a service that completes it with `completion`, or fails part `failing`.
    private func put(
        _ payload: Payload = .bytes(payload), when condition: PutCondition = .absent, failing: Int? = nil,
        completion: Reply
    ) async throws -> (Result<ObjectVersion, ObjectStoreError>, [ReceivedRequest]) {
        let server = try ScriptedServer { request in
            if request.method == "DELETE" { return .answer(204) }
            if request.target.hasSuffix("?uploads=") {
                return .answer(
                    200,
                    body: "<InitiateMultipartUploadResult><UploadId>up/1</UploadId></InitiateMultipartUploadResult>")
            }
            if request.method == "POST" { return completion }
            let number = request.target.split { "=&".contains($0) }[1]
            return failing.map { "\($0)" == number } == true
                ? .error(500, "InternalError") : .answer(200, headers: ["ETag": "\"part-\(number)\""])
        }
        var result: Result<ObjectVersion, ObjectStoreError>?
        try await withStore(
            server,
            change: { settings in
                settings.partSizeBytes = 5 << 20
                settings.multipartThresholdBytes = 5 << 20
            },
            { store in
                do throws(ObjectStoreError) {
                    result = .success(try await store.put("big", payload, when: condition))
                } catch {
                    result = .failure(error)
                }
            })
        return (result!, server.requests)
    }

    private static let completed = Reply.answer(
        200,
        body: "  \n <?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>&quot;whole-3&quot;</ETag>"
            + "</CompleteMultipartUploadResult>")

    private func checkWhole(_ requests: [ReceivedRequest]) {
        let parts = requests.filter { $0.method == "PUT" }.sorted { $0.target < $1.target }
        #expect(
            parts.map(\.target) == (1...3).map { "/bucket/big?partNumber=\($0)&uploadId=up%2F1" })
        #expect(Array(parts.map(\.body).joined()) == Self.payload)
        #expect(parts.allSatisfy { $0["If-None-Match"] == nil })
    }

    @Test func sendsPartsAndCompletesUnderTheCondition() async throws {
        let (result, requests) = try await put(completion: Self.completed)
        #expect(try result.get().rawValue == "\"whole-3\"")
        checkWhole(requests)
        let last = try #require(requests.last)
        #expect(last.method == "POST" && last.target == "/bucket/big?uploadId=up%2F1")
        #expect(last["If-None-Match"] == "*")
        let list = (1...3).map {
            "<Part><PartNumber>\($0)</PartNumber><ETag>&quot;part-\($0)&quot;</ETag></Part>"
        }
        #expect(last.text == "<CompleteMultipartUpload>\(list.joined())</CompleteMultipartUpload>")
        #expect(requests.count == 5)
    }

    @Test func sendsAFileInParts() async throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("big", String(decoding: Self.payload.map { $0 & 0x7f }, as: UTF8.self))
        let (result, requests) = try await put(.file(path: path), when: .always, completion: Self.completed)
        _ = try result.get()
        let parts = requests.filter { $0.method == "PUT" }.sorted { $0.target < $1.target }
        #expect(Array(parts.map(\.body).joined()) == Self.payload.map { $0 & 0x7f })
    }

    @Test func throwsAFailedUploadAway() async throws {
        let (result, requests) = try await put(failing: 2, completion: Self.completed)
        guard case .failure(let error) = result else {
            Issue.record("the put succeeded")
            return
        }
        // Nothing was completed, so nothing can be visible.
        #expect(error.code == .unavailable)
        #expect(!requests.contains { $0.method == "POST" && $0.target.contains("uploadId") })
        #expect(requests.last?.method == "DELETE")
        #expect(requests.last?.target == "/bucket/big?uploadId=up%2F1")
    }

    struct Ending: Sendable, CustomTestStringConvertible {
        var reply: Reply
        var condition: PutCondition = .absent
        var code: ObjectStoreError.Code
        var isAborted: Bool
        var testDescription: String { "\(reply) \(condition)" }
    }

    static let endings = [
        Ending(reply: .error(412, "PreconditionFailed"), code: .alreadyExists, isAborted: true),
        Ending(reply: .error(200, "PreconditionFailed"), code: .alreadyExists, isAborted: true),
        Ending(
            reply: .error(200, "PreconditionFailed"), condition: .unchanged(since: ObjectVersion("\"v\"")),
            code: .conditionFailed, isAborted: true),
        Ending(reply: .error(404, "NoSuchUpload"), code: .unavailable, isAborted: true),
        Ending(reply: .error(200, "InternalError"), code: .outcomeUnknown, isAborted: false),
        Ending(reply: .error(200, "SlowDown"), code: .outcomeUnknown, isAborted: false),
        Ending(reply: .error(200, "InternalError"), condition: .always, code: .outcomeUnknown, isAborted: false),
        Ending(reply: .error(409, "ConditionalRequestConflict"), code: .outcomeUnknown, isAborted: false),
        Ending(reply: .answer(200, body: "<html>"), code: .outcomeUnknown, isAborted: false),
        Ending(reply: .hangUp, code: .outcomeUnknown, isAborted: false),
    ]

    @Test(arguments: endings) func tellsHowTheLastStepEnded(_ ending: Ending) async throws {
        let (result, requests) = try await put(when: ending.condition, completion: ending.reply)
        guard case .failure(let error) = result else {
            Issue.record("the put succeeded")
            return
        }
        #expect(error.code == ending.code)
        #expect(requests.contains { $0.method == "DELETE" } == ending.isAborted)
        #expect(requests.count { $0.method == "POST" } == 2)
    }

    @Test func aCancelledUploadIsThrownAwayToo() async throws {
        let server = try ScriptedServer { request in
            switch request.method {
            case "DELETE": .answer(204)
            case "POST":
                .answer(
                    200, body: "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
            default: .silence
            }
        }
        try await withStore(server, change: { $0.multipartThresholdBytes = 5 << 20 }) { store in
            let task = Task {
                await code { () throws(ObjectStoreError) in
                    _ = try await store.put("big", .bytes(Self.payload), when: .absent)
                }
            }
            for await request in server.arrivals where request.method == "PUT" { break }
            task.cancel()
            #expect(await task.value == .unavailable)
        }
        #expect(server.requests.last?.method == "DELETE")
    }

    @Test func aMissingFileIsRefused() async throws {
        let server = try ScriptedServer(.hangUp)
        try await withStore(server) { store in
            let found = await code { () throws(ObjectStoreError) in
                _ = try await store.put("a", .file(path: "/nonexistent/file"), when: .always)
            }
            #expect(found == .invalidArgument)
        }
        #expect(server.requests.isEmpty)
    }
}
