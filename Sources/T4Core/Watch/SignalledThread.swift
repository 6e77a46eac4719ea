import Glibc
import T4Protocols

/// A thread that does a step of work whenever it is woken or a deadline has passed.
///
/// The step runs only on this thread, one at a time. A wake during a step causes another step after it: none is lost.
final class SignalledThread: Sendable {
    /// What the thread does after a step.
    enum Next: Sendable {
        /// The next step at once.
        case again
        /// The next step when woken, at the latest after this time.
        case after(Duration)
        /// The next step when woken.
        case whenWoken
    }

    private let core: Core

    init(name: String, step: @escaping @Sendable () -> Next) {
        core = Core(name: name, step: step)
    }

    /// Starts the thread; without effect the second time and after `stop`.
    func start() { core.start() }

    /// Causes a step soon; safe from any thread, and before `start`.
    func wake() { core.wake() }

    /// Waits for the running step and ends the thread; safe twice, not allowed in a step.
    func stop() { core.stop() }
}

/// The part of the thread that the thread itself holds.
///
/// Unchecked because of the pthread objects, which POSIX makes for sharing, at addresses that do not move; the other
/// variables are touched only with `mutex` held.
private final class Core: @unchecked Sendable {
    private let name: String
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var step: (@Sendable () -> SignalledThread.Next)?
    private var thread: pthread_t?
    private var isWoken = false
    private var isStopping = false
    private var isEnded = false

    init(name: String, step: @escaping @Sendable () -> SignalledThread.Next) {
        self.name = name
        self.step = step
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func start() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard thread == nil, !isStopping else { return }
        var created = pthread_t()
        let held = Unmanaged.passRetained(self)
        let code = pthread_create(&created, nil, { Core.main($0) }, held.toOpaque())
        guard code == 0 else {
            held.release()
            fatalError("cannot start thread \(name): error \(code)")
        }
        thread = created
    }

    func wake() {
        pthread_mutex_lock(mutex)
        isWoken = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    func stop() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let isFirst = !isStopping
        isStopping = true
        pthread_cond_broadcast(condition)
        guard let thread else {
            step = nil
            isEnded = true
            return
        }
        precondition(pthread_equal(thread, pthread_self()) == 0, "a thread cannot wait for its own end")
        if isFirst {
            pthread_mutex_unlock(mutex)
            pthread_join(thread, nil)
            pthread_mutex_lock(mutex)
            step = nil
            isEnded = true
            pthread_cond_broadcast(condition)
        } else {
            while !isEnded { pthread_cond_wait(condition, mutex) }
        }
    }

    private static func main(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument else { return nil }
        let core = Unmanaged<Core>.fromOpaque(argument).takeRetainedValue()
        SystemThread.setName(core.name)
        core.run()
        return nil
    }

    private func run() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isStopping, let step {
            isWoken = false
            pthread_mutex_unlock(mutex)
            let next = step()
            pthread_mutex_lock(mutex)
            switch next {
            case .again: break
            case .whenWoken: while !isWoken, !isStopping { pthread_cond_wait(condition, mutex) }
            case .after(let time): wait(atMost: time)
            }
        }
    }

    private func wait(atMost time: Duration) {
        // An hour at most: keeps the arithmetic within range, and an early step does no harm.
        let wait = min(max(time, .zero), .seconds(3600)).components
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        deadline.tv_sec += Int(wait.seconds)
        deadline.tv_nsec += Int(wait.attoseconds / 1_000_000_000)
        if deadline.tv_nsec >= 1_000_000_000 {
            deadline.tv_nsec -= 1_000_000_000
            deadline.tv_sec += 1
        }
        while !isWoken, !isStopping {
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return }
        }
    }
}
