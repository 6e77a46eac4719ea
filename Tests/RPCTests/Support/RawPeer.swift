import CNGHTTP2
import Foundation

/// A client that writes frames by hand, to do what a proper client does not.
///
/// It blocks in system calls, on a thread of its own: the threads of the tests are few and others need them.
actor RawPeer {
    struct Frame: Sendable {
        var type: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]

        var endsStream: Bool { flags & 1 != 0 }
    }

    enum FrameType {
        static let data: UInt8 = 0
        static let headers: UInt8 = 1
        static let reset: UInt8 = 3
        static let settings: UInt8 = 4
        static let ping: UInt8 = 6
        static let goAway: UInt8 = 7
        static let windowUpdate: UInt8 = 8
    }

    struct Failure: Error {
        var text: String
    }

    private let executor = BlockingExecutor()
    private let descriptor: Int32
    private var received: [UInt8] = []
    private var inflater: OpaquePointer?

    init(port: Int) async throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var time = timeval(tv_sec: 20, tv_usec: 0)
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

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    isolated deinit {
        nghttp2_hd_inflate_del(inflater)
        close(descriptor)
    }

    func shutDownSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(text: "cannot write") }
            rest = rest.dropFirst(count)
        }
    }

    func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// All bytes until the server closes.
    func readToEnd() -> [UInt8] {
        while fill() {}
        return received
    }

    private func fill() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        received += buffer[..<count]
        return true
    }

    // MARK: HTTP/2

    func startHTTP2() throws {
        try write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        try frame(FrameType.settings, 0, 0, [])
    }

    func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) throws {
        try write(Self.frame(type, flags, stream, payload))
    }

    static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count
        var bytes = [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
        bytes += withUnsafeBytes(of: stream.bigEndian) { Array($0) }
        return bytes + payload
    }

    /// The header block of a request: literals, nothing indexed.
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes += [0, UInt8(name.utf8.count)]
            bytes += name.utf8
            bytes.append(UInt8(value.utf8.count))
            bytes += value.utf8
        }
        return bytes
    }

    static func requestFields(_ path: String) -> [(String, String)] {
        [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
    }

    func headers(_ stream: UInt32, _ fields: [(String, String)], end: Bool = false) throws {
        try frame(FrameType.headers, end ? 5 : 4, stream, Self.block(fields))
    }

    static func message(_ bytes: [UInt8], flag: UInt8 = 0) -> [UInt8] {
        [flag] + withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { Array($0) } + bytes
    }

    func data(_ stream: UInt32, _ bytes: [UInt8], end: Bool) throws {
        try frame(FrameType.data, end ? 1 : 0, stream, bytes)
    }

    /// The next frame, or nil when the server has closed.
    func next() -> Frame? {
        while true {
            if received.count >= 9 {
                let length = Int(received[0]) << 16 | Int(received[1]) << 8 | Int(received[2])
                if received.count >= 9 + length {
                    let stream = received[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                    let frame = Frame(
                        type: received[3], flags: received[4], stream: stream, payload: Array(received[9..<9 + length]))
                    received.removeFirst(9 + length)
                    return frame
                }
            }
            guard fill() else { return nil }
        }
    }

    /// The next frame of a type; others are skipped, but header blocks are still decoded.
    func next(_ type: UInt8) throws -> Frame {
        while let frame = next() {
            if frame.type == type { return frame }
            if frame.type == FrameType.headers { _ = fields(frame) }
        }
        throw Failure(text: "the server closed before a frame of type \(type) came")
    }

    /// The fields of header frames of a stream up to its end.
    func answer(_ stream: UInt32) throws -> [String: String] {
        var all: [String: String] = [:]
        while true {
            let frame = try next(FrameType.headers)
            let fields = fields(frame)
            guard frame.stream == stream else { continue }
            all.merge(fields) { $1 }
            if frame.endsStream { return all }
        }
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

/// Runs an actor's jobs on a thread of its own, where they may block.
private final class BlockingExecutor: SerialExecutor {
    private final class Jobs: @unchecked Sendable {
        // Unchecked: guarded by the condition.
        let condition = NSCondition()
        var waiting: [UnownedJob] = []
        var isOver = false

        func next() -> UnownedJob? {
            condition.withLock {
                while waiting.isEmpty, !isOver { condition.wait() }
                return waiting.isEmpty ? nil : waiting.removeFirst()
            }
        }
    }

    private let jobs = Jobs()

    init() {
        let jobs = jobs
        let executor = asUnownedSerialExecutor()
        Thread.detachNewThread {
            while let job = jobs.next() { job.runSynchronously(on: executor) }
        }
    }

    deinit {
        jobs.condition.withLock {
            jobs.isOver = true
            jobs.condition.signal()
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.condition.withLock {
            jobs.waiting.append(job)
            jobs.condition.signal()
        }
    }
}
