// Goal: every request ends once, in time, and says whether it may have had an effect.
// Method: servers that are silent, hang up, or are not there; the transport alone and below a store.
import Foundation
import Synchronization
import T4Protocols
import Testing

@testable import S3Store

@Suite struct TransportTests {
    private static let timeouts = HTTPTimeouts(connect: .seconds(600), stall: .seconds(600), total: .seconds(600))

    private func transport(connectionsMax: Int = 8, timeouts: HTTPTimeouts = timeouts) throws -> CurlTransport {
        try CurlTransport(options: CurlOptions(timeouts: timeouts), connectionsMax: connectionsMax)
    }

    private func request(_ server: ScriptedServer, mayRepeat: Bool = true, body: String = "") -> HTTPRequest {
        HTTPRequest(
            method: .put, url: "\(server.endpoint)/x", body: Array(body.utf8), mayRepeat: mayRepeat,
            bodySizeMax: 1000)
    }

    private func failure(_ body: () async throws(TransportFailure) -> Void) async -> TransportFailure? {
        do throws(TransportFailure) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    @Test func manyRequestsShareConnections() async throws {
        let server = try ScriptedServer(.answer(200, body: "ok"))
        let transport = try transport(connectionsMax: 4)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    do {
                        let url = "\(server.endpoint)/\(number)"
                        let answer = try await transport.send(
                            HTTPRequest(method: .get, url: url, mayRepeat: true, bodySizeMax: 1000))
                        #expect(answer.status == 200 && answer.body == Array("ok".utf8))
                    } catch {
                        Issue.record(error)
                    }
                }
            }
        }
        #expect(Set(server.requests.map(\.target)).count == 200)
        #expect(Set(server.requests.map(\.connection)).count <= 4)
        await transport.close()
        server.stop()
    }

    @Test func sendsLargeBodiesWhole() async throws {
        let server = try ScriptedServer(.answer(200))
        let transport = try transport()
        let body = String(repeating: "0123456789abcdef", count: 300_000)
        _ = try await transport.send(request(server, mayRepeat: false, body: body))
        #expect(server.requests.first?.text == body)
        await transport.close()
        server.stop()
    }

    @Test(arguments: [false, true]) func endsWhenTheTaskIsCancelled(_ isStore: Bool) async throws {
        let server = try ScriptedServer(.silence)
        try await withStore(server) { store in
            let transport = store.client.transport
            let request = request(server, body: "x")
            let task = Task {
                if isStore {
                    return await code { () throws(ObjectStoreError) in
                        _ = try await store.put("a", .bytes([1]), when: .absent)
                    }?.description
                }
                return await failure { () throws(TransportFailure) in _ = try await transport.send(request) }.map {
                    "\($0.reason) \($0.wasSent)"
                }
            }
            for await _ in server.arrivals { break }
            task.cancel()
            #expect(await task.value == (isStore ? "outcomeUnknown" : "cancelled true"))
        }
    }

    @Test func aTaskCancelledBeforeSendsNothing() async throws {
        let server = try ScriptedServer(.answer(200))
        let transport = try transport()
        let request = request(server)
        let gate = AsyncStream<Void>.makeStream()
        let task = Task {
            for await _ in gate.stream {}
            return await failure { () throws(TransportFailure) in _ = try await transport.send(request) }
        }
        task.cancel()
        gate.continuation.finish()
        let found = await task.value
        #expect(found?.reason == .cancelled && found?.wasSent == false)
        #expect(server.requests.isEmpty)
        await transport.close()
        server.stop()
    }

    @Test func whatMustHappenGoesOnAfterCancelling() async throws {
        let server = try ScriptedServer(.answer(200))
        let transport = try transport()
        let request = request(server)
        let task = Task {
            await failure { () throws(TransportFailure) in
                _ = try await transport.send(request, isCancellable: false)
            }
        }
        task.cancel()
        #expect(await task.value == nil)
        await transport.close()
        server.stop()
    }

    @Test func aSilentServiceTimesOut() async throws {
        let server = try ScriptedServer(.silence)
        try await withStore(server, change: { $0.requestTimeout = .milliseconds(200) }) { store in
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await store.put("a", .bytes([1]), when: .always) }
                    == .outcomeUnknown)
            #expect(
                await code { () throws(ObjectStoreError) in _ = try await store.get("a", bytes: nil) } == .unavailable)
        }
    }

    @Test func anAnswerThatStandsStillTimesOut() async throws {
        let server = try ScriptedServer { _ in .silence }
        let transport = try transport(
            timeouts: HTTPTimeouts(connect: .seconds(600), stall: .seconds(1), total: .seconds(600)))
        let request = request(server)
        let found = await failure { () throws(TransportFailure) in _ = try await transport.send(request) }
        #expect(found?.reason == .timedOut && found?.wasSent == true)
        await transport.close()
        server.stop()
    }

    @Test func withoutAServiceNothingWasWritten() async throws {
        // Bound, so that nobody else has the port, but it does not listen: connecting is refused.
        let (descriptor, port) = try boundSocket()
        defer { close(descriptor) }
        let unused = try ScriptedServer(.hangUp)
        try await withStore(unused, change: { $0.endpoint = "http://127.0.0.1:\(port)" }) { store in
            let found = await code { () throws(ObjectStoreError) in
                _ = try await store.put("a", .bytes([1]), when: .absent)
            }
            #expect(found == .unavailable)
        }
    }

    @Test func waitsForAFreeConnectionUntilTheDeadline() async throws {
        let server = try ScriptedServer(.silence)
        let transport = try transport(connectionsMax: 1)
        let request = request(server)
        let first = Task {
            await failure { () throws(TransportFailure) in _ = try await transport.send(request) }
        }
        for await _ in server.arrivals { break }
        var second = request
        second.timeouts = HTTPTimeouts(connect: .seconds(1), stall: .seconds(1), total: .milliseconds(100))
        let found = await failure { () throws(TransportFailure) in _ = try await transport.send(second) }
        #expect(found?.reason == .timedOut && found?.wasSent == false)
        #expect(server.requests.count == 1)
        await transport.close()
        #expect(await first.value?.reason == .closed)
        server.stop()
    }

    @Test func closingEndsEverything() async throws {
        let server = try ScriptedServer(.silence)
        let transport = try transport(connectionsMax: 2)
        let request = request(server)
        let tasks = (0..<5).map { _ in
            Task { await failure { () throws(TransportFailure) in _ = try await transport.send(request) } }
        }
        var arrived = 0
        for await _ in server.arrivals {
            arrived += 1
            if arrived == 2 { break }
        }
        await transport.close()
        await transport.close()
        for task in tasks { #expect(await task.value?.reason == .closed) }
        let late = await failure { () throws(TransportFailure) in _ = try await transport.send(request) }
        #expect(late?.reason == .closed && late?.wasSent == false)
        server.stop()
    }

    @Test func aClosedStoreSaysSo() async throws {
        let server = try ScriptedServer(.answer(200))
        try await withStore(server) { store in
            await store.close()
            #expect(await code { () throws(ObjectStoreError) in _ = try await store.info("a") } == .closed)
        }
        #expect(server.requests.isEmpty)
    }

    /// The service takes the request on a kept connection and hangs up: libcurl alone would send it again.
    @Test(arguments: ["", "body"]) func aConditionalPutIsNotSentTwiceByItself(_ body: String) async throws {
        let server = try hangingUpOnKeptConnections()
        let transport = try transport()
        _ = try await transport.send(request(server))
        let request = request(server, mayRepeat: false, body: body)
        if body.isEmpty {
            // It took a new connection, where libcurl repeats nothing.
            let found = await failure { () throws(TransportFailure) in _ = try await transport.send(request) }
            #expect(found == nil)
            #expect(server.requests.map(\.connection) == [0, 1])
        } else {
            // A connection is kept a moment after the answer was given, so that the next request may miss it.
            var found: TransportFailure?
            var sent = 1
            while found == nil, sent < 100 {
                found = await failure { () throws(TransportFailure) in _ = try await transport.send(request) }
                sent += 1
            }
            #expect(found?.wasSent == true)
            #expect(server.requests.count == sent)
        }
        await transport.close()
        server.stop()
    }

    @Test func whatMayBeRepeatedIs() async throws {
        let server = try hangingUpOnKeptConnections()
        let transport = try transport()
        _ = try await transport.send(request(server))
        // A connection is kept a moment after the answer was given, so that the next request may miss it.
        var sent = 1
        while server.requests.count == sent, sent < 100 {
            let answer = try await transport.send(request(server, body: "body"))
            #expect(answer.status == 200)
            sent += 1
        }
        #expect(server.requests.count == sent + 1)
        #expect(server.requests.suffix(2).map(\.text) == ["body", "body"])
        await transport.close()
        server.stop()
    }

    /// Answers the first request of each connection, and hangs up on the second.
    private func hangingUpOnKeptConnections() throws -> ScriptedServer {
        let seen = Mutex<Set<Int>>([])
        return try ScriptedServer { request in
            seen.withLock { $0.insert(request.connection).inserted } ? .answer(200) : .hangUp
        }
    }

    @Test func takesTheLastAnswerAfterAnInterimOne() async throws {
        let server = try ScriptedServer(
            .bytes("HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 201 Made\r\nC:  d \r\nContent-Length: 1\r\n\r\nx"))
        let transport = try transport()
        let answer = try await transport.send(request(server))
        #expect(answer.status == 201 && answer.headers == ["c": "d", "content-length": "1"])
        #expect(answer.body == [UInt8(ascii: "x")])
        await transport.close()
        server.stop()
    }
}
