// Goal: a range gives the bytes it names or an error, whatever the service makes of it. Method: a scripted server.
import T4Protocols
import Testing

@testable import S3Store

@Suite struct RangeTests {
    private func get(
        _ range: Range<UInt64>, _ script: @escaping ScriptedServer.Script
    ) async throws -> (Result<StoredBytes, ObjectStoreError>, [ReceivedRequest]) {
        let server = try ScriptedServer(script)
        var result: Result<StoredBytes, ObjectStoreError>?
        try await withStore(server) { store in
            do throws(ObjectStoreError) {
                result = .success(try await store.get("a", bytes: range))
            } catch {
                result = .failure(error)
            }
        }
        return (result!, server.requests)
    }

    private func part(_ content: String, _ body: String) -> Reply {
        .answer(206, headers: ["ETag": "\"e\"", "Content-Range": content], body: body)
    }

    @Test func readsAPart() async throws {
        let (result, requests) = try await get(2..<5) { _ in part("bytes 2-4/9", "cde") }
        let found = try result.get()
        #expect(found.bytes == Array("cde".utf8))
        #expect(found.info == ObjectInfo(key: "a", size: 9, version: ObjectVersion("\"e\"")))
        #expect(requests[0]["Range"] == "bytes=2-4")
    }

    @Test func isCutAtTheEnd() async throws {
        let (result, _) = try await get(7..<100) { _ in part("bytes 7-8/9", "hi") }
        #expect(try result.get().bytes == Array("hi".utf8))
    }

    @Test(arguments: [(9 as UInt64, true), (10, false)])
    func endsBehindTheLastByte(_ start: UInt64, _ isEmpty: Bool) async throws {
        let (result, _) = try await get(start..<20) { request in
            request.method == "HEAD"
                ? .answer(200, headers: ["ETag": "\"e\"", "Content-Length": "9"]) : .error(416, "InvalidRange")
        }
        if isEmpty {
            #expect(try result.get().bytes.isEmpty)
        } else {
            #expect(throws: ObjectStoreError.self) { try result.get() }
            if case .failure(let error) = result { #expect(error.code == .invalidArgument) }
        }
    }

    @Test func anEmptyRangeAsksForNoBytes() async throws {
        let (result, requests) = try await get(3..<3) { _ in
            .answer(200, headers: ["ETag": "\"e\"", "Content-Length": "9"])
        }
        #expect(try result.get().bytes.isEmpty)
        #expect(requests.map(\.method) == ["HEAD"])
    }

    @Test(arguments: [
        ("bytes 1-3/9", "bcd", ObjectStoreError.Code.corrupted), ("bytes 2-4/9", "cd", .corrupted),
        ("bytes 2-3/9", "cd", .corrupted), ("nonsense", "cde", .unsupported),
    ])
    func refusesAnotherPart(_ content: String, _ body: String, _ code: ObjectStoreError.Code) async throws {
        let (result, _) = try await get(2..<5) { _ in part(content, body) }
        guard case .failure(let error) = result else {
            Issue.record("took \(content)")
            return
        }
        #expect(error.code == code)
    }

    @Test func takesNotMoreThanItAskedFor() async throws {
        let (result, _) = try await get(0..<5) { _ in
            .answer(200, headers: ["ETag": "\"e\""], body: String(repeating: "x", count: 100_000))
        }
        guard case .failure(let error) = result else {
            Issue.record("took all of it")
            return
        }
        #expect(error.code == .unsupported)
    }

    @Test func aWholeSmallObjectMayComeInsteadOfItsRange() async throws {
        let (result, _) = try await get(0..<5) { _ in .answer(200, headers: ["ETag": "\"e\""], body: "abc") }
        #expect(try result.get().bytes == Array("abc".utf8))
    }
}
