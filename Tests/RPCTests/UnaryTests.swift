import Foundation
import RPC
import RawHTTP2
import Synchronization
import Testing

@Suite struct UnaryTests {
    @Test(arguments: [0, 1, 100, 16_379, 16_380, 70_000])
    func echoesMessagesOfAllSizes(_ size: Int) async throws {
        try await withServer { _ in
        } _: { server in
            let client = try await connect(server)
            let message = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            #expect(try await client.unary("/test.Echo/Unary", message) == message)
            await client.close()
        }
    }

    @Test func largeMessagesPassBothWays() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.messageSizeMax = 6 << 20
        configuration.streamWindow = 65_536
        configuration.connectionWindow = 65_536
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            var limits = RPCClientConfiguration()
            limits.streamWindow = 65_536
            limits.connectionWindow = 65_536
            let client = try await connect(server, configuration: limits)
            let message = (0..<5 << 20).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 11) }
            async let first = client.unary("/test.Echo/Unary", message)
            async let second = client.unary("/test.Echo/Unary", Array(message.reversed()))
            #expect(try await first == message)
            #expect(try await second == message.reversed())
            await client.close()
        }
    }

    @Test func errorsCarryCodeAndText() async throws {
        let status = RPCStatus(.failedPrecondition, "100 % größer\n\u{1F600}")
        try await withServer { router in
            router.unary("/test.Errors/Fail") { call, _ in call.fail(status) }
        } _: { server in
            let client = try await connect(server)
            #expect(await failure(client, "/test.Errors/Fail") == status)
            #expect(server.counters.callsFailed == 1)
            await client.close()
        }
    }

    @Test func unknownMethodsAreNamed() async throws {
        try await withServer { _ in
        } _: { server in
            let client = try await connect(server)
            #expect(
                await failure(client, "/test.Echo/Nope")
                    == RPCStatus(.unimplemented, "unknown method Nope for service test.Echo"))
            #expect(
                await failure(client, "/test.Nope/Unary", [UInt8](repeating: 1, count: 100_000))
                    == RPCStatus(.unimplemented, "unknown service test.Nope"))
            #expect(await failure(client, "/nope") == RPCStatus(.unimplemented, "malformed method name: \"/nope\""))
            // The connection is still good.
            #expect(try await client.unary("/test.Echo/Unary", [1]) == [1])
            await client.close()
        }
    }

    @Test func answersFromAnotherThread() async throws {
        let calls = Box<(ServerCall, [UInt8])>()
        try await withServer { router in
            router.unary("/test.Later/Unary") { call, request in
                calls.add((call, request.withUnsafeBytes { Array($0) }))
            }
        } _: { server in
            let clients = try await [connect(server), connect(server), connect(server)]
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<300 {
                    group.addTask {
                        let message = Array("message \(index)".utf8)
                        let answer = try await clients[index % 3].unary("/test.Later/Unary", message)
                        return index % 2 == 0 ? answer == message : answer == message + [1]
                    }
                }
                let waiting = await calls.wait(for: 300)
                let thread = Thread {
                    var batch = ReplyBatch()
                    for (call, message) in waiting.prefix(200) {
                        batch.respond(call, Self.number(message) % 2 == 0 ? message : message + [1])
                    }
                    batch.submit()
                    for (call, message) in waiting.dropFirst(200) {
                        call.respond(Self.number(message) % 2 == 0 ? message : message + [1])
                    }
                }
                thread.start()
                for try await isRight in group { #expect(isRight) }
            }
            for client in clients { await client.close() }
        }
    }

    private static func number(_ message: [UInt8]) -> Int {
        Int(String(decoding: message.dropFirst(8), as: UTF8.self)) ?? -1
    }

    @Test func tenThousandCallsAtOnce() async throws {
        let calls = Box<ServerCall>()
        try await withServer { router in
            router.unary("/test.Later/Unary") { call, _ in calls.add(call) }
        } _: { server in
            let client = try await connect(server)
            let method = client.method("/test.Later/Unary")
            let answers = Box<Int>()
            client.execute {
                for index in 0..<10_000 {
                    client.start(method, []) { result in
                        if case .success([1]) = result { answers.add(index) }
                    }
                }
            }
            let waiting = await calls.wait(for: 10_000)
            #expect(answers.values.isEmpty)
            var batch = ReplyBatch()
            for call in waiting { batch.respond(call, [1]) }
            batch.submit()
            #expect(Set(await answers.wait(for: 10_000)).count == 10_000)
            #expect(server.counters.callsEnded == 10_000)
            await client.close()
        }
    }

    @Test func metadataIsKeptForTheNamedKeysOnly() async throws {
        let seen = Box<[String?]>()
        try await withServer { router in
            router.unary("/test.Meta/Unary") { call, _ in
                seen.add([call.metadata("token"), call.metadata("hasleader"), call.metadata("other")])
                call.respond([])
            }
        } _: { server in
            let client = try await connect(server)
            _ = try await client.unary("/test.Meta/Unary", [], metadata: [("token", "a"), ("other", "b")])
            _ = try await client.unary("/test.Meta/Unary", [])
            #expect(await seen.wait(for: 2) == [["a", nil, nil], [nil, nil, nil]])
            await client.close()
        }
    }

    @Test func deadlinePassesOnTheServer() async throws {
        let held = Box<ServerCall>()
        try await withServer { router in
            router.unary("/test.Never/Unary") { call, _ in held.add(call) }
        } _: { server in
            // A client by hand: it does not give up by itself.
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            // In one piece, so that the handler has the call before the time is over.
            let block = RawPeer.block(RawPeer.requestFields("/test.Never/Unary") + [("grpc-timeout", "50m")])
            try await peer.write(
                RawPeer.frame(RawPeer.FrameType.headers, 4, 1, block)
                    + RawPeer.frame(RawPeer.FrameType.data, 1, 1, RawPeer.message([])))
            let answer = try await peer.answer(1)
            #expect(answer["grpc-status"] == "4")
            #expect(answer["grpc-message"] == "context deadline exceeded")
            let call = await held.wait()[0]
            #expect(call.isClosed)
            // An answer that comes too late does nothing.
            call.respond([1])
            try await peer.headers(3, RawPeer.requestFields("/test.Echo/Unary"))
            try await peer.data(3, RawPeer.message([5]), end: true)
            #expect(try await peer.answer(3)["grpc-status"] == "0")
        }
    }

    @Test func deadlinePassesOnTheClient() async throws {
        let held = Box<ServerCall>()
        try await withServer { router in
            router.unary("/test.Never/Unary") { call, _ in held.add(call) }
        } _: { server in
            let client = try await connect(server)
            #expect(
                await failure(client, "/test.Never/Unary", timeout: .milliseconds(40))
                    == RPCStatus(.deadlineExceeded, "context deadline exceeded"))
            let remaining = await held.wait()[0].timeRemaining
            #expect(remaining.map { $0 <= .milliseconds(40) } == true)
            await client.close()
        }
    }

    @Test func cancelledTaskResetsTheStream() async throws {
        let held = Box<ServerCall>()
        try await withServer { router in
            router.unary("/test.Never/Unary") { call, _ in held.add(call) }
        } _: { server in
            let client = try await connect(server)
            let task = Task { await failure(client, "/test.Never/Unary") }
            let call = await held.wait()[0]
            task.cancel()
            #expect(await task.value.code == .cancelled)
            try await eventually("the server's call is closed") { call.isClosed }
            call.respond([1])
            #expect(try await client.unary("/test.Echo/Unary", [2]) == [2])
            await client.close()
        }
    }
}
