/// A WebSocket whose client writes its frames by hand, so that it can do what a proper one does not.
package struct RawWebSocket {
    package enum Opcode {
        package static let continuation: UInt8 = 0
        package static let text: UInt8 = 1
        package static let binary: UInt8 = 2
        package static let close: UInt8 = 8
        package static let ping: UInt8 = 9
        package static let pong: UInt8 = 10
    }

    package struct Frame: Equatable {
        package var opcode: UInt8
        package var payload: [UInt8]

        package var text: String { String(decoding: payload, as: UTF8.self) }

        package init(_ opcode: UInt8, _ payload: [UInt8]) { (self.opcode, self.payload) = (opcode, payload) }
    }

    package let peer: RawPeer
    /// The answer to the handshake, without the empty line behind it.
    package let head: String
    /// Bytes of what has come that frames were made of.
    private var taken: Int

    /// Asks for a WebSocket; `head` tells what came of it.
    /// - Parameter headers: Lines beside those that a WebSocket needs, which `handshake` has.
    package init(
        port: Int, _ path: String, handshake: String = Self.handshake, headers: [String] = [], method: String = "GET"
    ) async throws {
        peer = try await RawPeer(port: port)
        let lines = ["\(method) \(path) HTTP/1.1", "Host: 127.0.0.1:\(port)"] + headers
        try await peer.write(lines.map { $0 + "\r\n" }.joined() + handshake + "\r\n")
        let end = Array("\r\n\r\n".utf8)
        let bytes = await peer.read { $0.firstRange(of: end) != nil }
        let range = bytes.firstRange(of: end) ?? bytes.endIndex..<bytes.endIndex
        head = String(decoding: bytes[..<range.lowerBound], as: UTF8.self)
        taken = range.upperBound
    }

    /// The key and its answer are those of RFC 6455.
    package static let handshake = """
        Connection: keep-alive, Upgrade\r
        Upgrade: websocket\r
        Sec-WebSocket-Version: 13\r
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r

        """
    package static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    package func send(_ text: String) async throws { try await peer.write(Self.frame(Opcode.text, Array(text.utf8))) }

    /// The next frame; nil when the server closes.
    package mutating func next() async -> Frame? {
        let taken = taken
        let bytes = await peer.read { Self.parsed($0, from: taken) != nil }
        guard let (frame, end) = Self.parsed(bytes, from: taken) else { return nil }
        self.taken = end
        return frame
    }

    /// A frame of a client.
    package static func frame(_ opcode: UInt8, _ payload: [UInt8], isLast: Bool = true, isMasked: Bool = true)
        -> [UInt8]
    {
        let mask: [UInt8] = isMasked ? [1, 2, 3, 4] : []
        let maskBit: UInt8 = isMasked ? 0x80 : 0
        var bytes = [opcode | (isLast ? 0x80 : 0)]
        switch payload.count {
        case ..<126: bytes.append(UInt8(payload.count) | maskBit)
        case ..<65536: bytes += [126 | maskBit, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
        default:
            bytes += [127 | maskBit] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
        }
        return bytes + mask + (isMasked ? payload.enumerated().map { $1 ^ mask[$0 % 4] } : payload)
    }

    private static func parsed(_ bytes: [UInt8], from start: Int) -> (Frame, end: Int)? {
        guard bytes.count >= start + 2 else { return nil }
        var place = start + 2
        var length = Int(bytes[start + 1] & 0x7f)
        let more = length == 126 ? 2 : length == 127 ? 8 : 0
        guard bytes.count >= place + more else { return nil }
        if more > 0 { length = bytes[place..<place + more].reduce(0) { $0 << 8 | Int($1) } }
        place += more
        guard bytes.count >= place + length else { return nil }
        return (Frame(bytes[start] & 0x0f, Array(bytes[place..<place + length])), place + length)
    }
}
