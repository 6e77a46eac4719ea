/// Cuts the bytes of one direction of a stream into gRPC messages: flag, length (4 bytes, big-endian), message.
///
/// A message that lies whole in the bytes given is lent without a copy. What is incomplete is kept: never more
/// than one message, and never one that is over the limit.
struct MessageAssembler {
    enum Problem: Error, Equatable {
        case tooLarge(length: Int, limit: Int)
        case compressed
        case badFlag(UInt8)
    }

    static let prefixLength = 5

    /// Prefix and message as far as they have come; empty between messages.
    private(set) var partial: [UInt8] = []

    /// True if the stream may end here.
    var isAtBoundary: Bool { partial.isEmpty }

    /// Forgets what is incomplete.
    mutating func reset() { partial = [] }

    /// Takes bytes and calls `body` for every message they complete, in order, until it returns false.
    mutating func feed(
        _ chunk: UnsafeRawBufferPointer, limit: Int, _ body: (RawSpan) -> Bool
    ) throws(Problem) {
        var rest = chunk
        while !rest.isEmpty {
            if partial.isEmpty, rest.count >= Self.prefixLength {
                let length = try Self.length(ofPrefix: rest, limit: limit)
                let end = Self.prefixLength + length
                if rest.count >= end {
                    let message = UnsafeRawBufferPointer(rebasing: rest[Self.prefixLength..<end])
                    rest = UnsafeRawBufferPointer(rebasing: rest[end...])
                    guard body(message.bytes) else { return }
                    continue
                }
            }
            if partial.count < Self.prefixLength {
                take(Self.prefixLength - partial.count, from: &rest)
                guard partial.count == Self.prefixLength else { return }
            }
            let length = try keptLength(limit: limit)
            let end = Self.prefixLength + length
            take(end - partial.count, from: &rest)
            guard partial.count == end else { return }
            let whole = partial
            partial = []
            let goOn = whole.withUnsafeBytes { bytes in
                body(UnsafeRawBufferPointer(rebasing: bytes[Self.prefixLength...]).bytes)
            }
            guard goOn else { return }
        }
    }

    /// The message's length if `chunk` is exactly one whole, uncompressed message within the limit; else nil.
    @inline(__always)
    static func wholeMessage(in chunk: UnsafeRawBufferPointer, limit: Int) -> UnsafeRawBufferPointer? {
        guard chunk.count >= prefixLength, chunk[0] == 0 else { return nil }
        let length = readLength(chunk)
        guard length <= limit, chunk.count == prefixLength + length else { return nil }
        return UnsafeRawBufferPointer(rebasing: chunk[prefixLength...])
    }

    /// The length in the prefix that is kept.
    private func keptLength(limit: Int) throws(Problem) -> Int {
        let checked = partial.withUnsafeBytes { prefix -> Result<Int, Problem> in
            Result { () throws(Problem) in try Self.length(ofPrefix: prefix, limit: limit) }
        }
        return try checked.get()
    }

    private mutating func take(_ count: Int, from rest: inout UnsafeRawBufferPointer) {
        let taken = min(count, rest.count)
        partial.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<taken]))
        rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
    }

    @inline(__always)
    private static func readLength(_ prefix: UnsafeRawBufferPointer) -> Int {
        Int(UInt32(bigEndian: prefix.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
    }

    @inline(__always)
    private static func length(ofPrefix prefix: UnsafeRawBufferPointer, limit: Int) throws(Problem) -> Int {
        let flag = prefix[0]
        guard flag == 0 else { throw flag == 1 ? .compressed : .badFlag(flag) }
        let length = readLength(prefix)
        guard length <= limit else { throw .tooLarge(length: length, limit: limit) }
        return length
    }
}
