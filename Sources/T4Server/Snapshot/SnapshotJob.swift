import RPC
import Synchronization
import T4Core
import T4Protocols

/// What is asked for.
enum SnapshotContent: Sendable {
    /// A file of etcd's own engine, with its hash behind it.
    case etcd
    /// A backup, which has one in it.
    case backup
}

/// One call of `Snapshot` on its thread: makes the file from one engine snapshot, lets go of that, and sends the file as
/// fast as the client takes it.
final class SnapshotJob: Sendable {
    private struct State {
        var isCancelled = false
        /// The call may have become writable since the thread last looked.
        var isAwake = false
    }

    private struct Made: ~Copyable {
        let file: TemporaryFile
        /// Of the database in it.
        let revision: Revision
    }

    /// Bytes of the file in one message, as etcd has it.
    static let blobBytes = 32 * 1024

    private let content: SnapshotContent
    private let call: ServerCall
    private let context: ServiceContext
    private let state = Monitor(State())

    init(_ content: SnapshotContent, _ call: ServerCall, _ context: ServiceContext) {
        self.content = content
        self.call = call
        self.context = context
    }

    /// Ends the work soon; nothing is sent any more. From any thread.
    func cancel() {
        state.withLock { $0.isCancelled = true }
        state.broadcast()
    }

    /// The call takes more messages. From any thread.
    func becameWritable() {
        state.withLock { $0.isAwake = true }
        state.broadcast()
    }

    /// Does everything but finishing the call; blocks.
    /// - Returns: What to finish the call with; nil after a cancellation, when it has ended.
    func run() -> RPCStatus? {
        do {
            switch content {
            case .etcd: try send(makeFile())
            case .backup: try send(makeBackup())
            }
            return .ok
        } catch is CancellationError {
            return nil
        } catch let error as LogError where error.code == .noSpace {
            return RPCStatus(.resourceExhausted, "t4: no room on disk to make a snapshot: \(error)")
        } catch {
            return RPCStatus(describing: error)
        }
    }

    /// Tells the client that it has everything, or why it has not.
    func finish(_ status: RPCStatus) { call.finish(status) }

    private func makeFile() throws -> Made {
        try checkCancellation()
        let node = context.node
        // Before the snapshot: whoever compares finds the state at this place of the log or ahead of it.
        let position = SnapshotFile.Position(term: node.term, index: node.published.appliedIndex)
        return try node.longReads.hold {
            let reader = try node.reading { $0 }
            let file = try SnapshotFile.write(
                reader, position: position, directory: node.temporaryFilesDirectory,
                checkCancellation: checkCancellation)
            return Made(file: file, revision: reader.meta.revision)
        }
    }

    private func makeBackup() throws -> Made {
        let node = context.node
        let growing = Mutex<TemporaryFile?>(try TemporaryFile(in: node.temporaryFilesDirectory))
        let report = try node.writeBackup { bytes in
            try self.checkCancellation()
            try growing.withLock { try $0?.append(bytes.span.bytes) }
        }
        guard var file = growing.withLock({ $0.take() }) else { preconditionFailure("nobody else takes it") }
        try file.flush()
        return Made(file: file, revision: report.revision)
    }

    private func checkCancellation() throws {
        if state.withLock({ $0.isCancelled }) { throw CancellationError() }
    }

    /// The file in pieces; at the end of etcd's the SHA-256 of it, with which the client checks what it has.
    private func send(_ made: borrowing Made) throws {
        let total = made.file.byteCount
        let digest = SHA256()
        var sent = 0
        while sent < total {
            try waitUntilWritable()
            let blob = try made.file.read(SnapshotJob.blobBytes, at: sent)
            digest.update(blob.span.bytes)
            sent += blob.count
            send(blob, remaining: total - sent, made.revision)
        }
        guard content == .etcd else { return }
        try waitUntilWritable()
        send(digest.digest(), remaining: 0, made.revision)
    }

    private func waitUntilWritable() throws {
        while !call.isWritable {
            state.wait { state in
                defer { state.isAwake = false }
                return state.isAwake || state.isCancelled ? () : nil
            }
            try checkCancellation()
        }
        try checkCancellation()
    }

    private func send(_ blob: [UInt8], remaining: Int, _ revision: Revision) {
        let response = SnapshotResponse(revision: revision, remainingBytes: UInt64(remaining), blob: blob)
        var bytes: [UInt8] = []
        response.append(to: &bytes, from: context.origin)
        call.send(bytes)
    }
}

/// `etcdserverpb.SnapshotResponse`.
struct SnapshotResponse {
    /// Of the database when the snapshot was taken.
    var revision: Revision
    /// Bytes of the file behind this part.
    var remainingBytes: UInt64
    var blob: [UInt8]

    func append(to bytes: inout [UInt8], from origin: ResponseOrigin) {
        let header = ResponseHeader(origin: origin, revision: revision)
        let version = Array(SnapshotFile.storageVersion.utf8)
        let size =
            header.fieldSize + ProtoSize.field(remainingBytes) + ProtoSize.bytes(blob.count)
            + ProtoSize.bytes(version.count)
        bytes.appendMessage(size: size) { output in
            header.put(to: &output)
            output.put(remainingBytes, field: 2)
            output.put(blob.span.bytes, field: 3)
            output.put(version.span.bytes, field: 4)
        }
    }
}
