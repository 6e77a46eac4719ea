import CCurl

/// What the thread of a `CurlLoop` has in hand: requests that wait for a connection and transfers under way.
struct CurlWork {
    private let multi: UnsafeMutableRawPointer
    private let options: CurlOptions
    private let connectionsMax: Int
    private var waiting: [CurlJob] = []
    /// By easy handle.
    private var running: [UnsafeMutableRawPointer: (job: CurlJob, transfer: CurlTransfer)] = [:]
    private var finished: [(job: CurlJob, result: Result<HTTPResponse, TransportFailure>)] = []

    init(multi: UnsafeMutableRawPointer, options: CurlOptions, connectionsMax: Int) {
        self.multi = multi
        self.options = options
        self.connectionsMax = connectionsMax
    }

    mutating func add(_ jobs: [CurlJob]) { waiting += jobs }

    mutating func cancel(_ ids: [UInt64]) {
        for id in ids {
            if let index = waiting.firstIndex(where: { $0.id == id }) {
                fail(waiting.remove(at: index), .cancelled, wasSent: false, "cancelled before it was sent")
            } else if let handle = running.first(where: { $0.value.job.id == id })?.key {
                abort(handle, .cancelled, "cancelled on its way")
            }
        }
    }

    /// Starts what there is room for and moves bytes without waiting.
    /// - Returns: Why libcurl cannot go on; nil normally.
    mutating func step() -> String? {
        startWaiting()
        var count: Int32 = 0
        let code = curl_multi_perform(multi, &count)
        collectDone()
        return problem(code)
    }

    /// Waits for bytes, a timeout or a wake-up.
    func wait() -> String? {
        // Requests that wait for a connection have deadlines that libcurl knows nothing of.
        let limitMilliseconds: Int32 = waiting.isEmpty ? 60_000 : 250
        return problem(curl_multi_poll(multi, nil, 0, limitMilliseconds, nil))
    }

    /// What ended since the last call.
    mutating func takeFinished() -> [(job: CurlJob, result: Result<HTTPResponse, TransportFailure>)] {
        defer { finished.removeAll() }
        return finished
    }

    /// Ends everything with `.closed`.
    mutating func endAll(_ description: String) {
        for handle in Array(running.keys) { abort(handle, .closed, description) }
        for job in waiting { fail(job, .closed, wasSent: false, description) }
        waiting.removeAll()
    }

    private mutating func startWaiting() {
        let now = ContinuousClock.now
        var kept: [CurlJob] = []
        for job in waiting {
            if job.deadline <= now {
                fail(job, .timedOut, wasSent: false, "no free connection in time; \(running.count) are in use")
            } else if running.count < connectionsMax {
                start(job, timeLeft: job.deadline - now)
            } else {
                kept.append(job)
            }
        }
        waiting = kept
    }

    private mutating func start(_ job: CurlJob, timeLeft: Duration) {
        do throws(TransportFailure) {
            let transfer = try CurlTransfer(job.request, options: options, timeLeft: timeLeft)
            let code = curl_multi_add_handle(multi, transfer.handle)
            guard code == CURLM_OK else {
                return fail(job, .broken, wasSent: false, String(cString: curl_multi_strerror(code)))
            }
            running[transfer.handle] = (job, transfer)
        } catch {
            finished.append((job, .failure(error)))
        }
    }

    private mutating func collectDone() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle else { continue }
            // The message is gone once its handle is removed.
            let code = message.pointee.data.result
            guard let (job, transfer) = running.removeValue(forKey: handle) else { continue }
            curl_multi_remove_handle(multi, handle)
            finished.append((job, transfer.result(code)))
        }
    }

    private mutating func abort(
        _ handle: UnsafeMutableRawPointer, _ reason: TransportFailure.Reason, _ description: String
    ) {
        guard let (job, _) = running.removeValue(forKey: handle) else { return }
        // Asked before the removal; a byte that is underway by then counts as sent.
        var sent = 0
        checkCurl(t4_curl_get_long(handle, CURLINFO_REQUEST_SIZE, &sent))
        curl_multi_remove_handle(multi, handle)
        fail(job, reason, wasSent: sent > 0, description)
    }

    private mutating func fail(
        _ job: CurlJob, _ reason: TransportFailure.Reason, wasSent: Bool, _ description: String
    ) {
        finished.append(
            (job, .failure(TransportFailure(reason: reason, wasSent: wasSent, description: description))))
    }

    private func problem(_ code: CURLMcode) -> String? {
        code == CURLM_OK ? nil : "libcurl: \(String(cString: curl_multi_strerror(code)))"
    }
}
