import T4Protocols

// The form in which messages travel; docs/formats.md, "Between nodes", describes every byte.
// Version 1: the first.

/// A message between nodes, with the entries that it is about.
package struct PeerMessage: Hashable, Sendable {
    /// What one node says to another. Who says it is not in the bytes: a stream has one sender.
    package var message: ReplicaMessage
    /// The entries of an append, in its order; empty for all others.
    package var entries: [LogEntry]

    /// Puts both together.
    /// - Parameter entries: Those that an append names: so many, behind its previous one and of its terms.
    package init(_ message: ReplicaMessage, entries: [LogEntry] = []) {
        self.message = message
        self.entries = entries
        if case .append(let append) = message.body {
            precondition(
                EntryRun.terms(entries) == append.entries, "an append of \(append.entries) that carries other entries")
            precondition(
                entries.isEmpty
                    || entries[0].position.index == append.previous.index + 1
                        && entries[entries.count - 1].position.index == append.through,
                "an append behind \(append.previous) that carries other entries")
        } else {
            precondition(entries.isEmpty, "only an append carries entries")
        }
    }

    fileprivate init(read message: ReplicaMessage, _ entries: [LogEntry]) {
        self.message = message
        self.entries = entries
    }

    /// Bytes of its entries.
    package var entryBytes: Int { entries.reduce(0) { $0 + EntryRun.size($1) } }

    /// An append as several ones, whose entries take at most so many bytes each, or are a single one. The rest is as it is.
    ///
    /// Each of them says what the whole one says of its entries, and any of them may be lost.
    package func split(bytesMax: Int) -> [PeerMessage] {
        guard case .append(let append) = message.body, entries.count > 1, entryBytes > bytesMax else { return [self] }
        var pieces: [PeerMessage] = []
        var first = 0
        while first < entries.count {
            var end = first + 1
            var bytes = EntryRun.size(entries[first])
            while end < entries.count, bytes + EntryRun.size(entries[end]) <= bytesMax {
                bytes += EntryRun.size(entries[end])
                end += 1
            }
            var part = append
            if first > 0 { part.previous = entries[first - 1].position }
            part.entries = EntryRun.terms(entries[first..<end])
            var piece = message
            piece.body = .append(part)
            pieces.append(PeerMessage(read: piece, Array(entries[first..<end])))
            first = end
        }
        return pieces
    }

    // MARK: Writing

    private enum Kind: UInt8 {
        case hello = 1
        case append, answer, readChain, release, goodbye
    }

    /// The bytes.
    package func encoded(seed: PeerSeed) -> [UInt8] {
        var writer = PeerWriter()
        switch message.body {
        case .hello(let hello):
            begin(.hello, &writer)
            writer.put(hello.nodeID)
            writer.put(hello.address)
            writer.put(hello.last)
            writer.put(all: hello.clientURLs) { $0.put($1) }
            writer.put(hello.isReadOnly)
        case .append(let append):
            begin(.append, &writer)
            writer.put(append.previous)
            writer.put(append.committed)
            writer.put(optional: append.sentAt) { $0.put($1) }
            writer.put(append.isStuck)
            writer.put(UInt32(entries.count))
        case .answer(let answer):
            begin(.answer, &writer)
            writer.put(answer.durable)
            writer.put(optional: answer.promised) { $0.put($1) }
            writer.put(optional: answer.refused) { $0.put($1) }
        case .readChain: begin(.readChain, &writer)
        case .release(let release):
            begin(.release, &writer)
            writer.put(release.record)
            writer.put(release.heir)
            writer.put(release.address)
            writer.put(release.isLeaving)
        case .goodbye: begin(.goodbye, &writer)
        }
        var bytes = writer.sealed(seed)
        bytes.reserveCapacity(bytes.count + entryBytes)
        EntryRun.append(entries, seed: seed, to: &bytes)
        return bytes
    }

    private func begin(_ kind: Kind, _ writer: inout PeerWriter) {
        writer.put(kind.rawValue)
        writer.put(message.term)
    }

    // MARK: Reading

    /// Reads the bytes.
    /// - Parameter sender: The instance at the other end of the stream.
    package init(_ bytes: [UInt8], from sender: String, seed: PeerSeed) throws(PeerCodingError) {
        var reader = try PeerReader(bytes, seed: seed)
        let kind: Kind = try reader.choice("message")
        let term: UInt64 = try reader.number()
        entries = []
        let body: ReplicaMessage.Body
        switch kind {
        case .hello:
            body = .hello(
                .init(
                    nodeID: try reader.text(), address: try reader.text(), last: try reader.position(),
                    clientURLs: try reader.all { (reader) throws(PeerCodingError) in try reader.text() },
                    isReadOnly: try reader.flag("read_only")))
        case .append:
            var append = ReplicaMessage.Append(
                previous: try reader.position(), entries: [], committed: try reader.number(),
                sentAt: try reader.optional("sent") { (reader) throws(PeerCodingError) in try reader.duration() },
                isStuck: try reader.flag("stuck"))
            let count: UInt32 = try reader.number()
            guard append.previous.term <= term else {
                throw .contradiction("an append in term \(term) behind \(append.previous)")
            }
            entries = try EntryRun.decode(
                bytes, from: reader.rest.lowerBound, behind: append.previous, term: term, seed: seed)
            guard entries.count == count else {
                throw .contradiction("\(entries.count) entries where \(count) belong")
            }
            append.entries = EntryRun.terms(entries)
            body = .append(append)
        case .answer:
            let durable: UInt64 = try reader.number()
            let promised = try reader.optional("promise") { (reader) throws(PeerCodingError) in try reader.duration() }
            let refused: UInt64? = try reader.optional("refusal") { (reader) throws(PeerCodingError) in
                try reader.number()
            }
            body = .answer(.init(durable: durable, promised: promised, refused: refused))
        case .readChain: body = .readChain
        case .release:
            body = .release(
                .init(
                    record: try reader.record(), heir: try reader.text(), address: try reader.text(),
                    isLeaving: try reader.flag("leaving")))
        case .goodbye: body = .goodbye
        }
        try reader.finish()
        if kind != .append, !reader.rest.isEmpty { throw .tooLong(reader.rest.count) }
        message = ReplicaMessage(sender: sender, term: term, body: body)
    }
}

extension PeerWriter {
    fileprivate mutating func put(_ position: LogPosition) {
        put(position.term)
        put(position.index)
    }

    fileprivate mutating func put(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        put(seconds)
        put(attoseconds)
    }

    fileprivate mutating func put(_ record: LeaderRecord) {
        put(record.term)
        put(record.nodeID)
        put(record.instanceID)
        put(record.address)
        put(all: record.inSyncSet) { $0.put($1) }
        put(record.storeComplete)
        put(record.sequence)
        put(record.nonce)
        put(record.isResigned)
    }
}

extension PeerReader {
    fileprivate mutating func position() throws(PeerCodingError) -> LogPosition {
        LogPosition(term: try number(), index: try number())
    }

    fileprivate mutating func duration() throws(PeerCodingError) -> Duration {
        let (seconds, attoseconds): (Int64, Int64) = (try number(), try number())
        let isWhole = attoseconds.magnitude < 1_000_000_000_000_000_000
        guard isWhole, seconds == 0 || attoseconds == 0 || (seconds < 0) == (attoseconds < 0) else {
            throw .contradiction("a time of \(seconds) s and \(attoseconds) as")
        }
        return Duration(secondsComponent: seconds, attosecondsComponent: attoseconds)
    }

    fileprivate mutating func record() throws(PeerCodingError) -> LeaderRecord {
        let term: UInt64 = try number()
        let (nodeID, instanceID, address) = (try text(), try text(), try text())
        let members = try all { (reader) throws(PeerCodingError) in try reader.text() }
        return LeaderRecord(
            term: term, nodeID: nodeID, instanceID: instanceID, address: address, inSyncSet: members,
            storeComplete: try flag("store_complete"), sequence: try number(), nonce: try number(),
            isResigned: try flag("resigned"))
    }
}
