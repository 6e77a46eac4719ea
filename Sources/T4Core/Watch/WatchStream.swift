/// The watches of one client stream. Usable from any thread; messages leave through `drain` in order.
package final class WatchStream: Sendable {
    private let hub: WatchHub
    private let id: Int

    init(hub: WatchHub, id: Int) {
        self.hub = hub
        self.id = id
    }

    deinit { hub.close(id) }

    /// Begins a watch. The answer, and whatever follows, comes through the queue.
    package func create(_ spec: WatchSpec) -> WatchCreation { hub.create(spec, on: id) }

    /// Queues the answer to a creation that the caller refuses itself, for example for lack of permission.
    package func refuse(_ reason: WatchEnd) { hub.refuse(reason, on: id) }

    /// Ends a watch and queues the answer, behind what was queued for it. No answer for an unknown id.
    package func cancel(_ id: Int64) { hub.cancel(id, on: self.id) }

    /// Asks for one progress message for all watches, with id -1.
    ///
    /// It is queued once every watch of the stream has caught up and the published revision has reached every watch's
    /// start; requests that wait at the same time are answered once. Nothing comes when there is no watch.
    package func requestProgress() { hub.requestProgress(on: id) }

    /// Takes the next messages, until they pass `maxBytes` (an estimate of memory), at least one if there is any.
    package func drain(maxBytes: Int) -> [WatchDelivery] { hub.drain(id, maxBytes: maxBytes) }

    /// What waits to be drained. Events are bounded by the hub; answers are bounded only if the caller reads no
    /// further requests while too many messages wait.
    package var backlog: (messages: Int, bytes: Int) { hub.backlog(id) }

    /// Ends all watches without a message and drops the queue; safe twice.
    package func close() { hub.close(id) }
}
