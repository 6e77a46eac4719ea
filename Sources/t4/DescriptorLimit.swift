import Glibc
import Logging

/// How many files and sockets the process may have open.
struct DescriptorLimit {
    /// What is kept for files at most: engines open them as they need them.
    private static let filesMax = 1024

    private let count: Int

    /// Raises the limit of this process as far as the system lets it.
    static func raise(_ logger: Logger) -> DescriptorLimit {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            logger.warning("cannot learn how many file descriptors there are", metadata: ["error": "\(errno)"])
            return DescriptorLimit(count: .max)
        }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return DescriptorLimit(count: Int(clamping: UInt64(limit.rlim_cur)))
    }

    /// The number of connections for which there are descriptors beside those for files: without a limit below that, a
    /// flood of clients would keep the log from its next file.
    func connections(wished: Int, _ logger: Logger) -> Int {
        let possible = max(1, count - min(Self.filesMax, count / 2))
        guard wished > possible else { return wished }
        logger.warning(
            "too few file descriptors for server.max_connections: raise the limit of the process (ulimit -n)",
            metadata: ["descriptors": "\(count)", "wished": "\(wished)", "connections": "\(possible)"])
        return possible
    }
}
