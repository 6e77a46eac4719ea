import Foundation
import Synchronization

/// A request as it came over the wire.
struct ReceivedRequest: Sendable {
    var method: String
    /// Path and query.
    var target: String
    /// In order, names as they came.
    var headers: [(name: String, value: String)]
    var body: [UInt8]
    /// Counts connections from 0.
    var connection: Int

    var text: String { String(decoding: body, as: UTF8.self) }

    subscript(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }
}

/// What a scripted server does with a request.
enum Reply: Sendable {
    /// A whole answer.
    case answer(Int, headers: [String: String] = [:], body: String = "")
    /// A whole answer with any bytes.
    case object(Int, headers: [String: String], [UInt8])
    /// These bytes, then the end of the connection.
    case bytes(String)
    /// The end of the connection.
    case hangUp
    /// Nothing, until the server stops.
    case silence

    static func error(_ status: Int, _ code: String, _ more: String = "", headers: [String: String] = [:]) -> Reply {
        .answer(
            status, headers: headers,
            body: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code><Message>as the script says"
                + "</Message>\(more)</Error>")
    }
}

/// An HTTP server on 127.0.0.1 that answers as a test says. One thread accepts, one serves each connection.
final class ScriptedServer: Sendable {
    typealias Script = @Sendable (ReceivedRequest) -> Reply

    private struct State {
        var requests: [ReceivedRequest] = []
        var connections: [Int32] = []
        var isStopped = false
    }

    let port: UInt16
    /// Every request as it arrives.
    let arrivals: AsyncStream<ReceivedRequest>
    private let announce: AsyncStream<ReceivedRequest>.Continuation
    private let listener: Int32
    private let script: Script
    private let state = Mutex(State())

    var endpoint: String { "http://127.0.0.1:\(port)" }
    var requests: [ReceivedRequest] { state.withLock { $0.requests } }

    init(_ script: @escaping Script) throws {
        self.script = script
        (arrivals, announce) = AsyncStream.makeStream()
        (listener, port) = try boundSocket()
        guard listen(listener, 64) == 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
        Thread.detachNewThread { self.accept() }
    }

    /// Answers the nth request with the nth reply, and all later ones with the last.
    convenience init(_ replies: Reply...) throws { try self.init(replies) }

    /// As the other one.
    convenience init(_ replies: [Reply]) throws {
        let count = Mutex(0)
        try self.init { _ in
            count.withLock { count in
                defer { count += 1 }
                return replies[min(count, replies.count - 1)]
            }
        }
    }

    func stop() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            // The threads are inside calls on these; they close them when those return.
            for descriptor in state.connections + [listener] where descriptor >= 0 {
                shutdown(descriptor, Int32(SHUT_RDWR))
            }
        }
    }

    private func accept() {
        while true {
            let descriptor = Foundation.accept(listener, nil, nil)
            guard descriptor >= 0 else { break }
            let number: Int? = state.withLock { state in
                guard !state.isStopped else { return nil }
                state.connections.append(descriptor)
                return state.connections.count - 1
            }
            guard let number else {
                close(descriptor)
                break
            }
            Thread.detachNewThread { self.serve(descriptor, number) }
        }
        close(listener)
    }

    private func serve(_ descriptor: Int32, _ number: Int) {
        var input = Wire(descriptor)
        while let request = input.request(connection: number) {
            state.withLock { $0.requests.append(request) }
            announce.yield(request)
            guard write(script(request), to: descriptor, isHead: request.method == "HEAD") else { break }
        }
        state.withLock { state in
            // Forgotten before its number can belong to another file.
            state.connections[number] = -1
            close(descriptor)
        }
    }

    /// False when the connection is over.
    private func write(_ reply: Reply, to descriptor: Int32, isHead: Bool) -> Bool {
        switch reply {
        case .answer(let status, let headers, let body):
            return send(status, headers, Array(body.utf8), to: descriptor, isHead: isHead)
        case .object(let status, let headers, let body):
            return send(status, headers, body, to: descriptor, isHead: isHead)
        case .bytes(let text):
            _ = send(Array(text.utf8), to: descriptor)
            return false
        case .hangUp: return false
        case .silence:
            var byte: UInt8 = 0
            _ = recv(descriptor, &byte, 1, 0)
            return false
        }
    }

    private func send(
        _ status: Int, _ headers: [String: String], _ body: [UInt8], to descriptor: Int32, isHead: Bool
    ) -> Bool {
        var text = "HTTP/1.1 \(status) Scripted\r\n"
        if headers["Content-Length"] == nil && status != 204 && status != 304 {
            text += "Content-Length: \(body.count)\r\n"
        }
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        return send(Array("\(text)\r\n".utf8) + (isHead ? [] : body), to: descriptor)
    }

    private func send(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// Reads requests from a socket.
private struct Wire {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    mutating func request(connection: Int) -> ReceivedRequest? {
        var end: Range<Int>?
        while end == nil {
            end = buffer.firstRange(of: Array("\r\n\r\n".utf8))
            if end == nil && !more() { return nil }
        }
        let lines = String(decoding: buffer[..<end!.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        let first = lines[0].components(separatedBy: " ")
        let headers = lines.dropFirst().map { line in
            let colon = line.firstIndex(of: ":")!
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            return (name: String(line[..<colon]), value: value)
        }
        buffer.removeFirst(end!.upperBound)
        let length = headers.first { $0.name.lowercased() == "content-length" }.flatMap { Int($0.value) } ?? 0
        while buffer.count < length { guard more() else { return nil } }
        let body = Array(buffer[..<length])
        buffer.removeFirst(length)
        return ReceivedRequest(
            method: first[0], target: first[1], headers: headers, body: body, connection: connection)
    }

    private mutating func more() -> Bool {
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &piece, piece.count, 0)
        guard count > 0 else { return false }
        buffer += piece[..<count]
        return true
    }
}

/// A socket on a free port of 127.0.0.1 that does not listen yet.
func boundSocket() throws -> (descriptor: Int32, port: UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
        }
    }
    guard isBound else {
        close(descriptor)
        throw POSIXError(.init(rawValue: errno) ?? .EIO)
    }
    return (descriptor, UInt16(bigEndian: address.sin_port))
}
