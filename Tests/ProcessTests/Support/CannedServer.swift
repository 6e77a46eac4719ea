import Foundation

/// An HTTP server on 127.0.0.1 that gives every request the same answer.
final class CannedServer: Sendable {
    let port: UInt16
    private let listener: Int32

    /// - Parameters:
    ///   - status: Of the answer: `403 Forbidden`.
    ///   - body: Of the answer.
    init(status: String, body: String) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard listener >= 0 else { throw ProcessFailure("socket", errno) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, address, &length) == 0 ? 0 : errno
            }
        }
        guard code == 0 else {
            close(listener)
            throw ProcessFailure("bind", code)
        }
        self.listener = listener
        port = UInt16(bigEndian: address.sin_port)
        let answer = "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        Thread.detachNewThread { CannedServer.serve(listener, Array(answer.utf8)) }
    }

    /// No further requests are answered.
    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private static func serve(_ listener: Int32, _ answer: [UInt8]) {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let connection = accept(listener, nil, nil)
            if connection < 0 && errno == EINTR { continue }
            guard connection >= 0 else { break }
            var request: [UInt8] = []
            while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
                let count = read(connection, &buffer, buffer.count)
                guard count > 0 else { break }
                request += buffer[..<count]
            }
            _ = write(connection, answer, answer.count)
            close(connection)
        }
        close(listener)
    }
}
