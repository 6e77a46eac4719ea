import Synchronization

/// Events that many watches deliver, stored once and encoded once.
///
/// Holds whole revisions (as far as the watches' keys and filters go) in order. Immutable but for the encoding cache.
package final class SharedEvents: Sendable {
    private struct Encodings {
        var withPrevious: [UInt8]?
        var withoutPrevious: [UInt8]?
    }

    /// In revision order, within a revision in the order of writing; never empty.
    package let events: [Event]
    /// The revision of the first event.
    package let firstRevision: Revision
    /// The revision of the last event.
    package let lastRevision: Revision
    /// Memory that the events take, in bytes, estimated.
    package let byteCount: Int

    private let encodings = Mutex(Encodings())

    init(_ events: [Event]) {
        precondition(!events.isEmpty, "a delivery without events would look like a progress notice")
        self.events = events
        firstRevision = events[0].current.modRevision
        lastRevision = events[events.count - 1].current.modRevision
        byteCount = events.reduce(0) { $0 + $1.memoryBytes }
    }

    /// The encoded form, computed at most once per variant unless several threads ask for the first time at once.
    ///
    /// `encode` runs without a lock held and must always give the same bytes for the same variant.
    package func encoded(
        withPrevious: Bool, _ encode: (_ events: [Event], _ withPrevious: Bool) -> [UInt8]
    ) -> [UInt8] {
        let known = encodings.withLock { withPrevious ? $0.withPrevious : $0.withoutPrevious }
        if let known { return known }
        let bytes = encode(events, withPrevious)
        encodings.withLock {
            if withPrevious { $0.withPrevious = bytes } else { $0.withoutPrevious = bytes }
        }
        return bytes
    }
}

extension Event {
    /// Bytes of memory of one event: its contents and the headers of its arrays.
    fileprivate var memoryBytes: Int {
        var bytes = 192 + current.key.count + current.value.count
        if let previous { bytes += previous.key.count + previous.value.count }
        return bytes
    }
}
