import Foundation
import RPC
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core
@testable import T4Server

/// Goal: what one node says the other one reads, and nothing that comes instead is taken for it or does harm. Method: random
/// messages; every truncation and every flipped bit of them; and one that is put together from docs/formats.md.
@Suite struct PeerCodingTests {
    private static let database = DatabaseID(low: 0x0102_0304_0506_0708, high: 9)
    private static let seed = PeerSeed(database)

    private static let rounds = ProcessInfo.processInfo.environment["T4_TEST_SLOW"] == "1" ? 20_000 : 300

    @Test func messagesAreReadAsTheyWereWritten() throws {
        var random = SeededGenerator(seed: 1)
        var kinds: Set<Int> = []
        for _ in 0..<Self.rounds {
            let message = random.peerMessage(&kinds)
            let bytes = message.encoded(seed: Self.seed)
            #expect(try PeerMessage(bytes, from: message.message.sender, seed: Self.seed) == message)
        }
        #expect(kinds.count == 6)
    }

    @Test func noTruncationPasses() throws {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<40 {
            let message = random.peerMessage()
            let bytes = message.encoded(seed: Self.seed)
            for count in bytes.indices {
                #expect(throws: PeerCodingError.self) {
                    try PeerMessage(Array(bytes[..<count]), from: "a", seed: Self.seed)
                }
            }
            #expect(throws: PeerCodingError.self) { try PeerMessage(bytes + [0], from: "a", seed: Self.seed) }
        }
    }

    @Test func noFlippedBitPasses() throws {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<20 {
            let bytes = random.peerMessage().encoded(seed: Self.seed)
            for index in bytes.indices {
                for bit in 0..<8 {
                    var damaged = bytes
                    damaged[index] ^= 1 << bit
                    #expect(throws: PeerCodingError.self) {
                        try PeerMessage(damaged, from: "a", seed: Self.seed)
                    }
                }
            }
        }
    }

    /// Bytes whose checksums are right, as nobody sends them by accident: an error, or a message that is written the same way.
    @Test func wrongContentIsAnErrorOrAMessage() throws {
        var random = SeededGenerator(seed: 4)
        var (errors, messages) = (0, 0)
        for _ in 0..<Self.rounds {
            let message = random.peerMessage()
            let bytes = message.encoded(seed: Self.seed)
            var reader = try PeerReader(bytes, seed: Self.seed)
            var content = reader.remainder()
            switch Int.random(in: 0..<3, using: &random) {
            case 0 where !content.isEmpty: content.removeLast(Int.random(in: 1...content.count, using: &random))
            case 1:
                content += (0..<Int.random(in: 1...20, using: &random)).map { _ in
                    UInt8.random(in: 0...3, using: &random)
                }
            default: break
            }
            for _ in 0..<Int.random(in: 0..<4, using: &random) where !content.isEmpty {
                content[Int.random(in: content.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            var writer = PeerWriter()
            writer.put(raw: content)
            let changed = writer.sealed(Self.seed) + bytes[reader.rest]
            do throws(PeerCodingError) {
                let read = try PeerMessage(changed, from: "a", seed: Self.seed)
                #expect(read.encoded(seed: Self.seed) == changed)
                messages += 1
            } catch {
                #expect(!error.description.isEmpty)
                errors += 1
            }
        }
        #expect(errors > 20 && messages > 20)
    }

    @Test func whatIsOfAnotherDatabaseDoesNotPass() throws {
        let bytes = PeerMessage(ReplicaMessage(sender: "a", term: 1, body: .goodbye)).encoded(seed: Self.seed)
        let other = PeerSeed(DatabaseID(low: 0x0102_0304_0506_0708, high: 10))
        #expect(throws: PeerCodingError.checksum) { try PeerMessage(bytes, from: "a", seed: other) }
    }

    /// Entries that contradict each other or their message, with right checksums.
    @Test func entriesFollowEachOther() throws {
        let good = LogEntry.some([1, 2, 3])
        func read(_ entries: [LogEntry], term: UInt64 = 9, count: Int? = nil) throws {
            var writer = PeerWriter()
            writer.put(UInt8(2))
            for number in [term, 3, 6, 0] { writer.put(number) }
            // No time, not stuck.
            for flag in [0, 0] as [UInt8] { writer.put(flag) }
            writer.put(UInt32(count ?? entries.count))
            var bytes = writer.sealed(Self.seed)
            EntryRun.append(entries, seed: Self.seed, to: &bytes)
            _ = try PeerMessage(bytes, from: "a", seed: Self.seed)
        }
        func changed(_ index: Int, _ body: (inout LogEntry) -> Void) -> [LogEntry] {
            var entries = good
            body(&entries[index])
            return entries
        }
        try read(good)
        let wrong = [
            changed(0) { $0.position.index = 8 }, changed(1) { $0.position.index = 7 },
            changed(2) { $0.position.index = 10 },
            changed(1) { $0.position.term = 2 }, changed(0) { $0.position.term = 2 },
            changed(2) { $0.position.term = 10 },
            changed(2) { $0.time = 4 }, Array(good.dropFirst()),
        ]
        for entries in wrong { #expect(throws: PeerCodingError.self) { try read(entries) } }
        #expect(throws: PeerCodingError.self) { try read(good, count: 2) }
        #expect(throws: PeerCodingError.self) { try read(good, count: 1 << 31) }
        #expect(throws: PeerCodingError.self) { try read([], term: 2) }
    }

    @Test func anAppendIsSplit() throws {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<Self.rounds {
            let message = random.peerMessage(kind: 1)
            let limit = Int.random(in: 1...400, using: &random)
            let pieces = message.split(bytesMax: limit)
            #expect(pieces.flatMap(\.entries) == message.entries)
            guard case .append(let whole) = message.message.body else { continue }
            var previous = whole.previous
            for piece in pieces {
                #expect(
                    piece.entries.count == 1 || piece.entryBytes <= limit
                        || pieces.count == 1 && message.entries.isEmpty)
                guard case .append(let part) = piece.message.body else { continue }
                #expect(part.previous == previous && part.committed == whole.committed && part.sentAt == whole.sentAt)
                #expect(PeerMessage(piece.message, entries: piece.entries) == piece)
                previous = piece.entries.last?.position ?? previous
            }
        }
    }

    /// The bytes of docs/formats.md, put together by hand.
    @Test func theBytesAreThoseOfTheDescription() throws {
        func little(_ value: UInt64, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        func sum(_ bytes: [UInt8]) -> [UInt8] {
            var crc: UInt32 = 0xFFFF_FFFF
            for byte in bytes {
                crc ^= UInt32(byte)
                for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
            }
            return little(UInt64(~crc), 4)
        }
        func piece(_ content: [UInt8], behind start: [UInt8] = []) -> [UInt8] {
            let bytes = little(UInt64(content.count), 4) + content
            return bytes + sum(start + bytes)
        }
        func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count), 4) + Array(text.utf8) }
        let id = [8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0] as [UInt8]
        #expect(Self.database.bytes == id)

        let greeting = PeerIdentity(
            databaseID: Self.database, process: 77, nodeID: "n", instanceID: "i", address: "h:1")
        let said = Array("T4PEERS\n".utf8) + little(1, 4) + id + little(77, 8) + text("n") + text("i") + text("h:1")
        #expect(greeting.encoded() == piece(said))

        let hello = ReplicaMessage(
            sender: "i", term: 5,
            body: .hello(
                .init(
                    nodeID: "né", address: "h:2", last: LogPosition(term: 4, index: 6), clientURLs: ["u"],
                    isReadOnly: true)))
        let bytes =
            [1] + little(5, 8) + text("né") + text("h:2") + little(4, 8) + little(6, 8) + little(1, 4) + text("u")
            + [1]
        #expect(PeerMessage(hello).encoded(seed: Self.seed) == piece(bytes, behind: id))

        let entry = LogEntry(
            position: LogPosition(term: 5, index: 7), time: 11, revision: Revision(12), kind: .mutations,
            body: [1, 2, 3])
        let append = ReplicaMessage(
            sender: "i", term: 5,
            body: .append(
                .init(
                    previous: LogPosition(term: 4, index: 6), entries: [TermRun(term: 5, count: 1)], committed: 6,
                    sentAt: .seconds(-2) - .nanoseconds(1))))
        let head =
            [2] + little(5, 8) + little(4, 8) + little(6, 8) + little(6, 8)
            + [1] + little(UInt64(bitPattern: -2), 8) + little(UInt64(bitPattern: -1_000_000_000), 8)
            + [0] + little(1, 4)
        let payload = little(5, 8) + little(7, 8) + little(11, 8) + little(12, 8) + [2, 1, 2, 3]
        let length = little(36, 4)
        let frame = length + sum(id + length + payload) + payload
        #expect(PeerMessage(append, entries: [entry]).encoded(seed: Self.seed) == piece(head, behind: id) + frame)

        let question = PeerEnvelope(target: "t", sender: "s", request: [1, 2])
        #expect(
            question.encoded(seed: Self.seed)
                == piece(little(1, 4) + text("t") + text("s") + [1, 2], behind: id))
        #expect(PeerEnvelope.answer([5], seed: Self.seed) == piece([0, 5], behind: id))
        #expect(PeerEnvelope.refusal(6, "x", seed: Self.seed) == piece([1] + little(6, 4) + text("x"), behind: id))
    }

    // MARK: - Greetings and questions

    @Test func greetings() throws {
        let identity = PeerIdentity(
            databaseID: Self.database, process: 1, nodeID: "node", instanceID: "instance", address: "host:1")
        let bytes = identity.encoded()
        #expect(try PeerIdentity.read(bytes) == identity)
        for count in bytes.indices {
            #expect(throws: PeerRefusal.self) { try PeerIdentity.read(Array(bytes[..<count])) }
        }
        for index in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[index] ^= 1 << bit
                #expect(throws: PeerRefusal.self) { try PeerIdentity.read(damaged) }
            }
        }
        // Of another version nothing but its number counts.
        var later = PeerWriter()
        later.put(raw: Array("T4PEERS\n".utf8) + [2, 0, 0, 0, 99])
        #expect(throws: PeerRefusal.version(2)) { try PeerIdentity.read(later.sealed(.none)) }
        #expect(throws: PeerRefusal.self) { try PeerIdentity.read(bytes + [0]) }
    }

    @Test func questionsAndAnswers() throws {
        var random = SeededGenerator(seed: 6)
        for _ in 0..<20 {
            let envelope = PeerEnvelope(
                target: random.text(), sender: random.text(), request: random.content())
            let code = UInt32(truncatingIfNeeded: random.next())
            let bytes = envelope.encoded(seed: Self.seed)
            #expect(try PeerEnvelope(bytes, seed: Self.seed) == envelope)
            let answers = [
                (PeerEnvelope.answer(envelope.request, seed: Self.seed), Result.success(envelope.request)),
                (
                    PeerEnvelope.refusal(code, envelope.sender, seed: Self.seed),
                    .failure(PeerCallError.refused(code: code, text: envelope.sender))
                ),
            ]
            for (answer, meaning) in answers {
                #expect(try PeerEnvelope.readAnswer(answer, seed: Self.seed) == meaning)
            }
            for text in [bytes, answers[0].0, answers[1].0] {
                for index in text.indices {
                    var damaged = text
                    damaged[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                    for wrong in [damaged, Array(text[..<index]), text + [0]] {
                        #expect(throws: PeerCodingError.self) { try PeerEnvelope(wrong, seed: Self.seed) }
                        #expect(throws: PeerCodingError.self) { try PeerEnvelope.readAnswer(wrong, seed: Self.seed) }
                    }
                }
            }
        }
    }

    @Test func addresses() {
        #expect(HostPort("host:1").map { [$0.host, "\($0.port)"] } == ["host", "1"])
        #expect(HostPort("[::1]:65535").map { [$0.host, "\($0.port)"] } == ["::1", "65535"])
        #expect(HostPort(host: "::1", port: 7).description == "[::1]:7")
        for text in ["", "host", "host:", ":1", "host:0", "host:65536", "host:x"] { #expect(HostPort(text) == nil) }
    }
}
