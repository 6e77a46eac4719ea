import Dispatch
import Foundation

/// A running child program, and what it says.
///
/// Used by one thread. The child is killed with the last reference.
final class ChildProcess {
    /// Longest time without a line before the child counts as hung.
    private static let silenceSecondsMax: Int32 = 120

    private let process: SpawnedProcess
    private let output: ChildPipe
    private let ended = DispatchSemaphore(value: 0)
    private var buffer: [UInt8] = []
    private var isEnded = false

    /// Starts the program with an order.
    init(_ program: ChildProgram, _ order: ChildOrder) throws {
        output = try ChildPipe()
        var environment = ProcessInfo.processInfo.environment
        environment[ChildOrder.variable] = String(decoding: try JSONEncoder().encode(order), as: UTF8.self)
        // A crash is seen by the parent; a backtrace would only take its time.
        environment["SWIFT_BACKTRACE"] = "enable=no"
        process = try SpawnedProcess(
            program.executable, program.arguments, environment: environment, input: nil,
            output: output.fileHandleForWriting)
        try output.fileHandleForWriting.close()
        let ended = ended
        process.whenEnded { _ in ended.signal() }
    }

    deinit { sendKill() }

    /// Waits for the child's next line.
    /// - Returns: Nil when the child has ended.
    /// - Throws: `RuleViolation` when the child found something broken or is silent for too long.
    func next() throws -> ChildLine? {
        while true {
            while let end = buffer.firstIndex(of: 0x0A) {
                let line = ChildLine(String(decoding: buffer[..<end], as: UTF8.self))
                buffer.removeSubrange(...end)
                guard let line else { continue }
                if line.word == .broken { throw RuleViolation(line.message) }
                return line
            }
            guard try fill() else { return nil }
        }
    }

    /// Waits for a line of that kind and drops the others.
    /// - Throws: `RuleViolation` when the child ends without one.
    @discardableResult
    func wait(for word: ChildLine.Word) throws -> ChildLine {
        while let line = try next() {
            if line.word == word { return line }
        }
        throw RuleViolation("the child ended without saying \"\(word.rawValue)\": \(waitForEnd())")
    }

    /// Kills the child, and waits until it and its locks are gone.
    /// - Returns: What it had said and nobody had read.
    func killNow() throws -> [ChildLine] {
        sendKill()
        var lines: [ChildLine] = []
        while let line = try next() { lines.append(line) }
        _ = waitForEnd()
        return lines
    }

    /// Freezes the child; its files do not change until `resume`.
    func pause() throws {
        process.signal(SIGSTOP)
        try waitUntilStopped()
    }

    /// Waits for a child that stops itself.
    func waitUntilStopped() throws {
        // The signal takes effect a little after it was sent: when the last thread leaves the kernel.
        var information = siginfo_t()
        while waitid(P_PID, id_t(process.pid), &information, WSTOPPED) != 0 {
            guard errno == EINTR else { throw RuleViolation("the child ended: \(waitForEnd())") }
        }
    }

    /// Lets a frozen child go on.
    func resume() { process.signal(SIGCONT) }

    /// Waits for the child's end.
    /// - Returns: How it ended.
    @discardableResult
    func waitForEnd() -> String {
        if !isEnded {
            ended.wait()
            isEnded = true
        }
        return process.end.map { "\($0)" } ?? "still running"
    }

    private func sendKill() { process.signal(SIGKILL) }

    /// - Returns: False at the end of the child's output.
    private func fill() throws -> Bool {
        let descriptor = output.fileHandleForReading.fileDescriptor
        while true {
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&wanted, 1, Self.silenceSecondsMax * 1000)
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else {
                sendKill()
                throw RuleViolation("the child said nothing for \(Self.silenceSecondsMax) seconds")
            }
            var bytes = [UInt8](repeating: 0, count: 64 << 10)
            let count = read(descriptor, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            buffer += bytes.prefix(max(count, 0))
            return count > 0
        }
    }
}

extension EngineStorage {
    /// Starts the harness's child program.
    func startChild(_ order: ChildOrder) throws -> ChildProcess {
        guard let program = engine.childProgram else { throw RuleViolation("the harness names no childProgram") }
        return try ChildProcess(program, order)
    }
}
