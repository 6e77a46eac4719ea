import Foundation
import Synchronization

/// How a process ended.
enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
    case code(Int32)
    case signal(Int32)

    var description: String {
        switch self {
        case .code(let code): "exit code \(code)"
        case .signal(let signal): "ended by signal \(signal)"
        }
    }
}

/// A system call refused; the message names it and what it was for.
struct ProcessFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    init(_ call: String, _ code: Int32) {
        description = "\(call): \(String(cString: strerror(code)))"
    }
}

/// What a process has written to one of its streams so far.
struct Output: Sendable, CustomStringConvertible {
    var bytes: [UInt8] = []
    /// True once the stream is at its end, so nothing will follow.
    var ended = false

    /// The text, with every byte that is not UTF-8 written as `\xNN`.
    var description: String { readable(bytes) }
}

/// A child process in a group of its own, with pipes for its three streams.
///
/// It is spawned with `posix_spawn` and not with Foundation's `Process`: suites run in parallel in one process, and
/// here pipes are made close-on-exec before another child can start, so that none inherits another one's pipe and
/// keeps it open.
/// One thread reads each output stream, so that a child never blocks on a full pipe, and one waits for its end.
final class ChildProcess: Sendable {
    let pid: pid_t
    let output = Observed(Output())
    let errors = Observed(Output())
    private let status = Observed<ExitStatus?>(nil)
    private let input: InputPipe

    /// Starts `executable` with `arguments` (without the name of the program itself).
    init(_ executable: String, _ arguments: [[UInt8]], environment: [String: String]) throws {
        ChildProcess.ignoreBrokenPipes
        let (pid, ends) = try ChildProcess.startLock.withLock { _ in
            try ChildProcess.spawnWithPipes(executable, arguments, environment: environment)
        }
        self.pid = pid
        input = InputPipe(ends.input)
        ChildProcess.read(ends.output, into: output)
        ChildProcess.read(ends.errors, into: errors)
        let status = status
        Thread.detachNewThread {
            // The child is left a zombie until the status says that it ended, so its id is not used again while
            // `signal` might still send to it.
            var info = siginfo_t()
            while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
            status.update { $0 = ChildProcess.reap(pid) }
        }
    }

    convenience init(_ executable: String, _ arguments: [String], environment: [String: String]) throws {
        try self.init(executable, arguments.map { Array($0.utf8) }, environment: environment)
    }

    var isRunning: Bool { status.value == nil }

    /// Sends `signal` to the process, or with `group` to everything it started too; nothing once it has ended.
    func signal(_ signal: Int32, group: Bool = false) {
        let pid = pid
        status.update { status in
            guard status == nil else { return }
            kill(group ? -pid : pid, signal)
        }
    }

    /// Queues `bytes` for the standard input; returns before they are written.
    func write(_ bytes: [UInt8]) { input.write(bytes) }

    /// Closes the standard input after what was queued.
    func closeInput() { input.close() }

    /// Waits until the process has ended and both its streams have been read to their end.
    func wait(within limit: Duration = .seconds(60)) async throws -> ExitStatus {
        let ended = try await status.wait(for: "the end of process \(pid)", within: limit) { $0 }
        _ = try await output.wait(for: "the end of the output of \(pid)", within: limit) { $0.ended ? true : nil }
        _ = try await errors.wait(for: "the end of the errors of \(pid)", within: limit) { $0.ended ? true : nil }
        return ended
    }

    /// Ends the process and all it started at once, and waits until it is gone.
    func destroy() async {
        signal(SIGKILL, group: true)
        input.close()
        _ = try? await status.wait(for: "the end of the killed process \(pid)") { $0 }
    }

    deinit {
        signal(SIGKILL, group: true)
        input.close()
    }
}

extension ChildProcess {
    private static let ignoreBrokenPipes: Void = { Foundation.signal(SIGPIPE, SIG_IGN) }()

    /// Held from the making of a pipe until its ends are close-on-exec and the child has been started.
    private static let startLock = Mutex(())

    /// Our ends of a child's streams.
    private struct Ends {
        let input: Int32
        let output: Int32
        let errors: Int32
    }

    private static func spawnWithPipes(
        _ executable: String, _ arguments: [[UInt8]], environment: [String: String],
    ) throws -> (pid_t, Ends) {
        var pipes: [(read: Int32, write: Int32)] = []
        do {
            for _ in 0..<3 {
                var pair: [Int32] = [-1, -1]
                guard pipe(&pair) == 0 else { throw ProcessFailure("pipe", errno) }
                for end in pair { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
                pipes.append((pair[0], pair[1]))
            }
            let theirs = [pipes[0].read, pipes[1].write, pipes[2].write]
            let pid = try spawn(executable, arguments, environment: environment, streams: theirs)
            for end in theirs { close(end) }
            return (pid, Ends(input: pipes[0].write, output: pipes[1].read, errors: pipes[2].read))
        } catch {
            for pair in pipes {
                close(pair.read)
                close(pair.write)
            }
            throw error
        }
    }

    /// Has the child close all but its three streams: swift-nio's sockets are not close-on-exec, and a child that kept
    /// a listening one would go on accepting for a server of another suite that has stopped.
    private static func closeInherited(_ actions: inout posix_spawn_file_actions_t) {
        // glibc 2.34 has the call, but behind a feature macro that Swift does not set.
        typealias AddCloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, CInt) -> CInt
        let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np")
        precondition(symbol != nil, "the C library cannot close inherited files of a child")
        let code = unsafeBitCast(symbol, to: AddCloseFrom.self)(&actions, 3)
        precondition(code == 0, "error \(code) from posix_spawn_file_actions_addclosefrom_np")
    }

    private static func spawn(
        _ executable: String, _ arguments: [[UInt8]], environment: [String: String], streams: [Int32],
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, stream) in streams.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, stream, Int32(number))
        }
        closeInherited(&actions)
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
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
        posix_spawnattr_setflags(&attributes, Int16(flags))

        var words = ([Array(executable.utf8)] + arguments).map { strdup($0.map { CChar(bitPattern: $0) } + [0]) }
        var variables = environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") }
        words.append(nil)
        variables.append(nil)
        defer { for pointer in words + variables { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, executable, &actions, &attributes, words, variables)
        guard code == 0 else { throw ProcessFailure("start of \(executable)", code) }
        return pid
    }

    private static func read(_ descriptor: Int32, into output: Observed<Output>) {
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 64 << 10)
            while true {
                let count = Foundation.read(descriptor, &buffer, buffer.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { break }
                let piece = Array(buffer[..<count])
                output.update { $0.bytes += piece }
            }
            close(descriptor)
            output.update { $0.ended = true }
        }
    }

    private static func reap(_ pid: pid_t) -> ExitStatus {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) != pid && errno == EINTR {}
        let signal = status & 0x7f
        return signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
    }
}

/// The standard input of a child: written on a queue of its own, since a pipe takes only 64 KiB at once.
private final class InputPipe: Sendable {
    private let queue = DispatchQueue(label: "child input")
    private let descriptor: Observed<Int32?>

    init(_ descriptor: Int32) {
        self.descriptor = Observed(descriptor)
    }

    func write(_ bytes: [UInt8]) {
        queue.async { [self] in
            guard let descriptor = descriptor.value else { return }
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
                if count < 0 && errno == EINTR { continue }
                // A child that ends without reading its input is no error of the test.
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }

    func close() {
        queue.async { [self] in
            guard let open = descriptor.update({ $0.take() }) else { return }
            Foundation.close(open)
        }
    }
}

/// Bytes as text: UTF-8 where the bytes are UTF-8, else `\xNN` for each byte outside ASCII.
func readable(_ bytes: [UInt8]) -> String {
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    return bytes.map { $0 < 0x80 ? String(UnicodeScalar($0)) : "\\x" + String($0, radix: 16) }.joined()
}
