import Foundation
import Synchronization
import T4Conformance

/// A `StoreRaceChild` at work.
final class StoreChild: Sendable {
    private struct State {
        var text = ""
        /// The output was read to its end.
        var isRead = false
        var hasEnded = false
        var isOver: Bool { isRead && hasEnded }
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let process = Process()
    private let input: ChildPipe
    private let output: ChildPipe
    private let state = Mutex(State())

    /// Starts a child on the store in a folder.
    init(_ mode: String, folder: String, writer: String = "") throws {
        input = try ChildPipe()
        output = try ChildPipe()
        let bundle = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        process.executableURL = URL(filePath: bundle).deletingLastPathComponent().appending(path: "StoreRaceChild")
        process.arguments = [mode, folder, writer]
        process.standardInput = input.fileHandleForReading
        process.standardOutput = output.fileHandleForWriting
        output.fileHandleForReading.readabilityHandler = { [weak self] handle in
            let text = String(decoding: handle.availableData, as: UTF8.self)
            if text.isEmpty { handle.readabilityHandler = nil }
            self?.change { state in
                state.text += text
                state.isRead = text.isEmpty
            }
        }
        process.terminationHandler = { [weak self] _ in self?.change { $0.hasEnded = true } }
        try process.run()
        try input.fileHandleForReading.close()
        try output.fileHandleForWriting.close()
    }

    /// The lines that the child has written in whole.
    var lines: [Substring] {
        let text = state.withLock { $0.text }
        return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    }

    /// Waits until the lines are as wanted; false when the child ended and they are not.
    func waitForLines(_ isWanted: ([Substring]) -> Bool) async -> Bool {
        while true {
            let (isOver, seen) = state.withLock { ($0.isOver, $0.text) }
            if isWanted(lines) { return true }
            if isOver { return false }
            await waitForChange(since: seen)
        }
    }

    /// Waits until the child has ended and all it wrote was read.
    func waitUntilOver() async -> Process.TerminationReason {
        while !state.withLock({ $0.isOver }) {
            await waitForChange(since: state.withLock { $0.text })
        }
        return process.terminationReason
    }

    /// Whether the child ended with exit code 0.
    var hasSucceeded: Bool { process.terminationReason == .exit && process.terminationStatus == 0 }

    func write(_ text: String) { input.fileHandleForWriting.write(Data(text.utf8)) }

    func kill() { Foundation.kill(process.processIdentifier, SIGKILL) }

    private func waitForChange(since text: String) async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.isOver || state.text != text { return true }
                state.waiters.append(continuation)
                return false
            }
            if isDone { continuation.resume() }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let waiters = state.withLock { state in
            body(&state)
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
