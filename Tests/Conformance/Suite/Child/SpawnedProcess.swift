package import Foundation
import Synchronization

/// A child process that inherits nothing but its three streams, and whose end cannot be missed.
///
/// Started with `posix_spawn`: Foundation's `Process` hands files that are opened meanwhile to the child, and a suite with
/// thousands of open files was seen waiting for children that had ended long ago.
package final class SpawnedProcess: Sendable {
    /// How a process ended.
    package enum End: Hashable, Sendable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let number): "killed by signal \(number)"
            }
        }
    }

    private struct State {
        var end: End?
        var observers: [@Sendable (End) -> Void] = []
    }

    package let pid: pid_t
    private let leadsGroup: Bool
    private let state = Mutex(State())

    /// Starts a program.
    /// - Parameters:
    ///   - input: What it reads from; nil for nothing.
    ///   - output: Where its output goes.
    ///   - errors: Where its error output goes; nil: where that of this process goes.
    package convenience init(
        _ executable: String, _ arguments: [String], environment: [String: String], input: FileHandle?,
        output: FileHandle, errors: FileHandle? = nil
    ) throws {
        try self.init(
            executable, arguments.map { Array($0.utf8) }, environment: environment,
            streams: [input?.fileDescriptor, output.fileDescriptor, errors?.fileDescriptor ?? STDERR_FILENO])
        withExtendedLifetime((input, output, errors)) {}
    }

    /// Starts a program.
    /// - Parameters:
    ///   - arguments: Of any bytes but zero.
    ///   - streams: What become its input, its output and its error output; nil: /dev/null.
    ///   - leadsGroup: Whether it and all that it starts are a process group of their own, which is what signals go to
    ///     when asked for.
    package init(
        _ executable: String, _ arguments: [[UInt8]], environment: [String: String], streams: [Int32?],
        leadsGroup: Bool = false
    ) throws {
        self.leadsGroup = leadsGroup
        pid = try Self.spawn(executable, arguments, environment, streams, leadsGroup: leadsGroup)
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
    /// - Parameter group: To its group too, where it leads one.
    package func signal(_ number: Int32, group: Bool = false) {
        state.withLock { if $0.end == nil { kill(group && leadsGroup ? -pid : pid, number) } }
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
        return signal == 0 ? .code((status >> 8) & 0xFF) : .signal(signal)
    }

    private static func spawn(
        _ executable: String, _ arguments: [[UInt8]], _ environment: [String: String], _ streams: [Int32?],
        leadsGroup: Bool
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
        posix_spawnattr_setpgroup(&attributes, 0)
        let group = leadsGroup ? POSIX_SPAWN_SETPGROUP : 0
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | group))

        var words = ([Array(executable.utf8)] + arguments).map { strdup($0.map { CChar(bitPattern: $0) } + [0]) }
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
