import EtcdAPI
import RPC
import SwiftProtobuf
import Synchronization
import T4Core
import T4Protocols

/// A watch of the source: its answers wait here until they are taken, few of them.
final class SourceWatch: ClientStreamHandler, Sendable {
    /// Answers that wait before reading pauses.
    private static let waitingMax = 16

    private struct State {
        var call: ClientCall?
        var waiting: [EtcdWatchResponse] = []
        var isPaused = false
        var end: RPCStatus?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// The call, before anything is sent on it.
    func begin(_ call: ClientCall) { state.withLock { $0.call = call } }

    /// Ends the watch.
    func cancel() { state.withLock { $0.call }?.cancel() }

    func onMessage(_ message: RawSpan) {
        let bytes = message.copyBytes()
        do {
            let response = try EtcdWatchResponse(serializedBytes: bytes)
            let pausing: ClientCall? = state.withLock { state in
                state.waiting.append(response)
                guard state.waiting.count >= SourceWatch.waitingMax, !state.isPaused else { return nil }
                state.isPaused = true
                return state.call
            }
            pausing?.pauseReading()
            wake()
        } catch {
            finish(RPCStatus(.internal, "an answer of the watch cannot be read: \(error)"))
        }
    }

    func onEnd(_ status: RPCStatus) { finish(status) }

    func onWritable() {}

    private func finish(_ status: RPCStatus) {
        state.withLock { $0.end = $0.end ?? status }
        wake()
    }

    private func wake() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// All answers that have come; waits for one at least. One task at a time.
    /// - Throws: How the call ended, once everything that came before was taken.
    func next() async throws -> [EtcdWatchResponse] {
        while true {
            let (taken, resuming, end) = state.withLock { state in
                defer { state.waiting = [] }
                guard !state.waiting.isEmpty else { return (state.waiting, nil as ClientCall?, state.end) }
                let paused = state.isPaused ? state.call : nil
                state.isPaused = false
                return (state.waiting, paused, nil)
            }
            resuming?.resumeReading()
            if !taken.isEmpty { return taken }
            if let end { throw end }
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    if !state.waiting.isEmpty || state.end != nil { return true }
                    state.waiter = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        }
    }
}

/// The call `Snapshot`: the file in pieces, which wait here until they are taken, few of them.
final class SourceSnapshot: ClientStreamHandler, Sendable {
    /// Bytes that wait before reading pauses.
    private static let waitingBytesMax = 8 << 20

    private struct State {
        var call: ClientCall?
        var waiting: [[UInt8]] = []
        var waitingBytes = 0
        var isPaused = false
        var end: RPCStatus?
        var revision = Revision.none
    }

    private let state = Monitor(State())

    /// Of the database, once something has come.
    var revision: Revision { state.withLock { $0.revision } }

    /// The call, before anything is sent on it.
    func begin(_ call: ClientCall) { state.withLock { $0.call = call } }

    func onMessage(_ message: RawSpan) {
        let bytes = message.copyBytes()
        var blob: [UInt8] = []
        var failure: RPCStatus?
        do {
            let response = try EtcdSnapshotResponse(serializedBytes: bytes)
            blob = Array(response.blob)
            state.withLock { $0.revision = Revision(response.header.revision) }
        } catch {
            failure = RPCStatus(.internal, "a part of the snapshot cannot be read: \(error)")
        }
        let pausing: ClientCall? = state.withLock { state in
            if let failure { state.end = state.end ?? failure }
            state.waiting.append(blob)
            state.waitingBytes += blob.count
            guard state.waitingBytes >= SourceSnapshot.waitingBytesMax, !state.isPaused else { return nil }
            state.isPaused = true
            return state.call
        }
        pausing?.pauseReading()
        state.broadcast()
    }

    func onEnd(_ status: RPCStatus) {
        state.withLock { $0.end = $0.end ?? status }
        state.broadcast()
    }

    func onWritable() {}

    /// Takes everything into a temporary file. Blocks.
    /// - Throws: How the call ended, if not well; of the disk.
    func save(in directory: String) throws -> any LogFile {
        var file = try TemporaryFile(in: directory)
        try forEach { try file.append($0.span.bytes) }
        return try file.finish()
    }

    /// Visits the pieces as they come. Blocks.
    /// - Throws: How the call ended, if not well; what `visit` throws.
    func forEach(_ visit: ([UInt8]) throws -> Void) throws {
        do {
            while let blobs = try take() {
                for blob in blobs { try visit(blob) }
            }
        } catch {
            state.withLock { $0.call }?.cancel()
            throw error
        }
    }

    /// What has come; nil at the end.
    private func take() throws -> [[UInt8]]? {
        let (blobs, resuming, end): ([[UInt8]], ClientCall?, RPCStatus?) = state.wait { state in
            if state.waiting.isEmpty { return state.end.map { ([], nil, $0) } }
            defer {
                state.waiting = []
                state.waitingBytes = 0
                state.isPaused = false
            }
            return (state.waiting, state.isPaused ? state.call : nil, nil)
        }
        resuming?.resumeReading()
        if let end, !end.isOK { throw end }
        return end == nil ? blobs : nil
    }
}
