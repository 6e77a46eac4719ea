import T4Protocols

/// Brings a log directory into a state that can be written: Rule L1.
///
/// What is read at start may be only in the page cache, and may have survived a failed fsync there. So the last segment
/// is copied up to its valid end into a new file, synced, and put in the old one's place; only then is the end of the
/// log a promise. Dying at any point leaves the old file or the new one.
struct LogRecovery {
    let directory: LogDirectory
    let databaseID: DatabaseID
    let configuration: LogConfiguration

    /// The open end of a log.
    struct OpenSegment: ~Copyable {
        var path: String
        var file: any LogFile
        var header: SegmentHeader
        var tally: SegmentTally
        var hash: SHA256
        /// End of the frames.
        var offset: UInt64
        /// End of the zeros behind them.
        var filled: UInt64
    }

    /// What was found.
    struct Result: ~Copyable {
        var sealed: [LogSegment] = []
        var end: LogPosition
        var lastTime: UInt64 = 0
        var terms: TermLog
        var open: OpenSegment?

        init(end: LogPosition) {
            self.end = end
            terms = TermLog(base: end)
        }
    }

    /// Checks the chain of segments, repairs the tail, and returns when it is on disk.
    func run(startingAfter: LogPosition) throws(LogError) -> Result {
        let fileSystem = directory.fileSystem
        try fileSystem.createDirectory(directory.path)
        for name in try fileSystem.list(directory.path) where name.hasSuffix(LogFormat.temporarySuffix) {
            try fileSystem.remove(directory.file(name))
        }
        let indexes = try directory.firstIndexes()
        var result = Result(end: startingAfter)
        for index in indexes {
            let cursor = try directory.cursor(firstIndex: index, databaseID: databaseID)
            if let before = result.sealed.last {
                try LogDirectory.checkLink(cursor, after: result.end, term: before.header.term)
            } else {
                result.terms = TermLog(base: cursor.header.previous)
            }
            if index == indexes.last {
                try recoverLast(cursor, &result)
            } else {
                let header = cursor.header
                let path = cursor.path
                let footer = try directory.footer(of: cursor)
                try add(footer, header, path, to: &result.terms)
                result.sealed.append(LogSegment(path: path, header: header, footer: footer))
                result.end = footer.tally.lastPosition
                result.lastTime = footer.tally.lastTime
            }
        }
        // For the copy's name, and for names that an earlier process gave and did not live to sync.
        try fileSystem.syncDirectory(directory.path)
        return result
    }

    /// Adds the terms of a sealed segment. The header has the term of the first entry and the footer that of the last, so
    /// only a segment in which the term changes has to be read.
    private func add(
        _ footer: SegmentFooter, _ header: SegmentHeader, _ path: String, to terms: inout TermLog
    ) throws(LogError) {
        let last = footer.tally.lastPosition
        guard last.index >= header.firstIndex, last.term >= header.previous.term else {
            throw .damaged(
                "the footer ends with \(last), the header begins behind \(header.previous)", path: path,
                offset: footer.offset)
        }
        if last.term == header.term {
            terms.append(term: last.term, count: last.index - header.previous.index)
            return
        }
        var cursor = try directory.cursor(firstIndex: header.firstIndex, databaseID: databaseID)
        while case .entry(let entry) = try cursor.next(withBody: false) { terms.append(term: entry.position.term) }
        guard terms.last == last else {
            throw cursor.damaged("the entries end with \(terms.last), the footer says \(last)")
        }
    }

    private func recoverLast(_ cursor: consuming SegmentCursor, _ result: inout Result) throws(LogError) {
        var footer: SegmentFooter?
        scan: while true {
            switch try cursor.next(withBody: false) {
            case .entry(let entry): result.terms.append(term: entry.position.term)
            case .footer(let found):
                footer = found
                break scan
            case .bad(let what):
                if let mark = try cursor.markBehind() {
                    throw cursor.damaged("\(what), but synced entries follow at offset \(mark)")
                }
                break scan
            }
        }
        result.end = cursor.tally.lastPosition
        result.lastTime = max(result.lastTime, cursor.tally.lastTime)
        if cursor.tally.entryCount == 0 {
            // Nothing of it was ever promised, and the next first entry may have another term than this header.
            try directory.fileSystem.remove(cursor.path)
            return
        }
        let open = try copy(cursor, footer: footer)
        if let footer {
            result.sealed.append(LogSegment(path: open.path, header: open.header, footer: footer))
        } else {
            result.open = consume open
        }
    }

    /// Copies header and valid frames, and the footer if there is one, and swaps the copy in. The caller
    /// syncs the directory.
    private func copy(_ cursor: borrowing SegmentCursor, footer: SegmentFooter?) throws(LogError) -> OpenSegment {
        let fileSystem = directory.fileSystem
        let temporary = directory.file("recovery" + LogFormat.temporarySuffix)
        let source = try fileSystem.open(cursor.path)
        let target = try fileSystem.create(temporary)
        let hash = SHA256()
        var offset: UInt64 = 0
        while offset < cursor.offset {
            let count = Int(min(1 << 20, cursor.offset - offset))
            let bytes = try source.read(count, at: offset)
            guard bytes.count == count else { throw cursor.damaged("the file became shorter while it was copied") }
            try target.write(bytes.span.bytes, at: offset)
            hash.update(bytes.span.bytes)
            offset += UInt64(count)
        }
        guard hash.digest() == cursor.hash.digest() else {
            throw cursor.damaged("the file changed while it was copied; is another process writing it?")
        }
        var filled = offset
        if let footer {
            try target.write(footer.encoded(seed: cursor.header.checksumSeed).span.bytes, at: offset)
        } else {
            filled = configuration.filledSize(atLeast: offset)
            try target.zeroFill(offset..<filled)
        }
        try target.syncData()
        try fileSystem.rename(temporary, to: cursor.path)
        return OpenSegment(
            path: cursor.path, file: target, header: cursor.header, tally: cursor.tally, hash: hash, offset: offset,
            filled: filled)
    }
}
