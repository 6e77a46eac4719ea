import Glibc
import NIOCore
import NIOPosix

/// Why the system refused something, in its own words: NIO's errors name calls and addresses beside them.
enum SystemReason {
    static func text(_ error: any Error) -> String {
        if let error = error as? IOError { return String(cString: strerror(error.errnoCode)) }
        if let error = error as? NIOConnectionError {
            if let first = error.connectionErrors.first { return text(first.error) }
            if let lookup = error.dnsAError ?? error.dnsAAAAError { return "\(lookup)" }
        }
        if case .connectTimeout(let limit) = error as? ChannelError {
            return "no answer within \(limit.nanoseconds / 1_000_000) ms"
        }
        return "\(error)"
    }
}
