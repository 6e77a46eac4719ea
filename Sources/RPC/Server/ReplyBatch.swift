/// Answers gathered on a thread of one's own and handed over together: one lock and at most one wake-up for each
/// event loop, one flush for each connection.
///
/// Order is kept for each call. What is gathered is sent by `submit`, not before.
public struct ReplyBatch {
    private var loops: [(loop: LoopContext, items: [(RPCCall, CallWork)])] = []

    /// An empty batch.
    public init() {}

    /// Answers a unary call with success.
    public mutating func respond(_ call: ServerCall, _ message: [UInt8]) {
        if call.claimAnswer() { add(call, .finish(message, .ok)) }
    }

    /// Answers a unary call with an error.
    public mutating func fail(_ call: ServerCall, _ status: RPCStatus) {
        if call.claimAnswer() { add(call, .finish(nil, status)) }
    }

    /// Sends one message of a streaming call.
    public mutating func send(_ call: ServerCall, _ message: [UInt8]) {
        guard !call.isClosed else { return }
        call.noteQueued(message)
        add(call, .send(message))
    }

    /// Ends a streaming call after what has been sent.
    public mutating func finish(_ call: ServerCall, _ status: RPCStatus = .ok) {
        if call.claimAnswer() { add(call, .finish(nil, status)) }
    }

    /// Hands everything over and empties the batch.
    public mutating func submit() {
        for index in loops.indices {
            loops[index].loop.post(loops[index].items)
            loops[index].items = []
        }
    }

    private mutating func add(_ call: RPCCall, _ work: CallWork) {
        if let index = loops.firstIndex(where: { $0.loop === call.loop }) {
            loops[index].items.append((call, work))
        } else {
            loops.append((call.loop, [(call, work)]))
        }
    }
}
