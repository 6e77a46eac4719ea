import NIOCore

/// Messages that wait to be sent on one stream, each with its five-byte prefix made when it leaves.
///
/// Messages are arrays that may be shared: a change sent to a thousand watchers is in memory once.
struct OutboundQueue {
    private var current: [UInt8] = []
    private var hasCurrent = false
    /// Bytes of `current`, prefix included, that have left.
    private var offset = 0
    private var later: [[UInt8]] = []
    private var laterHead = 0
    /// Bytes that wait, prefixes included.
    private(set) var byteCount = 0
    /// Each message has gRPC's prefix; without it, the messages are the bytes of a stream. Not to be changed once there is
    /// one.
    var isFramed = true

    /// True while a message has left in part: the stream cannot end in order before the rest has left.
    var isInsideMessage: Bool { hasCurrent && offset > start }

    /// Slots of the queue in memory, for tests.
    var storedCount: Int { later.count }

    /// Bytes that a message takes.
    func byteCount(of message: [UInt8]) -> Int { MessageAssembler.prefixLength - start + message.count }

    mutating func append(_ message: [UInt8]) {
        byteCount += byteCount(of: message)
        if hasCurrent {
            later.append(message)
        } else {
            current = message
            hasCurrent = true
            offset = start
        }
    }

    /// Drops everything; returns how many bytes that were.
    @discardableResult
    mutating func removeAll() -> Int {
        let dropped = byteCount
        if dropped > 0 || hasCurrent {
            let isFramed = isFramed
            self = OutboundQueue()
            self.isFramed = isFramed
        }
        return dropped
    }

    /// Moves `count` bytes, at most `byteCount`, to the end of `buffer`.
    mutating func move(_ count: Int, to buffer: inout ByteBuffer) {
        precondition(count <= byteCount)
        byteCount -= count
        var left = count
        while left > 0 {
            if offset == 0, left >= MessageAssembler.prefixLength {
                buffer.writeMultipleIntegers(UInt8(0), UInt32(current.count))
                offset = MessageAssembler.prefixLength
                left -= MessageAssembler.prefixLength
            }
            while offset < MessageAssembler.prefixLength, left > 0 {
                buffer.writeInteger(prefixByte(offset))
                offset += 1
                left -= 1
            }
            let first = offset - MessageAssembler.prefixLength
            if first >= 0 {
                let taken = min(left, current.count - first)
                if taken > 0 {
                    current.withUnsafeBytes { bytes in
                        _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[first..<first + taken]))
                    }
                }
                offset += taken
                left -= taken
                if offset == MessageAssembler.prefixLength + current.count { advance() }
            }
        }
    }

    private func prefixByte(_ index: Int) -> UInt8 {
        index == 0 ? 0 : UInt8(truncatingIfNeeded: current.count >> (8 * (4 - index)))
    }

    /// As much of the prefix as there is none of.
    private var start: Int { isFramed ? 0 : MessageAssembler.prefixLength }

    private mutating func advance() {
        offset = start
        if laterHead < later.count {
            current = later[laterHead]
            later[laterHead] = []
            laterHead += 1
            if laterHead == later.count {
                later.removeAll(keepingCapacity: later.count <= 64)
                laterHead = 0
            } else if laterHead >= 64, laterHead * 2 >= later.count {
                later.removeFirst(laterHead)
                laterHead = 0
            }
        } else {
            current = []
            hasCurrent = false
        }
    }
}
