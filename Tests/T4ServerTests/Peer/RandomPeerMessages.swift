import T4Conformance
import T4Protocols

@testable import T4Core

/// Messages between nodes as they may come: any numbers, any texts.
extension SeededGenerator {
    mutating func peerMessage(kind: Int? = nil) -> PeerMessage {
        var kinds: Set<Int> = []
        return peerMessage(&kinds, kind: kind)
    }

    mutating func peerMessage(_ kinds: inout Set<Int>, kind: Int? = nil) -> PeerMessage {
        let kind = kind ?? Int.random(in: 0..<6, using: &self)
        kinds.insert(kind)
        let term = count()
        var entries: [LogEntry] = []
        let body: ReplicaMessage.Body
        switch kind {
        case 0:
            body = .hello(
                .init(
                    nodeID: text(), address: text(), last: LogPosition(term: count(), index: count()),
                    clientURLs: (0..<Int.random(in: 0..<3, using: &self)).map { _ in text() }))
        case 1:
            let previous = LogPosition(term: UInt64.random(in: 0...term, using: &self), index: min(count(), .max - 100))
            entries = run(behind: previous, term: term)
            body = .append(
                .init(
                    previous: previous, entries: EntryRun.terms(entries), committed: count(),
                    sentAt: Bool.random(using: &self) ? time() : nil, isStuck: Bool.random(using: &self)))
        case 2:
            body = .answer(
                .init(
                    durable: count(), promised: Bool.random(using: &self) ? time() : nil,
                    refused: Bool.random(using: &self) ? count() : nil))
        case 3: body = .readChain
        case 4:
            let record = LeaderRecord(
                term: count(), nodeID: text(), instanceID: text(), address: text(),
                inSyncSet: (0..<Int.random(in: 0..<4, using: &self)).map { _ in text() },
                storeComplete: Bool.random(using: &self), sequence: count(), nonce: next(),
                isResigned: Bool.random(using: &self))
            body = .release(
                .init(record: record, heir: text(), address: text(), isLeaving: Bool.random(using: &self)))
        default: body = .goodbye
        }
        return PeerMessage(ReplicaMessage(sender: text(), term: term, body: body), entries: entries)
    }

    /// A number of any size.
    mutating func count() -> UInt64 { next() >> UInt64.random(in: 0..<64, using: &self) }

    mutating func text() -> String {
        String((0..<Int.random(in: 0..<12, using: &self)).map { _ in "abcé\u{0}😀 \"-".randomElement(using: &self)! })
    }

    mutating func content() -> [UInt8] {
        (0..<Int.random(in: 0..<60, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    mutating func time() -> Duration {
        let seconds = Int64(bitPattern: count())
        let part = Int64.random(in: 0..<1_000_000_000_000_000_000, using: &self)
        return Duration(secondsComponent: seconds, attosecondsComponent: seconds < 0 ? -part : part)
    }

    private mutating func run(behind previous: LogPosition, term: UInt64) -> [LogEntry] {
        var (last, time) = (previous, count())
        return (0..<Int.random(in: 0..<6, using: &self)).map { _ in
            if last.term < term, Bool.random(using: &self) {
                last.term = UInt64.random(in: last.term...term, using: &self)
            }
            last.index += 1
            if time < .max / 2 { time += count() >> 2 }
            return LogEntry(
                position: last, time: time, revision: Revision(Int64(bitPattern: count())),
                kind: LogEntry.Kind(rawValue: UInt8.random(in: 0...255, using: &self)), body: content())
        }
    }
}
