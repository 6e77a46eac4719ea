import NIOCore
import Synchronization

/// Work for a call that another thread hands to the call's event loop.
enum CallWork: Sendable {
    case send([UInt8])
    /// Ends a call: a last message, if any, and the status.
    case finish([UInt8]?, RPCStatus)
    case halfClose
    case cancel
    case setReading(Bool)
    /// Calls the handler's `onWake`.
    case wake
    /// Runs something for the call on its loop, unless the call has ended.
    case run(@Sendable () -> Void)
    /// A client's call leaves.
    case start
}

/// What the connections of one event loop share: the mailbox for answers from other threads, the deadlines, the
/// connections that have something to send, and the buffer in which output is gathered.
///
/// Everything but `post` is confined to the loop.
final class LoopContext: @unchecked Sendable {
    private struct Mailbox {
        var items: [(RPCCall, CallWork)] = []
        var isWakeupPending = false
    }

    let eventLoop: any EventLoop
    let counters = LoopCounters()
    let calls: CallCounters
    let deadlines = DeadlineWheel()
    private let mailbox = Mutex(Mailbox())
    private var taken: [(RPCCall, CallWork)] = []
    private var dirty: [HTTP2Connection] = []
    private var isFlushScheduled = false
    private var isInBatch = false
    /// Where the latest call of a client came from, and how many came from there one after the other.
    private var latestCaller: ObjectIdentifier?
    private(set) var callsInARow = 0
    /// Output is gathered here, then written; one buffer serves all connections of the loop.
    var output = ByteBuffer()
    /// Bytes of incomplete requests and of unsent answers, of all connections of the loop.
    private(set) var bufferedBytes = 0
    /// Those bytes of this loop and of the others.
    private let memory: MemoryBudget
    /// What `memory` has been told of.
    private var publishedBytes = 0
    /// Called at the end of a turn in which memory was used up further, or in which there was some again for those that
    /// wait for it.
    var relieve: (() -> Void)?
    /// Requests or streams wait for memory.
    var isRoomWanted = false
    /// How scarce memory was when it was last looked at here.
    private var seenScarcity = Scarcity.none
    private var isReliefScheduled = false
    /// Of the connections of this loop and of the others.
    var openStreams = OpenStreams()
    /// The time when connections were last looked at for what is overdue, without times when the process stood still.
    var sweptAt = NIODeadline.now()
    /// When bytes were read last from a connection with a client.
    var readAt = NIODeadline.now()

    private enum Scarcity: Int {
        case none
        case scarce
        case usedUp
    }

    /// - Parameters:
    ///   - memory: Shared by the loops of a server; by default without a limit.
    ///   - methodCount: Methods of the server; 0 for clients.
    init(
        eventLoop: any EventLoop, memory: MemoryBudget = MemoryBudget(bytesMax: .max, loopCount: 1),
        methodCount: Int = 0
    ) {
        calls = CallCounters(methodCount: methodCount)
        self.eventLoop = eventLoop
        self.memory = memory
    }

    /// A client's call arrives.
    func callBegan(on connection: HTTP2Connection) {
        let caller = ObjectIdentifier(connection)
        if caller == latestCaller {
            callsInARow += 1
        } else {
            latestCaller = caller
            callsInARow = 1
        }
    }

    /// Counts memory that connections take, or give back.
    @inline(__always)
    func buffered(_ change: Int) {
        bufferedBytes += change
        if abs(bufferedBytes - publishedBytes) >= memory.grain { publish() }
    }

    private func publish() {
        let change = bufferedBytes - publishedBytes
        publishedBytes = bufferedBytes
        memory.add(change)
        let scarcity: Scarcity = isMemoryUsedUp ? .usedUp : isMemoryScarce ? .scarce : .none
        let isEased = scarcity.rawValue < seenScarcity.rawValue
        seenScarcity = scarcity
        // All else is left to the looks at an interval: each goes over all connections.
        if scarcity == .usedUp && change > 0 || isEased && isRoomWanted { scheduleRelief() }
    }

    var isMemoryScarce: Bool { memory.isScarce }
    var isMemoryUsedUp: Bool { memory.isUsedUp }

    private func scheduleRelief() {
        guard !isReliefScheduled else { return }
        isReliefScheduled = true
        eventLoop.execute {
            self.isReliefScheduled = false
            self.relieve?()
        }
    }

    // MARK: From any thread

    /// Hands over work; wakes the loop only if no wake-up is on its way.
    func post(_ call: RPCCall, _ work: consuming CallWork) {
        let work = work
        let wake = mailbox.withLock { mailbox in
            mailbox.items.append((call, work))
            defer { mailbox.isWakeupPending = true }
            return !mailbox.isWakeupPending
        }
        if wake { wakeUp() }
    }

    /// Hands over a batch under one lock and with at most one wake-up.
    func post(_ items: [(RPCCall, CallWork)]) {
        guard !items.isEmpty else { return }
        let wake = mailbox.withLock { mailbox in
            if mailbox.items.isEmpty {
                mailbox.items = items
            } else {
                mailbox.items.append(contentsOf: items)
            }
            defer { mailbox.isWakeupPending = true }
            return !mailbox.isWakeupPending
        }
        if wake { wakeUp() }
    }

    private func wakeUp() {
        eventLoop.execute { self.emptyMailbox() }
    }

    // MARK: On the loop

    private func emptyMailbox() {
        mailbox.withLock { mailbox in
            swap(&mailbox.items, &taken)
            mailbox.isWakeupPending = false
        }
        isInBatch = true
        for (call, work) in taken { call.perform(work) }
        isInBatch = false
        taken.removeAll(keepingCapacity: taken.capacity <= 4096)
        flushDirty()
    }

    /// Sees to it that the connection's output is sent soon: at the end of the batch that runs, or of this turn.
    func markDirty(_ connection: HTTP2Connection) {
        dirty.append(connection)
        guard !isInBatch, !isFlushScheduled else { return }
        isFlushScheduled = true
        eventLoop.execute {
            self.isFlushScheduled = false
            self.flushDirty()
        }
    }

    /// Sends the output of every connection that has some.
    func flushDirty() {
        while !dirty.isEmpty {
            let connections = dirty
            dirty.removeAll(keepingCapacity: true)
            for connection in connections { connection.drainIfDirty() }
        }
    }
}
