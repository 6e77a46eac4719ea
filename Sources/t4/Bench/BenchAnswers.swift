import T4Server

/// What is looked at in answers: enough to see that the server did the work.
enum BenchAnswers {
    /// How many rows a `RangeResponse` has and how many it says that there are.
    ///
    /// - Parameter valueSize: Every row's value must have this many bytes; nil: any.
    /// - Throws: `WireFailure`, or `CommandFailure` if a value has another size.
    static func rows(_ answer: [UInt8], valueSize: Int?) throws -> (rows: Int, count: Int64) {
        var message = answer.span.bytes
        var rows = 0
        var count: Int64 = 0
        while let tag = try message.nextTag() {
            switch tag {
            case 0x12:
                rows += 1
                guard let valueSize else { try message.skipField(tag); continue }
                var size = 0
                try message.nextMessage { (row) throws(WireFailure) in size = try Self.valueSize(&row) }
                if size != valueSize {
                    throw CommandFailure(description: "a value has \(size) bytes, expected \(valueSize)")
                }
            case 0x20: count = try message.nextInt64()
            default: try message.skipField(tag)
            }
        }
        return (rows, count)
    }

    /// The token of an `AuthenticateResponse`.
    static func token(_ answer: [UInt8]) throws -> String {
        var message = answer.span.bytes
        var token = ""
        while let tag = try message.nextTag() {
            guard tag == 0x12 else { try message.skipField(tag); continue }
            try message.nextMessage { (text) throws(WireFailure) in
                token = text.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            }
        }
        return token
    }

    /// The size of a `KeyValue`'s value.
    @inline(__always)
    private static func valueSize(_ row: inout RawSpan) throws(WireFailure) -> Int {
        var size = 0
        while let tag = try row.nextTag() {
            if tag == 0x2A {
                try row.nextMessage { (value) throws(WireFailure) in size = value.byteCount }
            } else {
                try row.skipField(tag)
            }
        }
        return size
    }

    /// What one `WatchResponse` says.
    struct WatchNews {
        var isCreated = false
        var isCancelled = false
        /// The tags of the events' values, in order: see `BenchRequests.put(_:tag:)`.
        var tags: [UInt64] = []
        /// The revision of the last event.
        var lastRevision: Int64 = 0
    }

    /// Reads a `WatchResponse`.
    /// - Parameter news: Overwritten; handed in so that its storage is used again.
    static func read(_ answer: RawSpan, into news: inout WatchNews) throws(WireFailure) {
        news.isCreated = false
        news.isCancelled = false
        news.tags.removeAll(keepingCapacity: true)
        var message = answer.extracting(0..<answer.byteCount)
        while let tag = try message.nextTag() {
            switch tag {
            case 0x18: news.isCreated = try message.nextBool()
            case 0x20: news.isCancelled = try message.nextBool()
            case 0x5A:
                var found: (tag: UInt64, revision: Int64) = (0, 0)
                try message.nextMessage { (event) throws(WireFailure) in found = try Self.read(event: &event) }
                news.tags.append(found.tag)
                news.lastRevision = found.revision
            default: try message.skipField(tag)
            }
        }
    }

    @inline(__always)
    private static func read(event: inout RawSpan) throws(WireFailure) -> (tag: UInt64, revision: Int64) {
        var found: UInt64 = 0
        var revision: Int64 = 0
        while let tag = try event.nextTag() {
            guard tag == 0x12 else { try event.skipField(tag); continue }
            try event.nextMessage { (row) throws(WireFailure) in
                while let tag = try row.nextTag() {
                    switch tag {
                    case 0x18: revision = try row.nextInt64()
                    case 0x2A:
                        try row.nextMessage { (value) throws(WireFailure) in
                            guard value.byteCount >= BenchRequests.tagSize else { return }
                            found = value.unsafeLoadUnaligned(as: UInt64.self)
                        }
                    default: try row.skipField(tag)
                    }
                }
            }
        }
        return (UInt64(littleEndian: found), revision)
    }

    /// The revision in an answer's header.
    static func revision(_ answer: [UInt8]) throws -> Int64 {
        var message = answer.span.bytes
        var revision: Int64 = 0
        while let tag = try message.nextTag() {
            guard tag == 0x0A else { try message.skipField(tag); continue }
            try message.nextMessage { (header) throws(WireFailure) in
                while let tag = try header.nextTag() {
                    if tag == 0x18 { revision = try header.nextInt64() } else { try header.skipField(tag) }
                }
            }
        }
        return revision
    }
}
