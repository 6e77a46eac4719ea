import Synchronization
import T4Protocols

extension Node {
    /// Every change of the keys with a prefix, one element per revision, in order, without gap or repetition.
    ///
    /// The sequence waits for changes; it ends when the node stops. One task iterates it. A slow reader is served from
    /// history and holds no memory.
    /// - Parameters:
    ///   - prefix: Empty for all keys.
    ///   - from: First revision; nil for what comes after this call.
    ///   - previous: Loads the versions before, where compaction has left them.
    public func changes(prefix: [UInt8] = [], from: Revision? = nil, previous: Bool = false) -> ChangeFeed {
        let spec = WatchSpec(
            key: prefix.isEmpty ? [0] : prefix, rangeEnd: KeyRange.end(ofPrefix: prefix) ?? [0],
            startRevision: from?.rawValue ?? 0, previous: previous)
        return ChangeFeed(watches, spec)
    }
}

/// A watch as an asynchronous sequence; see `Node.changes`.
public final class ChangeFeed: AsyncSequence, Sendable {
    /// One revision's changes of the watched keys.
    public typealias Element = RevisionEvents

    private struct State {
        var isReady = true
        var waiting: CheckedContinuation<Void, Never>?
        var buffered: ArraySlice<RevisionEvents> = []
    }

    private final class Signal: Sendable {
        let state = Mutex(State())

        func wake() {
            let waiting = state.withLock { state in
                defer { state.waiting = nil }
                state.isReady = true
                return state.waiting
            }
            waiting?.resume()
        }

        func wait() async {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isReady = state.withLock { state in
                        if state.isReady || Task.isCancelled {
                            state.isReady = false
                            return true
                        }
                        state.waiting = continuation
                        return false
                    }
                    if isReady { continuation.resume() }
                }
            } onCancel: {
                wake()
            }
        }
    }

    private let signal = Signal()
    private let stream: WatchStream?

    init(_ hub: WatchHub, _ spec: WatchSpec) {
        let signal = signal
        stream = hub.openStream { signal.wake() }
        _ = stream?.create(spec)
    }

    /// Iterates the feed; only one iterator may be in use.
    public func makeAsyncIterator() -> Iterator { Iterator(feed: self) }

    /// Waits for revisions of the feed.
    public struct Iterator: AsyncIteratorProtocol {
        let feed: ChangeFeed

        /// The next revision with changes; nil once the node has stopped or the task was cancelled.
        /// - Throws: `.compacted` when the history it needs is gone.
        public mutating func next() async throws -> RevisionEvents? { try await feed.next() }
    }

    private func next() async throws -> RevisionEvents? {
        guard let stream else { return nil }
        while !Task.isCancelled {
            if let next = signal.state.withLock({ $0.buffered.popFirst() }) { return next }
            let deliveries = stream.drain(maxBytes: 1 << 20)
            if deliveries.isEmpty {
                await signal.wait()
                continue
            }
            for delivery in deliveries {
                switch delivery {
                case .created, .progress: break
                case .events(let events): buffer(events)
                case .refused(let end, _), .canceled(_, let end, _):
                    switch end {
                    case .stopped, .requested: return nil
                    case .compacted(let revision):
                        throw DatabaseError(.compacted, "history before revision \(revision) is gone")
                    case .failed(let error): throw error
                    case .negativeStart, .emptyRange, .duplicateID, .refused:
                        throw DatabaseError(.compacted, "the watch was refused: \(end)")
                    }
                }
            }
        }
        return nil
    }

    private func buffer(_ events: WatchEvents) {
        var groups: [RevisionEvents] = []
        for var event in events.shared.events {
            if !events.previous { event.previous = nil }
            if groups.last?.revision == event.current.modRevision {
                groups[groups.count - 1].events.append(event)
            } else {
                groups.append(RevisionEvents(revision: event.current.modRevision, events: [event]))
            }
        }
        signal.state.withLock { $0.buffered.append(contentsOf: groups) }
    }
}
