import Foundation
import Synchronization
import T4Conformance

typealias ExitStatus = SpawnedProcess.End

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
/// One thread reads each output stream, so that a child never blocks on a full pipe, and one waits for its end.
final class ChildProcess: Sendable {
    let output = Observed(Output())
    let errors = Observed(Output())
    private let process: SpawnedProcess
    private let status = Observed<ExitStatus?>(nil)
    private let input: InputPipe

    /// Starts `executable` with `arguments` (without the name of the program itself).
    init(_ executable: String, _ arguments: [[UInt8]], environment: [String: String]) throws {
        ChildProcess.ignoreBrokenPipes
        var ends: [FileDescriptorPair] = []
        do {
            for _ in 0..<3 { ends.append(try FileDescriptorPair()) }
            process = try SpawnedProcess(
                executable, arguments, environment: environment,
                streams: [ends[0].read, ends[1].write, ends[2].write], leadsGroup: true)
        } catch {
            for pair in ends { pair.close() }
            throw error
        }
        for end in [ends[0].read, ends[1].write, ends[2].write] { close(end) }
        input = InputPipe(ends[0].write)
        ChildProcess.read(ends[1].read, into: output)
        ChildProcess.read(ends[2].read, into: errors)
        process.whenEnded { [status] end in status.update { $0 = end } }
    }

    convenience init(_ executable: String, _ arguments: [String], environment: [String: String]) throws {
        try self.init(executable, arguments.map { Array($0.utf8) }, environment: environment)
    }

    var pid: pid_t { process.pid }

    var isRunning: Bool { status.value == nil }

    /// Sends `signal` to the process, or with `group` to everything it started too; nothing once it has ended.
    func signal(_ signal: Int32, group: Bool = false) {
        process.signal(signal, group: group)
    }

    /// Queues `bytes` for the standard input; returns before they are written.
    func write(_ bytes: [UInt8]) { input.write(bytes) }

    /// Closes the standard input after what was queued.
    func closeInput() { input.close() }

    /// Waits until the process has ended and both its streams have been read to their end.
    func wait(within limit: Duration = .seconds(300)) async throws -> ExitStatus {
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

extension Observed<Output> {
    /// Waits until a text has come: what a process writes to its two streams comes in no order.
    func untilSaid(_ text: String) async throws {
        _ = try await wait(for: "'\(text)'") { $0.description.contains(text) ? true : nil }
    }
}

extension ChildProcess {
    private static let ignoreBrokenPipes: Void = { Foundation.signal(SIGPIPE, SIG_IGN) }()

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
}

/// The two ends of a pipe. `SpawnedProcess` lets no child inherit them.
private struct FileDescriptorPair {
    let read: Int32
    let write: Int32

    init() throws {
        var pair: [Int32] = [-1, -1]
        guard pipe(&pair) == 0 else { throw ProcessFailure("pipe", errno) }
        (read, write) = (pair[0], pair[1])
    }

    func close() {
        Foundation.close(read)
        Foundation.close(write)
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
