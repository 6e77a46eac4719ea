import EtcdAPI
import RPC
import SwiftProtobuf
import Synchronization

/// A lease that is renewed on a stream, and how long it cannot have ended.
final class LeaseHolder: ClientStreamHandler, Sendable {
    private struct State {
        /// When renewals were sent that are not answered.
        var sent: [Duration] = []
        /// It lives at least until then.
        var until: Duration
        /// The server has said that there is no such lease.
        var ended: Duration?
        var isClosed = false
    }

    let id: Int64
    private let ttl: Duration
    private let world: FaultWorld
    private let state: Mutex<State>
    private let call = Mutex<ClientCall?>(nil)

    private init(_ world: FaultWorld, id: Int64, ttl: Duration, granted: Duration) {
        (self.world, self.id, self.ttl) = (world, id, ttl)
        state = Mutex(State(until: granted + ttl))
    }

    /// Asks for a lease and opens the stream.
    static func grant(_ seconds: Int64, _ client: EtcdClient, _ world: FaultWorld) async throws -> LeaseHolder {
        let begin = world.now
        let request = EtcdLeaseGrantRequest.with { $0.ttl = seconds }
        let answer = try await client.call("Lease/LeaseGrant", request, EtcdLeaseGrantResponse.self)
        let holder = LeaseHolder(world, id: answer.id, ttl: .seconds(answer.ttl), granted: begin)
        let call = client.rpc.stream(client.rpc.method("/etcdserverpb.Lease/LeaseKeepAlive")) { _ in holder }
        holder.call.withLock { $0 = call }
        return holder
    }

    /// It lives at least until then.
    var until: Duration { state.withLock { $0.until } }
    /// When the server said that there is no such lease.
    var ended: Duration? { state.withLock { $0.ended } }

    /// Sends a renewal.
    func renew() throws {
        let bytes: [UInt8] = try EtcdLeaseKeepAliveRequest.with { $0.id = id }.serializedBytes()
        let now = world.now
        let isOpen = state.withLock { state in
            if !state.isClosed { state.sent.append(now) }
            return !state.isClosed
        }
        if isOpen { call.withLock { $0 }?.send(bytes) }
    }

    /// Sends nothing more, and hears nothing: it is about to be revoked.
    func giveUp() {
        state.withLock { state in
            state.isClosed = true
            state.sent = []
        }
    }

    func close() { call.withLock { $0 }?.cancel() }

    func onMessage(_ message: RawSpan) {
        let bytes = message.withUnsafeBytes { Array($0) }
        guard let answer = try? EtcdLeaseKeepAliveResponse(serializedBytes: bytes) else { return }
        let now = world.now
        state.withLock { state in
            guard !state.sent.isEmpty else { return }
            let sent = state.sent.removeFirst()
            if answer.ttl > 0 {
                state.until = max(state.until, sent + ttl)
            } else if state.ended == nil {
                state.ended = now
            }
        }
    }

    func onEnd(_ status: RPCStatus) { state.withLock { $0.isClosed = true } }
    func onWritable() {}
}
