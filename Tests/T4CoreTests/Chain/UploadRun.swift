import Logging
import T4Protocols
import Testing

@testable import T4Core

/// An uploader with its thread, and what it said.
final class UploadRun: Sendable {
    struct Events {
        /// Last index of each batch that was released, in that order.
        var released: [UInt64] = []
        /// The same of batches that were refused.
        var refused: [UInt64] = []
        var failures: [String] = []
        var hasEnded = false
        /// Pauses of that age are held: they end when the test says so.
        var heldAges: [FirstValue<Void>] = []
        /// What was read again of the local log.
        var readBack: [ClosedRange<UInt64>] = []
        var backoffCount = 0
    }

    static let age = Duration.seconds(10)
    let uploader: LogUploader
    let events: Monitor<Events>
    private let thread: SystemThread

    /// - Parameter onEvent: Told whenever something was released, refused or failed.
    init(
        _ store: any ObjectStore, term: UInt64 = 1, end: LogPosition = .zero, endTerm: UInt64? = nil,
        isSynchronous: Bool = true, sizeMax: Int = 50 << 20, memoryMax: Int = 32 << 20,
        onEvent: @escaping @Sendable () -> Void = {}
    ) {
        let events = Monitor(Events())
        self.events = events
        var settings = LogUploader.Settings()
        settings.isSynchronous = isSynchronous
        settings.sizeMax = sizeMax
        settings.memoryMax = memoryMax
        settings.ageMax = UploadRun.age
        let timer = BackoffTimer(clock: BootClock()) { duration in
            guard duration == UploadRun.age else {
                events.withLock { $0.backoffCount += 1 }
                events.broadcast()
                await Task.yield()
                return
            }
            let end = FirstValue<Void>()
            events.withLock { $0.heldAges.append(end) }
            events.broadcast()
            await end.wait()
        }
        let uploader = LogUploader(
            store: store, databaseID: LogFixture.databaseID, term: term, end: end, endTerm: endTerm,
            settings: settings, timer: timer, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            readBack: { indexes in
                events.withLock { $0.readBack.append(indexes) }
                return LogFixture.entries(Int(indexes.lowerBound)...Int(indexes.upperBound))
            },
            onFailure: { failure in
                events.withLock { $0.failures.append(failure.description) }
                events.broadcast()
                onEvent()
            })
        self.uploader = uploader
        self.onEvent = onEvent
        thread = SystemThread(name: "uploader") {
            uploader.run()
            events.withLock { $0.hasEnded = true }
            events.broadcast()
            onEvent()
        }
    }

    private let onEvent: @Sendable () -> Void

    func add(_ indexes: ClosedRange<Int>, term: UInt64 = 1) { add(LogFixture.entries(indexes, term: term)) }

    func add(_ entries: [LogEntry]) {
        let (events, onEvent, index) = (events, onEvent, entries.last?.position.index ?? 0)
        uploader.add(entries) { failure in
            events.withLock { state in
                if failure == nil { state.released.append(index) } else { state.refused.append(index) }
            }
            events.broadcast()
            onEvent()
        }
    }

    var released: [UInt64] { events.withLock { $0.released } }

    /// Waits until that batch is released.
    func waitForRelease(of index: UInt64) {
        events.wait { $0.released.contains(index) ? () : nil }
    }

    /// Waits until `run` has returned after a failure, and says which.
    func waitForFailure() -> String {
        events.wait { $0.hasEnded ? $0.failures.first : nil }
    }

    /// Waits for the pause after which the oldest waiting batch is due, and ends it.
    func passAge() {
        events.wait { $0.heldAges.isEmpty ? nil : $0.heldAges.removeFirst() }.give(())
    }

    /// Stops it and waits for its thread.
    func stop() {
        uploader.stop()
        thread.join()
        for held in events.withLock({ $0.heldAges }) { held.give(()) }
    }
}

/// Checks the log objects of a store: index of the first and last entry, and header term, of each.
func expect(_ base: any ObjectStore, holds expected: [String], at location: SourceLocation = #_sourceLocation) throws {
    let store = BlockingStore(base)
    var texts: [String] = []
    try store.list(StoreLayout.log) { info in
        let object = try LogObject(store.get(info.key).bytes, key: info.key, databaseID: LogFixture.databaseID)
        texts.append("\(object.header.firstIndex)-\(object.end.index) of \(object.header.term)")
    }
    #expect(texts == expected, sourceLocation: location)
}

/// All entries of the chain.
func chain(_ store: BlockingStore) throws -> (entries: [LogEntry], end: LogChain.End) {
    var entries: [LogEntry] = []
    let end = try LogChain(store, databaseID: LogFixture.databaseID).read(after: .zero) { entry in
        entries.append(entry)
        return .next
    }
    return (entries, end)
}
