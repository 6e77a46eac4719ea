import Foundation

/// TCP sockets of 127.0.0.1 that never block and that no child inherits.
enum Sockets {
    /// A socket that listens.
    static func listen() throws -> (socket: Int32, port: UInt16) {
        let listener = try make()
        do {
            let port = try bound(listener, to: 0)
            guard Foundation.listen(listener, 128) == 0 else { throw ProcessFailure("listen", errno) }
            return (listener, port)
        } catch {
            close(listener)
            throw error
        }
    }

    /// A port that is free, and that the system gives to nobody who does not ask for this one.
    static func freePort(using generator: inout some RandomNumberGenerator) throws -> UInt16 {
        let range = try String(contentsOfFile: "/proc/sys/net/ipv4/ip_local_port_range", encoding: .utf8)
        let first = range.split(whereSeparator: \.isWhitespace).first.flatMap { UInt16($0) } ?? 32768
        for _ in 0..<1000 {
            let socket = try make()
            defer { close(socket) }
            if let port = try? bound(socket, to: UInt16.random(in: first / 2..<first, using: &generator)) {
                return port
            }
        }
        throw ProcessFailure("no port below \(first) is free")
    }

    /// Begins to connect.
    static func connect(to port: UInt16) throws -> Int32 {
        let socket = try make()
        let code = withAddress(port) { Foundation.connect(socket, $0, $1) == 0 ? 0 : errno }
        guard code == 0 || code == EINPROGRESS else {
            close(socket)
            throw ProcessFailure("connect", code)
        }
        return socket
    }

    /// What became of an attempt to connect that is over: 0, or why it failed.
    static func outcome(of socket: Int32) -> Int32 {
        var (code, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
        return code
    }

    /// The next connection of a listener, and the port that it comes from; nil where none waits.
    static func accept(_ listener: Int32) -> (socket: Int32, port: UInt16)? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let socket = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.accept(listener, $0, &length)
            }
        }
        guard socket >= 0 else { return nil }
        neverBlock(socket)
        sendAtOnce(socket)
        return (socket, UInt16(bigEndian: address.sin_port))
    }

    /// Closes a socket so that the other end hears of a reset.
    static func reset(_ socket: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        close(socket)
    }

    /// A descriptor that never blocks, and that no child inherits.
    static func neverBlock(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    private static func make() throws -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let made = socket(AF_INET, Int32(kind), 0)
        guard made >= 0 else { throw ProcessFailure("socket", errno) }
        sendAtOnce(made)
        return made
    }

    private static func sendAtOnce(_ socket: Int32) {
        var one: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func bound(_ socket: Int32, to port: UInt16) throws -> UInt16 {
        let code = withAddress(port) { bind(socket, $0, $1) == 0 ? 0 : errno }
        guard code == 0 else { throw ProcessFailure("bind", code) }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func withAddress<Result>(
        _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
