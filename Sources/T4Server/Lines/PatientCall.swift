import RPC
import T4Core

/// What a call of one request does that may wait for long. All on the call's event loop.
protocol PatientWork: AnyObject {
    /// Whether everything that was acknowledged before has to be visible here when it begins.
    func needsNewest(_ request: RawSpan) throws -> Bool
    /// The request has come; it is lent for the duration of this.
    func begin(_ request: RawSpan) throws
    /// The call was woken, or more can be sent.
    func proceed()
    /// The call is over before it was finished.
    func cancel()
}

extension PatientWork {
    func needsNewest(_ request: RawSpan) throws -> Bool { false }
}

/// Has a patient work done for a call. Unlike the handler of a unary call it hears when the client gives up.
final class PatientCall: ServerStreamHandler, @unchecked Sendable {
    // Unchecked: everything that changes is touched on the event loop only.

    private let call: ServerCall
    private let context: ServiceContext
    private let work: any PatientWork
    private var request: [UInt8]?
    private var hasBegun = false

    init(_ call: ServerCall, _ context: ServiceContext, _ work: any PatientWork) {
        self.call = call
        self.context = context
        self.work = work
    }

    func onMessage(_ message: RawSpan) {
        guard request == nil else {
            return call.finish(RPCStatus(.internal, "cardinality violation: several requests, one is expected"))
        }
        request = message.withUnsafeBytes { Array($0) }
    }

    func onHalfClose() {
        guard let request else {
            return call.finish(RPCStatus(.internal, "cardinality violation: no request, one is expected"))
        }
        call.answeringErrors {
            guard try work.needsNewest(request.span.bytes) else { return try begin(request) }
            context.whenCurrent(call) { try self.begin(request) }
        }
    }

    private func begin(_ request: [UInt8]) throws {
        hasBegun = true
        try work.begin(request.span.bytes)
    }

    func onCancel(_ reason: CancelReason) { if hasBegun { work.cancel() } }
    func onWritable() { if hasBegun { work.proceed() } }
    func onWake() { if hasBegun { work.proceed() } }
}

extension ServiceContext {
    /// A stream for watches of the server's own, which wakes a call.
    func openWatches(for call: ServerCall) throws -> WatchStream {
        guard let stream = node.watches.openStream(sink: { call.wake() }) else { throw EtcdErrors.stopped }
        return stream
    }
}
