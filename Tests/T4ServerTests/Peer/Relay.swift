import Glibc
import T4Protocols

/// Passes the bytes of connections on to a port, until it is told not to: nobody is told that the other one is gone.
final class Relay: Sendable {
    private struct State {
        var isFrozen = false
        var isStopped = false
        var threads: [SystemThread] = []
        var sockets: [Int32] = []
    }

    struct Failure: Error {
        var call: String
        var code: Int32
    }

    let port: Int
    private let target: Int
    private let listener: Int32
    private let state = Monitor(State())

    init(to target: Int) throws {
        self.target = target
        (listener, port) = try Relay.listen()
        let thread = SystemThread(name: "relay") { self.accept() }
        state.withLock { $0.threads.append(thread) }
    }

    private static func listen() throws -> (Int32, Int) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw Failure(call: "socket", code: errno) }
        var address = address(0)
        let isBound = with(&address) { bind(listener, $0, $1) } == 0 && Glibc.listen(listener, 16) == 0
        guard isBound else { throw Failure(call: "bind", code: errno) }
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard with(&address, { pointer, _ in getsockname(listener, pointer, &size) }) == 0 else {
            throw Failure(call: "getsockname", code: errno)
        }
        return (listener, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// From now on no byte is passed on.
    func freeze() { state.withLock { $0.isFrozen = true } }

    /// Closes everything.
    func stop() {
        let (threads, sockets) = state.withLock { state in
            state.isStopped = true
            return (state.threads, state.sockets)
        }
        state.broadcast()
        shutdown(listener, Int32(SHUT_RDWR))
        for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) }
        for thread in threads { thread.join() }
        for thread in state.withLock({ Array($0.threads.dropFirst(threads.count)) }) { thread.join() }
        for socket in state.withLock({ $0.sockets }) + [listener] { close(socket) }
    }

    private func accept() {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else { return }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Relay.address(target)
            let isConnected = Relay.with(&address) { connect(server, $0, $1) } == 0
            let goesOn = state.withLock { state in
                state.sockets += [client, server]
                guard isConnected, !state.isStopped else { return false }
                state.threads += [
                    SystemThread(name: "relay-out") { self.pass(client, server) },
                    SystemThread(name: "relay-in") { self.pass(server, client) },
                ]
                return true
            }
            guard goesOn else { return }
        }
    }

    private func pass(_ from: Int32, _ to: Int32) {
        var bytes = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = read(from, &bytes, bytes.count)
            let passes = state.wait { state -> Bool? in
                if state.isStopped { return false }
                return state.isFrozen ? nil : true
            }
            guard count > 0, passes else { break }
            var sent = 0
            while sent < count {
                let now = bytes.withUnsafeBytes {
                    send(to, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
                }
                guard now > 0 else { break }
                sent += now
            }
        }
        shutdown(to, Int32(SHUT_RDWR))
    }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func with(
        _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
