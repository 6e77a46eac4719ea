import CNGHTTP2
import Foundation

/// A client that writes frames by hand, to do what a proper client does not.
///
/// It blocks in system calls, on a thread of its own: the threads of the tests are few and others need them.
package actor RawPeer {
    package struct Frame: Sendable {
        package var type: UInt8
        package var flags: UInt8
        package var stream: UInt32
        package var payload: [UInt8]

        package var endsStream: Bool { flags & 1 != 0 }
    }

    package enum FrameType {
        package static let data: UInt8 = 0
        package static let headers: UInt8 = 1
        package static let priority: UInt8 = 2
        package static let reset: UInt8 = 3
        package static let settings: UInt8 = 4
        package static let ping: UInt8 = 6
        package static let goAway: UInt8 = 7
        package static let windowUpdate: UInt8 = 8
        package static let continuation: UInt8 = 9
    }

    package struct Failure: Error, CustomStringConvertible {
        var text: String
        package var description: String { text }
    }

    /// How long a read waits if nobody says how long; only a server that hangs makes it wait so long.
    package static let patienceSeconds = 600

    private let executor = BlockingExecutor()
    private let descriptor: Int32
    private var received: [UInt8] = []
    /// Bytes of `received` that frames were made of.
    private var taken = 0
    private var isAtEnd = false
    /// Of the last read that brought nothing; 0 where the server had closed in good order.
    private var readError: Int32 = 0
    private var inflater: OpaquePointer?

    /// - Parameter patienceSeconds: How long a read waits.
    package init(port: Int, patienceSeconds: Int = RawPeer.patienceSeconds) async throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var time = timeval(tv_sec: patienceSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Failure(text: "cannot connect") }
        nghttp2_hd_inflate_new(&inflater)
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    isolated deinit {
        nghttp2_hd_inflate_del(inflater)
        close(descriptor)
    }

    package func shutDownSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    package func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            // A process that was stopped and goes on is told so.
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Failure(text: "cannot write: \(String(cString: strerror(errno)))") }
            rest = rest.dropFirst(count)
        }
    }

    package func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// Bytes until there are enough of them, or the server closes.
    package func read(until isEnough: @Sendable ([UInt8]) -> Bool) -> [UInt8] {
        while !isEnough(received), fill() {}
        return received
    }

    /// All bytes until the server closes.
    package func readToEnd() -> [UInt8] {
        while fill() {}
        return received
    }

    /// Reads until the server closes; the frames that come meanwhile are dropped.
    package func drainToEnd() throws {
        while fill() { forget() }
        guard isAtEnd else { throw Failure(text: "the server has not closed the connection: \(end)") }
    }

    /// Reads what has come without waiting and drops it; false once the server has closed.
    package func skipAvailable() -> Bool {
        while fill(Int32(MSG_DONTWAIT)) { forget() }
        return !isAtEnd
    }

    /// What a read ended with.
    private var end: String { readError == 0 ? "the server closed" : String(cString: strerror(readError)) }

    private func forget() {
        received.removeAll(keepingCapacity: true)
        taken = 0
    }

    private func fill(_ flags: Int32 = 0) -> Bool {
        if taken > 1 << 20 {
            received.removeFirst(taken)
            taken = 0
        }
        var buffer = [UInt8](repeating: 0, count: 65536)
        var count: Int
        repeat { count = recv(descriptor, &buffer, buffer.count, flags) } while count < 0 && errno == EINTR
        guard count > 0 else {
            readError = count == 0 ? 0 : errno
            isAtEnd = count == 0 || readError == ECONNRESET
            return false
        }
        received += buffer[..<count]
        return true
    }

    // MARK: HTTP/2

    package static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    package func startHTTP2() throws {
        // In one piece: a server that has little patience gets both or nothing.
        try write(Self.preface + Self.frame(FrameType.settings, 0, 0, []))
    }

    /// Takes the server's settings: from here on it allows streams the windows that it has set.
    package func acknowledgeSettings() throws {
        _ = try next(FrameType.settings)
        try frame(FrameType.settings, 1, 0, [])
    }

    package func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) throws {
        try write(Self.frame(type, flags, stream, payload))
    }

    package static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count
        var bytes = [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
        bytes += withUnsafeBytes(of: stream.bigEndian) { Array($0) }
        return bytes + payload
    }

    /// The header block of a request: literals, nothing indexed.
    package static func block(_ fields: [(String, String)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes += [0, UInt8(name.utf8.count)]
            bytes += name.utf8
            bytes.append(UInt8(value.utf8.count))
            bytes += value.utf8
        }
        return bytes
    }

    package static func requestFields(_ path: String) -> [(String, String)] {
        [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
    }

    package func headers(_ stream: UInt32, _ fields: [(String, String)], end: Bool = false) throws {
        try frame(FrameType.headers, end ? 5 : 4, stream, Self.block(fields))
    }

    package static func message(_ bytes: [UInt8], flag: UInt8 = 0) -> [UInt8] {
        [flag] + withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { Array($0) } + bytes
    }

    package func data(_ stream: UInt32, _ bytes: [UInt8], end: Bool) throws {
        try frame(FrameType.data, end ? 1 : 0, stream, bytes)
    }

    /// The next frame, or nil when the server has closed.
    package func next() -> Frame? {
        while true {
            if let frame = takeFrame() { return frame }
            guard fill() else { return nil }
        }
    }

    private func takeFrame() -> Frame? {
        guard received.count - taken >= 9 else { return nil }
        let head = received[taken..<taken + 9].map { UInt32($0) }
        let end = taken + 9 + Int(head[0] << 16 | head[1] << 8 | head[2])
        guard received.count >= end else { return nil }
        defer { taken = end }
        return Frame(
            type: UInt8(head[3]), flags: UInt8(head[4]), stream: head[5] << 24 | head[6] << 16 | head[7] << 8 | head[8],
            payload: Array(received[taken + 9..<end]))
    }

    /// The next frame of a type; others are skipped, but header blocks are still decoded.
    package func next(_ type: UInt8) throws -> Frame {
        while let frame = next() {
            if frame.type == type { return frame }
            if frame.type == FrameType.headers { _ = fields(frame) }
        }
        throw Failure(text: "no frame of type \(type) came: \(end)")
    }

    /// The fields of header frames of a stream up to its end.
    package func answer(_ stream: UInt32) throws -> [String: String] {
        var all: [String: String] = [:]
        while true {
            let frame = try next(FrameType.headers)
            let fields = fields(frame)
            guard frame.stream == stream else { continue }
            all.merge(fields) { $1 }
            if frame.endsStream { return all }
        }
    }

    /// The fields of the frames that end streams, for the next `count` streams that end in whatever order.
    package func answers(_ count: Int) throws -> [UInt32: [String: String]] {
        var answers: [UInt32: [String: String]] = [:]
        while answers.count < count {
            let frame = try next(FrameType.headers)
            let fields = fields(frame)
            if frame.endsStream { answers[frame.stream] = fields }
        }
        return answers
    }

    private func fields(_ frame: Frame) -> [String: String] {
        var result: [String: String] = [:]
        frame.payload.withUnsafeBufferPointer { block in
            var offset = 0
            while true {
                var field = nghttp2_nv()
                var flags: Int32 = 0
                let used = nghttp2_hd_inflate_hd2(
                    inflater, &field, &flags, block.baseAddress.map { $0 + offset }, block.count - offset, 1)
                guard used >= 0 else { return }
                offset += used
                if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name = String(
                        decoding: UnsafeBufferPointer(start: field.name, count: field.namelen), as: UTF8.self)
                    result[name] = String(
                        decoding: UnsafeBufferPointer(start: field.value, count: field.valuelen), as: UTF8.self)
                }
                if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                    nghttp2_hd_inflate_end_headers(inflater)
                    return
                }
                if used == 0, flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) == 0 { return }
            }
        }
        return result
    }
}
