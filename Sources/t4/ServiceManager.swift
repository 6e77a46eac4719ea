import FoundationEssentials
import Glibc
import Logging

/// What has started the process and wants to know when it is ready, as systemd does for a unit of `Type=notify`: the
/// variable NOTIFY_SOCKET names a socket of datagrams.
struct ServiceManager {
    private let address: String

    init() {
        address = ProcessInfo.processInfo.environment["NOTIFY_SOCKET"] ?? ""
    }

    /// The node takes requests.
    func ready(_ logger: Logger) { tell("READY=1", logger) }

    /// The node has begun to stop.
    func stopping(_ logger: Logger) { tell("STOPPING=1", logger) }

    /// Nothing happens where nobody wants to know; who cannot be told is named in the log, and the node goes on.
    private func tell(_ state: String, _ logger: Logger) {
        guard !address.isEmpty else { return }
        if let problem = send(Array(state.utf8)) {
            logger.warning("cannot tell the service manager", metadata: ["state": "\(state)", "error": "\(problem)"])
        }
    }

    /// - Returns: What is wrong; nil when it was sent.
    private func send(_ state: [UInt8]) -> String? {
        var socketAddress = sockaddr_un()
        socketAddress.sun_family = sa_family_t(AF_UNIX)
        // A name that is no file begins with an @ here, and with a zero for the kernel.
        var name = Array(address.utf8)
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        let start = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: socketAddress.sun_path)
        guard start + name.count < MemoryLayout<sockaddr_un>.size else {
            return "the name in NOTIFY_SOCKET is too long"
        }
        withUnsafeMutableBytes(of: &socketAddress.sun_path) { $0.copyBytes(from: name) }

        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        let sent = withUnsafePointer(to: socketAddress) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, state, state.count, Int32(MSG_NOSIGNAL), $0, socklen_t(start + name.count))
            }
        }
        return sent == state.count ? nil : String(cString: strerror(errno))
    }
}
