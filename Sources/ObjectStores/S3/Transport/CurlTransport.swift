import Synchronization

/// Sends HTTP requests through libcurl; one thread with a multi handle serves all of them.
///
/// Connections are kept and used again. A caller that waits blocks no thread.
final class CurlTransport: Sendable {
    private let loop: CurlLoop

    /// Starts the thread.
    /// - Parameter connectionsMax: Requests on their way at once; the others wait in order.
    init(options: CurlOptions, connectionsMax: Int) throws(TransportFailure) {
        loop = try CurlLoop(options: options, connectionsMax: connectionsMax)
    }

    deinit { loop.stop(nil) }

    /// Sends a request and waits for the whole answer, whatever its status.
    /// - Parameter isCancellable: False for what must happen although the task was cancelled; its timeouts hold.
    func send(_ request: HTTPRequest, isCancellable: Bool = true) async throws(TransportFailure) -> HTTPResponse {
        guard isCancellable else {
            return try await loop.run(request, id: loop.newID()).get()
        }
        let id = loop.newID()
        let result = await withTaskCancellationHandler {
            await loop.run(request, id: id)
        } onCancel: {
            loop.cancel(id)
        }
        loop.forget(id)
        return try result.get()
    }

    /// Ends what is on its way with `.closed`, and the thread. Safe twice.
    func close() async {
        await withCheckedContinuation { loop.stop($0) }
    }
}

/// A request that was handed to the thread; its continuation is resumed exactly once, by the thread.
struct CurlJob: Sendable {
    let id: UInt64
    let request: HTTPRequest
    let deadline: ContinuousClock.Instant
    let continuation: CheckedContinuation<Result<HTTPResponse, TransportFailure>, Never>

    func finish(_ result: Result<HTTPResponse, TransportFailure>) { continuation.resume(returning: result) }

    func fail(_ reason: TransportFailure.Reason, wasSent: Bool, _ description: String) {
        finish(.failure(TransportFailure(reason: reason, wasSent: wasSent, description: description)))
    }
}
