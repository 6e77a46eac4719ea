package import Foundation
import Synchronization

/// A child process that inherits nothing but its three streams, and whose end cannot be missed.
///
/// Started with `posix_spawn`: Foundation's `Process` hands files that are opened meanwhile to the child, and a suite with
/// thousands of open files was seen waiting for children that had ended long ago.
package final class SpawnedProcess: Sendable {
    /// How a process ended.
    package enum End: Hashable, Sendable, CustomStringConvertible {
        case exit(code: Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .exit(let code): "exit code \(code)"
            case .signal(let number): "killed by signal \(number)"
            }
        }
    }

    private struct State {
        var end: End?
        var observers: [@Sendable (End) -> Void] = []
    }

    package let pid: pid_t
    private let state = Mutex(State())

    /// Starts a program.
    /// - Parameters:
    ///   - input: What it reads from; nil for nothing.
    ///   - output: Where its output goes.
    ///   - errors: Where its error output goes; nil: where that of this process goes.
    package init(
        _ executable: String, _ arguments: [String], environment: [String: String], input: FileHandle?,
        output: FileHandle, errors: FileHandle? = nil
    ) throws {
        pid = try withExtendedLifetime((input, output, errors)) {
            try Self.spawn(
                executable, arguments, environment,
                [input?.fileDescriptor, output.fileDescriptor, errors?.fileDescriptor ?? STDERR_FILENO])
        }
        Thread.detachNewThread { [self] in
            // Left a zombie until everybody knows, so that `signal` never meets another process of this number.
            var information = siginfo_t()
            while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            let (end, observers) = state.withLock { state in
                let end = Self.reap(pid)
                state.end = end
                defer { state.observers = [] }
                return (end, state.observers)
            }
            for observer in observers { observer(end) }
        }
    }

    /// How it ended; nil while it runs.
    package var end: End? { state.withLock { $0.end } }

    /// Sends a signal, unless it has ended.
    package func signal(_ number: Int32) {
        state.withLock { if $0.end == nil { kill(pid, number) } }
    }

    /// Calls `observer` once it has ended, from any thread.
    package func whenEnded(_ observer: @escaping @Sendable (End) -> Void) {
        let end = state.withLock { state in
            if state.end == nil { state.observers.append(observer) }
            return state.end
        }
        if let end { observer(end) }
    }

    private static func reap(_ pid: pid_t) -> End {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) != pid, errno == EINTR {}
        let signal = status & 0x7F
        return signal == 0 ? .exit(code: (status >> 8) & 0xFF) : .signal(signal)
    }

    private static func spawn(
        _ executable: String, _ arguments: [String], _ environment: [String: String], _ streams: [Int32?]
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, stream) in streams.enumerated() {
            let number = Int32(number)
            if let stream {
                posix_spawn_file_actions_adddup2(&actions, stream, number)
            } else {
                posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0)
            }
        }
        try closeInherited(&actions)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        var words = ([executable] + arguments).map { strdup($0) }
        var variables = environment.map { strdup("\($0.key)=\($0.value)") }
        words.append(nil)
        variables.append(nil)
        defer { for pointer in words + variables { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, executable, &actions, &attributes, words, variables)
        guard code == 0 else { throw RuleViolation("start of \(executable): \(String(cString: strerror(code)))") }
        return pid
    }

    /// Has the child close everything but its three streams.
    private static func closeInherited(_ actions: inout posix_spawn_file_actions_t) throws {
        // glibc 2.34 has the call, but behind a feature macro that Swift does not set.
        typealias AddCloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, CInt) -> CInt
        guard let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else {
            throw RuleViolation("the C library cannot close inherited files of a child: glibc 2.34 or newer can")
        }
        let code = unsafeBitCast(symbol, to: AddCloseFrom.self)(&actions, 3)
        guard code == 0 else { throw RuleViolation("posix_spawn_file_actions_addclosefrom_np: error \(code)") }
    }
}
