import Foundation
import RawHTTP2
import Synchronization

/// Many connections at once, from one thread.
final class Crowd: Sendable {
    private let sockets: Mutex<[Int32]>

    /// How many sockets of a crowd this process may have, after it has raised its limit as far as it can.
    static let countMax: Int = {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: UInt64(limit.rlim_cur)) - 1000
    }()

    private init(_ sockets: [Int32]) { self.sockets = Mutex(sockets) }

    deinit { close() }

    /// Connects so often and says the same on each connection.
    static func connect(_ count: Int, port: Int, saying bytes: [UInt8]) async throws -> Crowd {
        try await onThread {
            let crowd = Crowd([])
            for _ in 0..<count {
                let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
                guard descriptor >= 0 else { throw ProcessFailure("socket", errno) }
                crowd.sockets.withLock { $0.append(descriptor) }
                var time = timeval(tv_sec: 600, tv_usec: 0)
                setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = in_port_t(UInt16(port)).bigEndian
                address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
                let code = withUnsafePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 ? 0 : errno
                    }
                }
                guard code == 0 else { throw ProcessFailure("connect", code) }
                // A server that has refused the connection may have closed it already.
                _ = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            }
            return crowd
        }
    }

    /// Reads from each connection until `isEnough` finds what it wants.
    /// - Returns: The number of connections on which it did; the others were closed before.
    func answered(_ isEnough: @escaping @Sendable ([UInt8]) -> Bool) async throws -> Int {
        let sockets = sockets.withLock { $0 }
        return try await Crowd.onThread {
            var count = 0
            var buffer = [UInt8](repeating: 0, count: 4096)
            for descriptor in sockets {
                var received: [UInt8] = []
                while !isEnough(received) {
                    let read = recv(descriptor, &buffer, buffer.count, 0)
                    if read < 0, errno == EINTR { continue }
                    if read < 0, errno != ECONNRESET { throw ProcessFailure("recv", errno) }
                    guard read > 0 else { break }
                    received += buffer[..<read]
                }
                if isEnough(received) { count += 1 }
            }
            return count
        }
    }

    func close() {
        let all = sockets.withLock { sockets in
            defer { sockets = [] }
            return sockets
        }
        for descriptor in all { Foundation.close(descriptor) }
    }

    /// True if there is a whole header frame that ends its stream.
    static func hasAnswer(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while rest.count >= 9 {
            let head = Array(rest.prefix(9))
            let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            guard rest.count >= 9 + length else { return false }
            if head[3] == RawPeer.FrameType.headers, head[4] & 1 != 0 { return true }
            rest = rest.dropFirst(9 + length)
        }
        return false
    }

    private static func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value
    {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
        }
    }
}
