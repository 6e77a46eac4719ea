import NIOCore
import RawHTTP2
import Testing

@testable import RPC

/// Who may go on and who is cut off when clients leave answers unread and requests unfinished.
///
/// Method: raw peers without a window, on one event loop with little memory. What a peer holds up to a mark is nobody's
/// fault (`pendingBytesHigh`), so that peers that hold so much keep memory scarce for as long as a test likes.
@Suite struct MemoryTests {
    private typealias FrameType = RawPeer.FrameType

    private static var configuration: RPCServerConfiguration {
        var configuration = RPCServerConfiguration.patient
        configuration.outputBytesMax = 4 << 20
        configuration.bufferedBytesMax = 8 << 20
        return configuration
    }

    /// Answers with as many bytes as the request says, in units of 10,000 bytes.
    private static func withServer(
        _ handled: Box<Int>, threads: Int = 1, stallTime: Duration = .seconds(5),
        _ body: (RPCServer) async throws -> Void
    ) async throws {
        var configuration = configuration
        configuration.stallTime = stallTime
        try await RPCTests.withServer(threads: threads, configuration: configuration) { router in
            router.unary("/test.Big/Get") { call, request in
                let units = Int(request.unsafeLoad(as: UInt8.self))
                handled.add(units)
                call.respond([UInt8](repeating: 1, count: units * 10_000))
            }
        } _: { server in
            try await body(server)
        }
    }

    /// A peer that asks for answers and leaves them unread.
    private static func peer(_ server: RPCServer, asksFor units: [UInt8]) async throws -> RawPeer {
        let peer = try await RawPeer(port: server.port)
        try await peer.startHTTP2()
        let requests = units.enumerated().flatMap { RawPeer.request(RawPeer.stream($0), "/test.Big/Get", [$1]) }
        try await peer.write(RawPeer.initialWindow(0) + requests + RawPeer.ping)
        _ = try await peer.next(FrameType.ping)
        return peer
    }

    private static func readAll(_ peer: RawPeer) async throws {
        try await peer.write(RawPeer.initialWindow(1 << 30) + RawPeer.credit(1 << 30))
    }

    @Test func oneAnswerMayBeAsLargeAsItIs() async throws {
        // Three times what there is.
        try await RPCTests.withServer(threads: 1, configuration: Self.configuration) { router in
            router.unary("/test.Big/Get") { call, _ in call.respond([UInt8](repeating: 1, count: 24 << 20)) }
        } _: { server in
            let peer = try await Self.peer(server, asksFor: [0])
            // Waits for the large one, as others on its connection.
            try await peer.write(RawPeer.request(3, "/test.Echo/Unary"))
            let client = try await connect(server)
            for _ in 0..<3 { #expect(try await client.unary("/test.Echo/Unary", [9]) == [9]) }
            await client.close()
            try await Self.readAll(peer)
            let answers = try await peer.answers(2)
            #expect(answers[1]?["grpc-status"] == "0")
            #expect(answers[3]?["grpc-status"] == "0")
        }
    }

    @Test func whoLeavesAnswersUnreadIsCutOffWhenMemoryIsScarce() async throws {
        try await Self.withServer(Box()) { server in
            // As much as everybody may leave unread.
            let modest = try await Self.peer(server, asksFor: [25])
            let greedy = try await Self.peer(server, asksFor: [100, 100, 100, 100, 100])
            let goAway = try await greedy.next(FrameType.goAway)
            #expect(goAway.payload[4..<8].elementsEqual([0, 0, 0, 11]))
            #expect(String(decoding: goAway.payload[8...], as: UTF8.self).contains("memory"))
            try await greedy.drainToEnd()
            try await Self.readAll(modest)
            #expect(try await modest.answer(1)["grpc-status"] == "0")
        }
    }

    /// On each of two loops there would be enough, together there is not.
    @Test(.timeLimit(.minutes(10))) func loopsShareTheMemory() async throws {
        try await Self.withServer(Box(), threads: 2) { server in
            var others: [RawPeer] = []
            for _ in 0..<20 { others.append(try await Self.peer(server, asksFor: [25])) }
            let greedy = try await Self.peer(server, asksFor: [100])
            let goAway = try await greedy.next(FrameType.goAway)
            #expect(String(decoding: goAway.payload[8...], as: UTF8.self).contains("memory"))
            try await greedy.drainToEnd()
            for other in others {
                try await Self.readAll(other)
                #expect(try await other.answer(1)["grpc-status"] == "0")
            }
        }
    }

    @Test func whoSendsMoreThanThereIsMemoryForIsCutOff() async throws {
        try await Self.withServer(Box()) { server in
            let modest = try await RawPeer(port: server.port)
            try await modest.startHTTP2()
            try await modest.acknowledgeSettings()
            try await modest.write(RawPeer.openingHeaders(1, "/test.Echo/Unary"))
            try await modest.data(1, [0, 0, 0, 0, 2, 1], end: false)
            let greedy = try await RawPeer(port: server.port)
            try await greedy.startHTTP2()
            try await greedy.acknowledgeSettings()
            let piece = [UInt8](repeating: 0, count: 16_000)
            _ = await greedy.flood(100) { number in
                let stream = RawPeer.stream(number)
                return RawPeer.openingHeaders(stream, "/test.Echo/Unary")
                    + RawPeer.frame(FrameType.data, 0, stream, [0, 0, 0x10, 0, 0])
                    + (0..<10).flatMap { _ in RawPeer.frame(FrameType.data, 0, stream, piece) }
            }
            try await greedy.drainToEnd()
            try await modest.data(1, [2], end: true)
            #expect(try await modest.answer(1)["grpc-status"] == "0")
        }
    }

    @Test func waitingRequestsGoOnWhenTheirClientReadsThoughMemoryStaysScarce() async throws {
        let handled = Box<Int>()
        // Whoever is slow here is the machine.
        try await Self.withServer(handled, stallTime: .seconds(3600)) { server in
            var others: [RawPeer] = []
            for _ in 0..<20 { others.append(try await Self.peer(server, asksFor: [25])) }
            let peer = try await Self.peer(server, asksFor: [30, 3, 2, 1])
            #expect(handled.values == [Int](repeating: 25, count: 20) + [30])
            // Not all of it, but what is left is little enough.
            try await peer.write(RawPeer.credit(200_000) + RawPeer.credit(200_000, stream: 1))
            // In the order in which they came.
            #expect(await handled.wait(for: 24).suffix(3) == [3, 2, 1])
            for other in others {
                try await Self.readAll(other)
                #expect(try await other.answer(1)["grpc-status"] == "0")
            }
        }
    }
}

@Suite struct PaceTests {
    private static let start = NIODeadline.uptimeNanoseconds(1 << 40)

    /// Looks four times a second; the bytes that have moved after so many seconds are those given.
    private func pace(_ seconds: Int, held: Int, moved: (Double) -> Double) -> Pace {
        var pace = Pace()
        for quarter in 0...(seconds * 4) {
            let time = Double(quarter) / 4
            pace.look(
                held: held, spare: 1000, moved: Int(moved(time)), at: Self.start + .milliseconds(Int64(quarter) * 250),
                stallSeconds: 5)
        }
        return pace
    }

    @Test func whoHoldsLittleIsNeverJudged() {
        let pace = pace(100, held: 1000) { _ in 0 }
        #expect(!pace.isStalled && !pace.isSlow)
    }

    @Test func whatHasJustComeIsNotJudged() {
        var pace = Pace()
        pace.look(held: 0, spare: 1000, moved: 0, at: Self.start, stallSeconds: 5)
        // Idle for an hour, then it holds much.
        pace.look(held: 1 << 20, spare: 1000, moved: 0, at: Self.start + .hours(1), stallSeconds: 5)
        #expect(!pace.isStalled && !pace.isSlow)
        pace.look(
            held: 1 << 20, spare: 1000, moved: 0, at: Self.start + .hours(1) + .milliseconds(900), stallSeconds: 5)
        #expect(!pace.isStalled && !pace.isSlow)
    }

    @Test func whoMovesNothingIsSlowThenStalls() {
        let after4 = pace(4, held: 1 << 20) { _ in 0 }
        #expect(!after4.isStalled && after4.isSlow)
        #expect(pace(5, held: 1 << 20) { _ in 0 }.isStalled)
        #expect(pace(9, held: 1 << 20) { _ in 0 }.isStalled)
    }

    @Test func ratesCount() {
        #expect(pace(22, held: 1 << 20) { $0 * 16_000 }.isStalled)
        let steady = pace(22, held: 1_000_000) { $0 * 17_000 }
        // Sixteen megabytes would take a quarter of an hour.
        #expect(!steady.isStalled && !steady.isSlow)
        #expect(pace(22, held: 16 << 20) { $0 * 17_000 }.isSlow)
    }

    @Test func whoReadsOnStallsNoMore() {
        var pace = pace(20, held: 1 << 20) { _ in 0 }
        #expect(pace.isStalled)
        pace.look(held: 900_000, spare: 1000, moved: 150_000, at: Self.start + .milliseconds(20_250), stallSeconds: 5)
        #expect(!pace.isStalled)
    }
}

@Suite struct RunningTimeTests {
    private static let start = NIODeadline.uptimeNanoseconds(1 << 40)

    @Test func aStopDoesNotCountAndNobodyIsJudgedAfterIt() {
        var time = RunningTime(interval: .seconds(5), start: Self.start)
        let first = time.advance(to: Self.start + .seconds(6))
        #expect(first)
        #expect(time.now == Self.start + .seconds(6))
        let late = time.advance(to: Self.start + .seconds(106))
        #expect(!late)
        #expect(time.now == Self.start + .seconds(11))
        let next = time.advance(to: Self.start + .seconds(111))
        #expect(next)
        #expect(time.now == Self.start + .seconds(16))
    }

    /// A machine that is always late still judges.
    @Test func everySecondTimeAtLeastCounts() {
        var time = RunningTime(interval: .seconds(1), start: Self.start)
        let judged = (1...6).map { time.advance(to: Self.start + .seconds($0 * 10)) }
        #expect(judged == [false, true, false, true, false, true])
        #expect(time.now == Self.start + .seconds(6))
    }
}
