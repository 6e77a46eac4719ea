import Foundation
import Synchronization
import T4Conformance

/// A `StoreRaceChild` at work.
final class StoreChild: Sendable {
    private struct State {
        var bytes = Data()
        var text: String { String(decoding: bytes, as: UTF8.self) }
        /// The output was read to its end.
        var isRead = false
        var hasEnded = false
        var isOver: Bool { isRead && hasEnded }
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let process: SpawnedProcess
    private let input: ChildPipe
    private let output: ChildPipe
    private let state = Mutex(State())

    /// Starts a child on the store in a folder.
    init(_ mode: String, folder: String, writer: String = "") throws {
        input = try ChildPipe()
        output = try ChildPipe()
        let bundle = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        process = try SpawnedProcess(
            URL(filePath: bundle).deletingLastPathComponent().appending(path: "StoreRaceChild").path,
            [mode, folder, writer], environment: ProcessInfo.processInfo.environment,
            input: input.fileHandleForReading, output: output.fileHandleForWriting)
        try input.fileHandleForReading.close()
        try output.fileHandleForWriting.close()
        process.whenEnded { [weak self] _ in self?.change { $0.hasEnded = true } }
        let reading = output.fileHandleForReading
        Thread.detachNewThread { [weak self] in
            while true {
                let bytes = reading.availableData
                self?.change { state in
                    state.bytes += bytes
                    state.isRead = bytes.isEmpty
                }
                if bytes.isEmpty { return }
            }
        }
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
    @discardableResult
    func waitUntilOver() async -> SpawnedProcess.End? {
        while !state.withLock({ $0.isOver }) {
            await waitForChange(since: state.withLock { $0.text })
        }
        return process.end
    }

    /// Whether the child ended with exit code 0.
    var hasSucceeded: Bool { process.end == .code(0) }

    func write(_ text: String) { input.fileHandleForWriting.write(Data(text.utf8)) }

    func kill() { process.signal(SIGKILL) }

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
