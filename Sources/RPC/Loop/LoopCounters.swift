import Synchronization

/// Counters of one event loop: written by the loop alone, read by anyone, so no locked instruction is needed.
final class LoopCounters: Sendable {
    let connectionsAccepted = Atomic<Int>(0)
    let connectionsClosed = Atomic<Int>(0)
    let connectionsRefused = Atomic<Int>(0)
    let callsStarted = Atomic<Int>(0)
    let callsEnded = Atomic<Int>(0)
    let callsFailed = Atomic<Int>(0)
    let streamsOpen = Atomic<Int>(0)
    let bytesReceived = Atomic<Int>(0)
    let bytesSent = Atomic<Int>(0)

    /// Adds; to be called on the loop only.
    @inline(__always)
    static func add(_ amount: Int, to counter: borrowing Atomic<Int>) {
        counter.store(counter.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
