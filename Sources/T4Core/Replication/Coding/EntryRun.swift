import T4Protocols

/// Consecutive entries as frames of the log, without a segment around them: how they travel between nodes.
package enum EntryRun {
    /// Bytes that an entry takes.
    package static func size(_ entry: LogEntry) -> Int { LogFormat.frameSize(entry) }

    /// The terms of entries.
    package static func terms(_ entries: some Sequence<LogEntry>) -> [TermRun] {
        var runs: [TermRun] = []
        for entry in entries {
            if let last = runs.indices.last, runs[last].term == entry.position.term {
                runs[last].count += 1
            } else {
                runs.append(TermRun(term: entry.position.term, count: 1))
            }
        }
        return runs
    }

    /// Adds the frames of entries.
    static func append(_ entries: some Sequence<LogEntry>, seed: PeerSeed, to bytes: inout [UInt8]) {
        for entry in entries { bytes.appendFrame(entry, isFirstOfBatch: false, seed: seed.state) }
    }

    /// Reads frames up to the end of the bytes.
    /// - Parameters:
    ///   - start: Where the first one begins.
    ///   - previous: The entry before the first.
    ///   - term: No entry has a higher one.
    static func decode(
        _ bytes: [UInt8], from start: Int, behind previous: LogPosition, term: UInt64, seed: PeerSeed
    ) throws(PeerCodingError) -> [LogEntry] {
        var entries: [LogEntry] = []
        var offset = start
        var (last, time) = (previous, UInt64(0))
        while offset < bytes.count {
            guard let frame = FrameHeader(bytes, at: offset, seed: seed.state), !frame.isFirstOfBatch else {
                throw .entry(offset: offset)
            }
            let position = frame.position
            // Readers count one further than the last entry.
            guard last.index < .max - 1, position.index == last.index + 1 else {
                throw .contradiction("entry \(position) behind \(last)")
            }
            guard position.term >= last.term, position.term <= term else {
                throw .contradiction("entry \(position) behind \(last) in term \(term)")
            }
            guard frame.time >= time else { throw .contradiction("entry \(position) is older than the one before") }
            let body = offset + LogFormat.frameHeaderSize + LogFormat.payloadSizeMin
            entries.append(
                LogEntry(
                    position: position, time: frame.time, revision: frame.revision, kind: frame.kind,
                    body: Array(bytes[body..<offset + frame.size])))
            offset += frame.size
            (last, time) = (position, frame.time)
        }
        return entries
    }
}
