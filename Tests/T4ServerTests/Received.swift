import RPC
import SwiftProtobuf
import T4Protocols
import Testing

/// What a client has received on a stream. Waits block their thread.
final class Received<Message: SwiftProtobuf.Message & Sendable>: ClientStreamHandler, Sendable {
    struct Content {
        var messages: [Message] = []
        var end: RPCStatus?
    }

    let content = Monitor(Content())
    private let call = Monitor<ClientCall?>(nil)
    /// Stops reading with the first message.
    private let pauses: Bool

    private init(pauses: Bool) { self.pauses = pauses }

    /// Opens a stream on which the client sends `requests` and nothing more.
    static func open(
        _ client: RPCClient, _ method: String, _ requests: [[UInt8]], pauses: Bool = false
    ) -> (call: ClientCall, received: Received) {
        let received = Received(pauses: pauses)
        let call = client.stream(client.method(method)) { call in
            received.call.withLock { $0 = call }
            return received
        }
        for request in requests { call.send(request) }
        call.halfClose()
        return (call, received)
    }

    func onMessage(_ message: RawSpan) {
        if pauses, content.withLock({ $0.messages.isEmpty }) { call.withLock { $0 }?.pauseReading() }
        let bytes = message.withUnsafeBytes { Array($0) }
        do {
            let message = try Message(serializedBytes: bytes)
            content.withLock { $0.messages.append(message) }
        } catch {
            Issue.record("a message that cannot be read: \(error)")
        }
        content.broadcast()
    }

    func onEnd(_ status: RPCStatus) {
        content.withLock { $0.end = status }
        content.broadcast()
    }

    func onWritable() {}

    func untilStarted() { content.wait { $0.messages.isEmpty && $0.end == nil ? nil : () } }

    func untilEnd() -> Content { content.wait { $0.end == nil ? nil : $0 } }
}
