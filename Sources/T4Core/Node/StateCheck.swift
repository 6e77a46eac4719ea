import Logging
import Synchronization
import T4Protocols

/// Compares the rows of the engine with their digest, at the start and now and then, and tells of damage.
final class StateCheck: Sendable {
    private struct Stopping: Error {}

    private let interval: Duration?
    private let look: @Sendable () throws -> EngineState
    private let reads: LongReads
    private let onDamage: @Sendable (DamagedEngine) -> Void
    private let clock: any ElapsedClock
    private let logger: Logger
    private let isStopping = Atomic(false)
    /// When the next one is due.
    private let due: Mutex<Duration>
    private let worker = Mutex<SignalledThread?>(nil)

    /// - Parameters:
    ///   - interval: From the end of one check to the next; nil for none at all.
    ///   - reads: Hears that views are held.
    ///   - look: Gives a view of the engine.
    ///   - onDamage: Hears of each check that finds the rows damaged.
    init(
        every interval: Duration?, clock: any ElapsedClock = BootClock(), reads: LongReads = LongReads(),
        logger: Logger,
        look: @escaping @Sendable () throws -> EngineState, onDamage: @escaping @Sendable (DamagedEngine) -> Void
    ) {
        self.interval = interval
        self.clock = clock
        self.logger = logger
        self.look = look
        self.reads = reads
        self.onDamage = onDamage
        due = Mutex(clock.now)
    }

    /// Starts the thread that checks; it holds this until `stop`.
    func start() {
        guard interval != nil else { return }
        let thread = SignalledThread(name: "t4-check") { self.step() }
        worker.withLock { $0 = thread }
        thread.start()
    }

    /// Ends the thread, and soon a check under way.
    func stop() {
        isStopping.store(true, ordering: .relaxed)
        worker.withLock { $0 }?.stop()
    }

    /// Checks if it is time. Called by the thread, one at a time.
    func step() -> SignalledThread.Next {
        guard let interval else { return .whenWoken }
        let left = due.withLock { $0 } - clock.now
        guard left <= .zero else { return .after(left) }
        do {
            try reads.hold {
                try look().verify { rows in
                    var rows = rows
                    while try rows.next() != nil {
                        if isStopping.load(ordering: .relaxed) { throw Stopping() }
                    }
                }
            }
            logger.debug("the rows of the engine add up to their digest")
        } catch let damage as DamagedEngine {
            onDamage(damage)
        } catch is Stopping {
            return .whenWoken
        } catch {
            logger.warning("the rows of the engine could not be checked: \(error)")
        }
        due.withLock { $0 = clock.now + interval }
        return .after(interval)
    }
}
