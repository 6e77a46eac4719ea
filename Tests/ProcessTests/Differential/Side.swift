import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf

/// How a call ended.
enum Answer: Sendable {
    case message([UInt8])
    case failed(RPCStatus)
}

/// One of the two servers, with what only it knows: who it is, and the ids it has chosen.
struct Side: Sendable {
    let name: String
    let client: RPCClient
    /// A watch of everything from the first revision on.
    let log: OpenStream
    var streams: [Int: OpenStream] = [:]
    /// Leases whose ids the server chose, by the names that the script gives them.
    private var leases: [String: Int64] = [:]
    /// What comparisons call each id that the server has chosen.
    private var leaseNames: [String: String] = [:]
    /// The newest token of each user that has logged in.
    private var tokens: [String: String] = [:]
    private var identity: Identity?

    /// What every header of a server must say.
    private struct Identity: Hashable {
        let cluster: UInt64
        let member: UInt64
        let term: UInt64
    }

    init(_ server: ServerUnderTest) async throws {
        name = server.kind.description
        client = try await RPCClient.connect(host: "127.0.0.1", port: server.port)
        log = OpenStream(on: client)
        log.send(
            try VerbCodec.of(.watch).encode(
                #"create_request { key: "\000" range_end: "\000" start_revision: 1 prev_kv: true }"#))
    }

    /// An id that no lease has.
    static let unknownLease: Int64 = 987_654_321

    /// The message of a step with its symbols replaced.
    ///
    /// - Parameters:
    ///   - revision: What `$now` stands for.
    ///   - compacted: What `$compacted` stands for.
    func message(of step: Step, revision: Int64, compacted: Int64) throws -> [UInt8] {
        let fields = try step.fields.compactMap { field in
            try field.mapped { name, scalar in
                if scalar.hasPrefix("\"") { return Side.expanded(scalar) }
                guard scalar.hasPrefix("$") else { return scalar }
                if scalar.hasPrefix("$now") || scalar.hasPrefix("$compacted") {
                    return "\(try Side.revision(scalar, revision: revision, compacted: compacted))"
                }
                // The server chooses where a lease is granted under a name.
                if step.verb == .leaseGrant { return "0" }
                return "\(leases[scalar] ?? Side.unknownLease)"
            }
        }
        return try VerbCodec.of(step.verb).encode(fields.text)
    }

    /// `$now-3` as a number, at least 1.
    static func revision(_ symbol: String, revision: Int64, compacted: Int64) throws -> Int64 {
        guard let parts = symbol.wholeMatch(of: /\$(now|compacted)([+-][0-9]+)?/) else {
            throw TextSyntaxError(description: "'\(symbol)' is no revision")
        }
        let offset = parts.2.flatMap { Int64($0) } ?? 0
        return max(1, (parts.1 == "now" ? revision : compacted) + offset)
    }

    /// `{x*5}` in a string stands for five `x`.
    static func expanded(_ string: String) -> String {
        // Hardly any string has one, and looking for it with the pattern takes a fifth of the time of a script.
        guard string.utf8.contains(UInt8(ascii: "*")) else { return string }
        return string.replacing(/\{([a-z])\*([0-9]+)\}/) { String(repeating: String($0.1), count: Int($0.2) ?? 0) }
    }

    /// What goes with the calls of a user: its newest token, or one of nobody.
    func metadata(of user: String?) -> [(String, String)] {
        user.map { [("token", tokens[$0] ?? "nobody.1")] } ?? []
    }

    /// Makes the call of a step that is no watch.
    static func call(
        _ verb: Verb, _ message: [UInt8], on client: RPCClient, metadata: [(String, String)] = [],
    ) async throws -> Answer {
        let path = VerbCodec.of(verb).path
        guard verb == .keepAlive else {
            do throws(RPCStatus) {
                return .message(try await client.unary(path, message, timeout: .seconds(60), metadata: metadata))
            } catch {
                return .failed(error)
            }
        }
        let tape = MessageTape()
        let call = client.stream(client.method(path), metadata: metadata) { _ in tape }
        call.send(message)
        call.halfClose()
        let (messages, status) = try await tape.content.wait(for: "the end of a keep-alive") { content in
            content.end.map { (content.messages, $0) }
        }
        guard status.isOK, messages.count == 1 else {
            return .failed(RPCStatus(status.code, "\(messages.count) answers: \(status.message)"))
        }
        return .message(messages[0])
    }

    /// Notes the id that the server chose for a lease that the script calls by a name, and the tokens it gave.
    mutating func learn(_ step: Step, _ answer: Answer) throws {
        guard case .message(let bytes) = answer else { return }
        if step.verb == .authenticate, let user = step.fields["name"]?.scalar {
            tokens[String(user.dropFirst().dropLast())] = try EtcdAuthenticateResponse(serializedBytes: bytes).token
        }
        guard step.verb == .leaseGrant, let name = step.fields["ID"]?.scalar, name.hasPrefix("$") else { return }
        let id = try EtcdLeaseGrantResponse(serializedBytes: bytes).id
        leases[name] = id
        leaseNames["\(id)"] = "\(name).\(leaseNames.count)"
    }

    /// Cuts the header off an answer.
    ///
    /// - Returns: The revision that it names, nil where there is no header, and the rest.
    /// - Throws: `Difference` when the server calls itself by another name than before.
    mutating func cut(_ bytes: [UInt8]) throws -> (revision: Int64?, rest: ArraySlice<UInt8>) {
        guard bytes.first == 0x0A, bytes.count > 1, bytes[1] < 0x80, bytes.count >= 2 + Int(bytes[1]) else {
            return (nil, bytes[...])
        }
        let end = 2 + Int(bytes[1])
        let header = try EtcdResponseHeader(serializedBytes: Array(bytes[2..<end]))
        try check(header)
        return (header.revision, bytes[end...])
    }

    /// Checks the parts of a header that differ between servers but never change.
    mutating func check(_ header: EtcdResponseHeader) throws {
        let said = Identity(cluster: header.clusterID, member: header.memberID, term: header.raftTerm)
        let known = identity ?? said
        identity = known
        guard said == known, said.cluster != 0, said.member != 0, said.term != 0 else {
            throw Mismatch("\(name): header \(said), the first one was \(known)")
        }
    }

    /// A text of an answer in which the ids that the server chose are called by the script's names.
    func named(_ fields: [TextField]) -> [TextField] {
        guard !leaseNames.isEmpty else { return fields }
        return fields.compactMap { field in
            field.mapped { name, scalar in name == "ID" || name == "lease" ? leaseNames[scalar] ?? scalar : scalar }
        }
    }
}

/// Messages of a call, as bytes.
final class MessageTape: ClientStreamHandler, Sendable {
    struct Content: Sendable {
        var messages: [[UInt8]] = []
        var end: RPCStatus?
    }

    let content = Observed(Content())

    func onMessage(_ message: RawSpan) {
        let bytes = message.withUnsafeBytes { Array($0) }
        content.update { $0.messages.append(bytes) }
    }

    func onEnd(_ status: RPCStatus) { content.update { $0.end = status } }
    func onWritable() {}
}

/// The two servers do not show the same, or one contradicts itself.
struct Mismatch: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    init(etcd: String, t4: String) {
        self.init("etcd: \(Mismatch.shortened(etcd))\n      t4:   \(Mismatch.shortened(t4))")
    }

    private static func shortened(_ text: String) -> String {
        text.utf8.count > 3000 ? "\(text.prefix(3000))... (\(text.utf8.count) bytes)" : text
    }
}
