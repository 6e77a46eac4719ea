import Glibc

/// One thread that runs the jobs it is given, one after the other.
///
/// Sendable because all its state is guarded by `mutex`, a POSIX mutex, which any thread may lock.
final class WorkerThread: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [@Sendable () -> Void] = []
    private var isClosing = false
    private var thread: pthread_t?

    init() throws(LogError) {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
        var created = pthread_t()
        let box = Unmanaged.passRetained(self)
        let result = pthread_create(
            &created, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<WorkerThread>.fromOpaque(argument).takeRetainedValue().work()
                return nil
            }, box.toOpaque())
        guard result == 0 else {
            box.release()
            throw LogError(.ioFailed, "pthread_create: \(String(cString: strerror(result)))")
        }
        thread = created
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Queues a job; it is dropped if the thread was closed.
    func run(_ job: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(mutex)
        if !isClosing { jobs.append(job) }
        pthread_cond_signal(changed)
        pthread_mutex_unlock(mutex)
    }

    /// Runs what is queued and ends the thread; safe to call again.
    func close() {
        pthread_mutex_lock(mutex)
        isClosing = true
        let joined = thread
        thread = nil
        pthread_cond_signal(changed)
        pthread_mutex_unlock(mutex)
        if let joined { pthread_join(joined, nil) }
    }

    private func work() {
        while let job = nextJob() { job() }
    }

    private func nextJob() -> (@Sendable () -> Void)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while jobs.isEmpty && !isClosing { pthread_cond_wait(changed, mutex) }
        return jobs.isEmpty ? nil : jobs.removeFirst()
    }
}
