import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Synchronization

/// Makes calls to one server and writes down what comes back, without what may differ between two servers.
final class CallTape: Sendable {
    /// What etcd and the subject said to the same calls.
    struct Pair: Sendable {
        var etcd: [String]
        var subject: [String]

        /// The first line that differs, with its number; nil when all are equal.
        var difference: String? {
            if etcd == subject { return nil }
            let number = zip(etcd, subject).prefix { $0 == $1 }.count
            func line(_ lines: [String]) -> String { number < lines.count ? lines[number] : "nothing more" }
            return "answer \(number + 1):\netcd: \(line(etcd))\nsubject: \(line(subject))"
        }
    }

    let rpc: RPCClient
    private let lines = Mutex<[String]>([])
    private let normalizer = Mutex(Normalizer())

    private init(_ rpc: RPCClient) { self.rpc = rpc }

    /// Runs the same calls on a fresh etcd and on a fresh subject.
    static func both(
        options: [String] = [], _ body: @escaping @Sendable (CallTape) async throws -> Void
    ) async throws -> Pair {
        async let etcd = lines(of: .etcd, options: options, body)
        async let subject = lines(of: TestEnvironment.subject, options: options, body)
        return Pair(etcd: try await etcd, subject: try await subject)
    }

    /// Runs calls on one fresh server and returns what was written down.
    static func lines(
        of kind: ServerUnderTest.Kind, options: [String] = [], _ body: @Sendable (CallTape) async throws -> Void
    ) async throws -> [String] {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.start(
                kind, dataDirectory: folder.appending(path: "data"), options: options)
            do {
                let tape = CallTape(try await RPCClient.connect(host: "127.0.0.1", port: server.port))
                try await body(tape)
                await tape.rpc.close()
                await server.crash()
                return tape.lines.withLock { $0 }
            } catch {
                await server.crash()
                throw error
            }
        }
    }

    /// Writes a line down.
    func note(_ line: String) { lines.withLock { $0.append(line) } }

    /// Makes a unary call and writes down its answer or error.
    /// - Returns: The answer; nil for an error.
    @discardableResult
    func call<Answer: Message>(_ method: String, _ request: some Message, _: Answer.Type) async throws -> Answer? {
        do {
            let answer: Answer = try await ask(method, request)
            note(method, answer)
            return answer
        } catch let status as RPCStatus {
            note("\(method): \(status)")
            return nil
        }
    }

    /// Makes a unary call without writing anything down.
    func ask<Answer: Message>(_ method: String, _ request: some Message) async throws -> Answer {
        let message: [UInt8] = try request.serializedBytes()
        return try Answer(serializedBytes: try await rpc.unary("/" + method, message, timeout: .seconds(600)))
    }

    /// Begins a call of one request that is answered later, with one message or many.
    func begin<Answer: Message & Sendable>(
        _ method: String, _ request: some Message, _: Answer.Type
    ) throws -> OpenCall<Answer> {
        let message: [UInt8] = try request.serializedBytes()
        let open = OpenCall<Answer>(method)
        let call = rpc.stream(rpc.method("/" + method)) { _ in open }
        call.send(message)
        call.halfClose()
        open.call.withLock { $0 = call }
        return open
    }

    /// Waits for the next message of an open call, or its end, and writes it down.
    @discardableResult
    func take<Answer: Message & Sendable>(from open: OpenCall<Answer>) async throws -> Answer? {
        let count = open.taken.withLock { taken in
            taken += 1
            return taken
        }
        let found = try await open.content.wait(for: "message \(count) of \(open.method)") { content in
            if content.messages.count >= count { return Result<Answer, RPCStatus>.success(content.messages[count - 1]) }
            return content.end.map { .failure($0) }
        }
        switch found {
        case .success(let message):
            note(open.method, message)
            return message
        case .failure(let status):
            note("\(open.method): \(status)")
            return nil
        }
    }

    private func note(_ method: String, _ message: some Message) {
        var text = message.textFormatString().split(whereSeparator: \.isWhitespace).joined(separator: " ")
        text = text.replacing(#/(?:cluster_id|member_id|raft_term): [0-9]+ /#, with: "")
        let normal = normalizer.withLock { $0.text(text) }
        note("\(method): \(normal)")
    }
}

/// A call that has not ended, with what has come so far.
final class OpenCall<Answer: Message & Sendable>: ClientStreamHandler, Sendable {
    struct Content: Sendable {
        var messages: [Answer] = []
        var end: RPCStatus?
    }

    let method: String
    let content = Observed(Content())
    fileprivate let call = Mutex<ClientCall?>(nil)
    fileprivate let taken = Mutex(0)

    fileprivate init(_ method: String) { self.method = method }

    func cancel() { call.withLock { $0 }?.cancel() }

    func onMessage(_ message: RawSpan) {
        let bytes = message.withUnsafeBytes { Array($0) }
        content.update { content in
            do {
                content.messages.append(try Answer(serializedBytes: bytes))
            } catch {
                content.end = RPCStatus(.internal, "a message that cannot be read: \(error)")
            }
        }
    }

    func onEnd(_ status: RPCStatus) { content.update { $0.end = $0.end ?? status } }
    func onWritable() {}
}
