import EtcdAPI
import RPC
import SwiftProtobuf

/// What one watch stream has received and nobody has looked at yet.
final class WatchTape: ClientStreamHandler, Sendable {
    struct Content: Sendable, CustomStringConvertible {
        /// Responses without events, but for cancellations by compaction, whose moment is the server's choice.
        var controls: [EtcdWatchResponse] = []
        var compactions: [EtcdWatchResponse] = []
        var events: [Int64: [EtcdWatchResponse]] = [:]
        var end: RPCStatus?

        var description: String {
            let counts = events.sorted { $0.key < $1.key }.map { "\($0.key): \(Content.count($0.value))" }
            return
                "\((controls + compactions).map(\.readableText)), events by watch [\(counts.joined(separator: ", "))]"
                + (end.map { ", end: \($0)" } ?? "")
        }

        var createdCount: Int { controls.count(where: \.created) }

        func eventCount(_ watch: Int64) -> Int { Content.count(events[watch] ?? []) }

        private static func count(_ responses: [EtcdWatchResponse]) -> Int {
            responses.reduce(0) { $0 + $1.events.count }
        }
    }

    let content = Observed(Content())

    func onMessage(_ message: RawSpan) {
        let bytes = message.withUnsafeBytes { Array($0) }
        content.update { content in
            do {
                let response = try EtcdWatchResponse(serializedBytes: bytes)
                if !response.events.isEmpty {
                    content.events[response.watchID, default: []].append(response)
                } else if response.compactRevision != 0 {
                    content.compactions.append(response)
                } else {
                    content.controls.append(response)
                }
            } catch {
                content.end = RPCStatus(.internal, "a watch response that cannot be read: \(error)")
            }
        }
    }

    func onEnd(_ status: RPCStatus) { content.update { $0.end = $0.end ?? status } }
    func onWritable() {}

    /// Waits until `isEnough`.
    /// - Throws: `Mismatch` when the stream ends before that: no script ends one whose watches it waits for.
    func wait(
        for what: String, within limit: Duration, _ isEnough: @Sendable (Content) -> Bool,
    ) async throws {
        let content = try await content.wait(for: what, within: limit) { isEnough($0) || $0.end != nil ? $0 : nil }
        guard isEnough(content) else { throw Mismatch("the stream ended before \(what): \(content)") }
    }

    func takeControls() -> [EtcdWatchResponse] { content.update { take(&$0.controls) } }
    func takeCompactions() -> [EtcdWatchResponse] { content.update { take(&$0.compactions) } }

    /// - Parameter kept: A watch whose events stay.
    func takeEvents(but kept: Int64? = nil) -> [Int64: [EtcdWatchResponse]] {
        content.update { content in
            let taken = content.events.filter { $0.key != kept }
            content.events = content.events.filter { $0.key == kept }
            return taken
        }
    }
}

private func take(_ responses: inout [EtcdWatchResponse]) -> [EtcdWatchResponse] {
    defer { responses = [] }
    return responses
}

/// A watch stream and what has come of it.
struct OpenStream: Sendable {
    let tape: WatchTape
    private let call: ClientCall
    /// True once the client has said that it will ask for nothing more; events go on.
    private(set) var isHalfClosed = false

    init(on client: RPCClient) {
        let tape = WatchTape()
        self.tape = tape
        call = client.stream(client.method(VerbCodec.of(.watch).path)) { _ in tape }
    }

    func send(_ message: [UInt8]) { call.send(message) }

    mutating func halfClose() {
        isHalfClosed = true
        call.halfClose()
    }

    func cancel() { call.cancel() }

    /// A request that is refused and changes nothing: its answer comes behind those of all requests before it.
    ///
    /// Progress requests would not do: etcd answers those of a stream without regard to its watches, t4 does not.
    func sendFence() throws {
        let text = #"create_request { key: "b" range_end: "a" }"#
        send(try VerbCodec.of(.watch).encode(text))
    }

    static func isFence(_ response: EtcdWatchResponse) -> Bool {
        response.created && response.canceled && response.cancelReason == "mvcc: watcher range is empty"
    }
}

extension EtcdWatchResponse {
    /// The response in one line, with the revision alone for a header.
    var readableText: String {
        var copy = self
        copy.header = EtcdResponseHeader.with { $0.revision = header.revision }
        return copy.textFormatString().split(separator: "\n").map { $0.trimmingPrefix(while: { $0 == " " }) }
            .joined(separator: " ")
    }
}

extension [EtcdWatchResponse] {
    /// With the parts of responses that were sent in fragments put together.
    var withoutFragments: [EtcdWatchResponse] {
        var whole: [EtcdWatchResponse] = []
        for response in self {
            if whole.last?.fragment == true {
                whole[whole.count - 1].events += response.events
                whole[whole.count - 1].fragment = response.fragment
            } else {
                whole.append(response)
            }
        }
        return whole
    }
}
