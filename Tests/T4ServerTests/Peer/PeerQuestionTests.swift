import RPC
import Synchronization
import T4Protocols
import Testing

@testable import T4Core
@testable import T4Server

/// Goal: whoever asks knows afterwards whether the other node has seen the question: yes, no, or that nobody knows. Method: nodes
/// that answer, refuse, forget, are too slow, are gone, or go meanwhile.
@Suite struct PeerQuestionTests {
    private static let forever = Duration.seconds(1200)

    private func failure(_ body: () async throws(PeerCallError) -> [UInt8]) async -> PeerCallError? {
        do throws(PeerCallError) {
            _ = try await body()
            return nil
        } catch {
            return error
        }
    }

    private func isNotSent(_ error: PeerCallError?) -> Bool { if case .notSent = error { true } else { false } }
    private func isUnknown(_ error: PeerCallError?) -> Bool { if case .outcomeUnknown = error { true } else { false } }

    @Test func answers() async throws {
        let echo = PeerRecorder { question in
            if question.request.first == 255 {
                question.refuse(300, "not \(question.request.count)")
            } else {
                question.answer(Array(question.sender.utf8) + question.request)
            }
        }
        try await withPeers(["a", "b"], recorders: ["a": echo, "b": echo]) { peers in
            let (a, b) = (peers[0], peers[1])
            await a.connect(to: b)
            // The one who has dialled asks, and the other one.
            for (from, to) in [(a, b), (b, a)] {
                let (me, it) = (from.own.instanceID, to.own.instanceID)
                for size in [0, 1, 2_000_000] {
                    let request = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
                    let answer = try await from.transport.ask(request, of: it, timeout: Self.forever)
                    #expect(answer == Array(me.utf8) + request)
                }
                let error = await failure { () throws(PeerCallError) in
                    try await from.transport.ask([255, 2, 3], of: it, timeout: Self.forever)
                }
                #expect(error == .refused(code: 300, text: "not 3"))
            }
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<100 as Range<UInt8> {
                    group.addTask {
                        try await b.transport.ask([number], of: "a", timeout: Self.forever) == Array("b".utf8) + [
                            number
                        ]
                    }
                }
                for try await isRight in group { #expect(isRight) }
            }
        }
    }

    @Test func notSent() async throws {
        try await withPeers(["a", "b", "c"]) { instance, configuration in
            // Nobody is there.
            if instance == "c" { configuration.address = "127.0.0.1:1" }
            configuration.messageBytesMax = 1 << 20
        } _: { peers in
            let (a, b, c) = (peers[0], peers[1], peers[2])
            func ask(_ instance: String, _ size: Int = 1) async -> PeerCallError? {
                await failure { () throws(PeerCallError) in
                    try await a.transport.ask(
                        [UInt8](repeating: 1, count: size), of: instance, timeout: Self.forever)
                }
            }
            #expect(isNotSent(await ask("b")))
            await c.connect(to: a)
            #expect(isNotSent(await ask("c")))
            await a.connect(to: b)
            let tooLarge = await ask("b", 1 << 20)
            #expect(tooLarge == .tooLarge("the request has 1048598 bytes, more than 1048576"))
            // For somebody who was at that address before, and of another database.
            let client = try await RPCClient.connect(host: "127.0.0.1", port: b.transport.port)
            let seeds = [("other", a.transport.hub.seed), ("b", PeerSeed(DatabaseID(low: 3, high: 4)))]
            for (target, seed) in seeds {
                let message = PeerEnvelope(target: target, sender: "a", request: []).encoded(seed: seed)
                let error = await failure { () throws(PeerCallError) in
                    let result = await withCheckedContinuation { continuation in
                        PeerQuestions.ask(client, message, seed: seed, timeout: Self.forever) {
                            continuation.resume(returning: $0)
                        }
                    }
                    return try result.get()
                }
                #expect(isNotSent(error), "\(error as Any)")
            }
            await client.close()
            await b.transport.stop()
            await a.recorder.wait { $0.lost.contains("b") }
            #expect(isNotSent(await ask("b")))
            #expect(b.recorder.heard.questions.isEmpty)
            await a.transport.stop()
            #expect(isNotSent(await ask("c")))
        }
    }

    @Test func outcomeUnknown() async throws {
        try await withPeers(["a", "b"]) { peers in
            let (a, b) = (peers[0], peers[1])
            await a.connect(to: b)
            func ask(_ timeout: Duration = Self.forever) async -> PeerCallError? {
                await failure { () throws(PeerCallError) in
                    try await a.transport.ask([1], of: "b", timeout: timeout)
                }
            }
            // Nobody answers in time, and then somebody does.
            #expect(isUnknown(await ask(.milliseconds(20))))
            if let late = b.recorder.heard.questions.first { late.answer([1]) }
            // Nobody answers at all.
            let isOver = Atomic(false)
            async let forgotten = {
                defer { isOver.store(true, ordering: .sequentiallyConsistent) }
                return await ask()
            }()
            await eventually("it is forgotten") {
                b.recorder.forgetQuestions()
                return isOver.load(ordering: .sequentiallyConsistent)
            }
            #expect(isUnknown(await forgotten))
            // The node goes while it has the question; later ones are not sent.
            async let lost = ask()
            let seen = await b.recorder.wait { !$0.questions.isEmpty }
            await b.transport.stop()
            #expect(isUnknown(await lost))
            seen.questions[0].answer([2])
            b.recorder.forgetQuestions()
        }
    }

    /// The connection breaks, and nobody knows how far the question came.
    @Test func aLostConnection() async throws {
        try await withPeers(["a", "b"]) { peers in
            let (a, b) = (peers[0], peers[1])
            await a.connect(to: b)
            async let asked = failure { () throws(PeerCallError) in
                try await a.transport.ask([1], of: "b", timeout: Self.forever)
            }
            let seen = await b.recorder.wait { !$0.questions.isEmpty }
            await a.transport.stop()
            #expect(isUnknown(await asked))
            seen.questions[0].refuse(1, "late")
        }
    }
}
