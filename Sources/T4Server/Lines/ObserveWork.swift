import EtcdAPI
import RPC
import SwiftProtobuf
import T4Core

/// Sends who leads an election, and each value that a leader proclaims, until the client has enough.
///
/// Not every leader between two messages is seen, but the newest one always is, as in etcd.
final class ObserveWork: PatientWork {
    private enum Phase {
        /// To find out who leads.
        case looking
        /// Nobody leads: for the first key.
        case vacant(WatchStream)
        /// Somebody leads: for their next value, or their end.
        case led(WatchStream)
        case over
    }

    /// One delivery at a time, so that what is not sent waits in the watch.
    private static let drainBytes = 1

    private let call: ServerCall
    private let context: ServiceContext
    private var line = Line(name: [])
    private var phase = Phase.looking

    init(_ call: ServerCall, _ context: ServiceContext) {
        self.call = call
        self.context = context
    }

    func needsNewest(_ request: RawSpan) -> Bool { true }

    func begin(_ request: RawSpan) throws {
        line = Line(name: Array(try EtcdLeaderRequest(decoding: request).name))
        proceed()
    }

    func cancel() { end() }

    func proceed() {
        do {
            while call.isWritable {
                switch phase {
                case .over: return
                case .looking: try look()
                case .vacant(let stream), .led(let stream):
                    let deliveries = stream.drain(maxBytes: ObserveWork.drainBytes)
                    if deliveries.isEmpty { return }
                    for delivery in deliveries { try take(delivery) }
                }
            }
        } catch {
            end()
            call.finish(EtcdErrors.passedOn(RPCStatus(describing: error)))
        }
    }

    private func look() throws {
        let found = try context.range(line.first, for: call)
        if let leader = found.kvs.first {
            try lead(leader, found.revision)
        } else {
            let stream = try context.openWatches(for: call)
            phase = .vacant(stream)
            let watch = WatchSpec(
                key: line.prefix, rangeEnd: line.end, startRevision: found.revision.next.rawValue, noDelete: true)
            _ = stream.create(watch)
        }
    }

    /// Tells of a leader and follows their key from then on.
    private func lead(_ leader: KeyValue, _ revision: Revision) throws {
        call.send(try context.leader(leader, revision: revision))
        let stream = try context.openWatches(for: call)
        phase = .led(stream)
        _ = stream.create(WatchSpec(key: leader.key, startRevision: revision.next.rawValue))
    }

    private func take(_ delivery: WatchDelivery) throws {
        switch delivery {
        case .created, .progress: break
        case .events(let events): try take(events)
        // History was compacted before it was read: what matters is who leads now.
        case .canceled(_, .compacted, _): lookAgain()
        case .canceled(_, .refused(let text), _), .refused(.refused(let text), _):
            throw RPCStatus(.resourceExhausted, text)
        case .canceled, .refused: throw EtcdErrors.stopped
        }
    }

    private func take(_ events: WatchEvents) throws {
        switch phase {
        case .looking, .over: break
        case .vacant(let stream):
            guard let first = events.shared.events.first else { return }
            stream.close()
            try lead(first.current, first.current.modRevision)
        case .led:
            for event in events.shared.events {
                if event.kind == .delete { return lookAgain() }
                call.send(try context.leader(event.current, revision: events.revision))
            }
        }
    }

    private func lookAgain() {
        end()
        phase = .looking
    }

    private func end() {
        switch phase {
        case .looking, .over: break
        case .vacant(let stream), .led(let stream): stream.close()
        }
        phase = .over
    }
}
