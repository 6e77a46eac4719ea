import RPC
import Synchronization
import T4Core
import T4Protocols

/// How many streams of ranges are open. Each holds a snapshot of the engine, which has a limit of these, and keeps what is
/// overwritten meanwhile on disk.
final class OpenRangeStreams: Sendable {
    static let countMax = 256

    private let count = Atomic(0)

    /// - Returns: False where there are as many as there may be.
    func open() -> Bool {
        let (old, _) = count.add(1, ordering: .relaxed)
        if old < OpenRangeStreams.countMax { return true }
        count.subtract(1, ordering: .relaxed)
        return false
    }

    func close() { count.subtract(1, ordering: .relaxed) }
}

/// `KV.RangeStream`: the answer to a range in parts, as fast as the client takes them; header, more and count come with the
/// last one.
final class RangeStreamWork: PatientWork {
    private let call: ServerCall
    private let context: ServiceContext
    private let open: OpenRangeStreams
    /// Holds the snapshot; nil before the beginning and after the end.
    private var walk: RangeWalk?
    /// Nil where nobody is asked who they are.
    private var generation: UInt64?

    init(_ call: ServerCall, _ context: ServiceContext, _ open: OpenRangeStreams) {
        self.call = call
        self.context = context
        self.open = open
    }

    func needsNewest(_ request: RawSpan) throws -> Bool { try !RangeRequest(protobuf: request).serializable }

    func begin(_ request: RawSpan) throws {
        let request = try RangeRequest(protobuf: request)
        try request.validate()
        guard request.isInKeyOrder else {
            throw RPCStatus(.unimplemented, "RangeStream does not support custom sort orders")
        }
        guard !request.hasFilters else {
            throw RPCStatus(.unimplemented, "RangeStream does not support revision filters")
        }
        let walk = try context.reading(call) { authorization, _ in
            try authorization.check(request)
        } _: { reader in
            try RangeWalk(request, on: reader)
        }
        guard open.open() else { throw DatabaseError(.tooManyRequests) }
        self.walk = walk
        generation = context.isAuthOn ? context.node.auth.generation : nil
        proceed()
    }

    func cancel() { end() }

    func proceed() {
        do {
            while walk != nil, call.isWritable { try sendPart() }
        } catch {
            end()
            call.finish(RPCStatus(describing: error))
        }
    }

    private func sendPart() throws {
        guard var walk else { return }
        var part = RangeResponseWriter()
        let partBytes = context.settings.requestSizeMax
        let summary = try walk.next { key, header, value in
            part.append(
                key: key, createRevision: header.create.rawValue, modRevision: header.mod.rawValue,
                version: header.version, lease: header.lease, value: value)
            return part.byteCount < partBytes ? .next : .stop
        }
        guard let summary else {
            self.walk = walk
            return call.send(part.finishPart())
        }
        let revision = walk.reader.meta.revision
        end()
        // As etcd: who may read was asked at the beginning, and is told if that has changed since.
        if let generation, generation != context.node.auth.generation { throw DatabaseError(.authRevisionOld) }
        call.send(part.finishPart(last: (ResponseHeader(origin: context.origin, revision: revision), summary)))
        call.finish(.ok)
    }

    private func end() {
        guard walk != nil else { return }
        walk = nil
        open.close()
    }
}
