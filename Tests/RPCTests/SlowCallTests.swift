import RPC
import Testing

/// Goal: how long calls take is counted, and unary calls that take long are told of. Method: handlers that answer when told.
@Suite struct SlowCallTests {
    private static func configuration(_ slow: SlowCalls) -> RPCServerConfiguration {
        var configuration = RPCServerConfiguration.patient
        configuration.slowCalls = slow
        return configuration
    }

    @Test func callsThatTakeLongAreToldOf() async throws {
        let told = Box<SlowCall>()
        // Each takes longer than a nanosecond.
        let slow = SlowCalls(after: .nanoseconds(1)) { told.add($0) }
        try await withServer(configuration: Self.configuration(slow)) { router in
            router.unary("/test.Slow/Fail") { call, _ in
                call.remark = (7, 8)
                call.fail(RPCStatus(.notFound, "x"))
            }
            router.stream("/test.Slow/Stream") { call in
                call.finish()
                return RecordingServerHandler(Box())
            }
        } _: { server in
            let client = try await connect(server)
            _ = try await client.unary("/test.Echo/Unary", [1, 2, 3])
            _ = await failure(client, "/test.Slow/Fail", [1])
            // A stream lasts as long as it is meant to.
            _ = await failure(client, "/test.Slow/Stream", [1])
            let calls = told.values
            #expect(calls.map(\.path) == ["/test.Echo/Unary", "/test.Slow/Fail"])
            #expect(calls.map(\.code) == [.ok, .notFound])
            #expect(calls.map(\.requestSize) == [3, 1])
            #expect(calls.map(\.responseSize) == [3, 0])
            #expect(calls.map(\.remark.0) == [0, 7] && calls.map(\.remark.1) == [0, 8])
            #expect(calls.allSatisfy { $0.time > .zero && $0.client?.hasPrefix("127.0.0.1:") == true })
            slow.set(.zero)
            _ = try await client.unary("/test.Echo/Unary", [1])
            slow.set(.seconds(3600))
            _ = try await client.unary("/test.Echo/Unary", [1])
            #expect(told.values.count == 2)
            await client.close()
        }
    }

    @Test func timesAreCountedForEachMethod() async throws {
        let held = Box<ServerCall>()
        try await withServer { router in
            router.unary("/test.Slow/Hold") { call, _ in held.add(call) }
        } _: { server in
            let client = try await connect(server)
            let clock = ContinuousClock()
            let begin = clock.now
            async let answer = client.unary("/test.Slow/Hold", [])
            let call = await held.wait()[0]
            let arrived = clock.now
            while clock.now - arrived < .milliseconds(20) {}
            call.respond([])
            _ = try await answer
            let most = clock.now - begin
            for _ in 0..<3 { _ = try await client.unary("/test.Echo/Unary", []) }
            let counts = server.callCounts
            let hold = try #require(counts.first { $0.path == "/test.Slow/Hold" })
            #expect(hold.seconds >= 0.02 && .seconds(hold.seconds) <= most)
            // In the classes from its time on, and in no class below.
            for (bound, count) in hold.atMost { #expect(count == (bound >= hold.seconds ? 1 : 0), "\(bound)") }
            let echo = try #require(counts.first { $0.path == "/test.Echo/Unary" })
            #expect(echo.began == 3 && echo.ended[.ok] == 3 && echo.seconds > 0)
            await client.close()
        }
    }
}
