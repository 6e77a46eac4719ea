import CCurl
import Glibc
import Synchronization

/// The thread behind `CurlTransport` and the queue that leads to it.
final class CurlLoop: Sendable {
    /// Requests that may wait for the thread; more are refused.
    static let queueLengthMax = 4096

    /// A pointer that crosses threads: of all calls on a multi handle only `curl_multi_wakeup` "can be called from any
    /// thread", and it is the only one made off the loop's thread, under the lock that also guards the end of the handle.
    private struct MultiHandle: @unchecked Sendable {
        let raw: UnsafeMutableRawPointer
    }

    private struct Inbox {
        /// Nil once the thread has ended.
        var multi: MultiHandle?
        var jobs: [CurlJob] = []
        /// Handed over and not finished.
        var unfinished: Set<UInt64> = []
        /// Cancelled among `unfinished`, for the thread to end.
        var cancelled: [UInt64] = []
        /// Cancelled before they were handed over.
        var cancelledEarly: Set<UInt64> = []
        var isStopping = false
        var stopWaiters: [CheckedContinuation<Void, Never>] = []

        func wake() {
            guard let multi else { return }
            curl_multi_wakeup(multi.raw)
        }
    }

    private let options: CurlOptions
    private let connectionsMax: Int
    private let inbox: Mutex<Inbox>
    private let lastID = Atomic<UInt64>(0)

    /// libcurl's process-wide start; thread-safe once it runs behind a static.
    private static let globalStart: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    init(options: CurlOptions, connectionsMax: Int) throws(TransportFailure) {
        guard Self.globalStart == CURLE_OK, let multi = curl_multi_init() else {
            throw TransportFailure(reason: .broken, wasSent: false, description: "libcurl cannot start")
        }
        // As many kept as may be in use, so that none is closed only to be opened again.
        t4_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, connectionsMax)
        self.options = options
        self.connectionsMax = connectionsMax
        inbox = Mutex(Inbox(multi: MultiHandle(raw: multi)))
        startThread()
    }

    func newID() -> UInt64 { lastID.add(1, ordering: .relaxed).newValue }

    /// Hands a request over and waits for its end.
    func run(_ request: HTTPRequest, id: UInt64) async -> Result<HTTPResponse, TransportFailure> {
        let deadline = ContinuousClock.now + (request.timeouts ?? options.timeouts).total
        return await withCheckedContinuation { continuation in
            let job = CurlJob(id: id, request: request, deadline: deadline, continuation: continuation)
            let refusal: (TransportFailure.Reason, String)? = inbox.withLock { inbox in
                if inbox.isStopping { return (.closed, "the store is closed") }
                if inbox.cancelledEarly.contains(id) { return (.cancelled, "cancelled before it was sent") }
                if inbox.unfinished.count >= Self.queueLengthMax + connectionsMax {
                    return (.queueFull, "\(inbox.unfinished.count) requests are waiting already")
                }
                inbox.jobs.append(job)
                inbox.unfinished.insert(id)
                inbox.wake()
                return nil
            }
            if let (reason, text) = refusal { job.fail(reason, wasSent: false, text) }
        }
    }

    func cancel(_ id: UInt64) {
        inbox.withLock { inbox in
            if inbox.unfinished.contains(id) {
                inbox.cancelled.append(id)
                inbox.wake()
            } else {
                inbox.cancelledEarly.insert(id)
            }
        }
    }

    /// After the end of a request that may have been cancelled.
    func forget(_ id: UInt64) {
        inbox.withLock { _ = $0.cancelledEarly.remove(id) }
    }

    /// Ends the thread; resumes `waiter` when it has ended.
    func stop(_ waiter: CheckedContinuation<Void, Never>?) {
        let hasEnded = inbox.withLock { inbox in
            inbox.isStopping = true
            guard inbox.multi != nil else { return true }
            if let waiter { inbox.stopWaiters.append(waiter) }
            inbox.wake()
            return false
        }
        if hasEnded { waiter?.resume() }
    }

    // MARK: - The thread

    private func startThread() {
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                let loop = Unmanaged<CurlLoop>.fromOpaque(argument!).takeRetainedValue()
                // OpenSSL writes to sockets in its own way; a closed one must be an error, not a signal.
                var signals = sigset_t()
                sigemptyset(&signals)
                sigaddset(&signals, SIGPIPE)
                pthread_sigmask(SIG_BLOCK, &signals, nil)
                loop.main()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(code == 0, "a thread could not be started: error \(code)")
        pthread_detach(thread)
    }

    private func main() {
        let multi = inbox.withLock { $0.multi! }.raw
        var work = CurlWork(multi: multi, options: options, connectionsMax: connectionsMax)
        var failure: String?
        while failure == nil {
            let (jobs, cancelled, isStopping) = inbox.withLock { inbox in
                defer {
                    inbox.jobs.removeAll()
                    inbox.cancelled.removeAll()
                }
                return (inbox.jobs, inbox.cancelled, inbox.isStopping)
            }
            work.add(jobs)
            work.cancel(cancelled)
            if isStopping { break }
            failure = work.step()
            let finished = work.takeFinished()
            inbox.withLock { $0.unfinished.subtract(finished.lazy.map(\.job.id)) }
            for (job, result) in finished { job.finish(result) }
            if failure == nil && finished.isEmpty { failure = work.wait() }
        }
        end(work, failure)
    }

    /// Ends everything that is left, then the multi handle, then lets the waiters go.
    private func end(_ work: consuming CurlWork, _ failure: String?) {
        let late = inbox.withLock { inbox in
            inbox.isStopping = true
            return inbox.jobs
        }
        work.add(late)
        work.endAll(failure ?? "the store was closed")
        for (job, result) in work.takeFinished() { job.finish(result) }
        let waiters = inbox.withLock { inbox in
            if let multi = inbox.multi { curl_multi_cleanup(multi.raw) }
            inbox.multi = nil
            inbox.jobs.removeAll()
            inbox.unfinished.removeAll()
            return inbox.stopWaiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
