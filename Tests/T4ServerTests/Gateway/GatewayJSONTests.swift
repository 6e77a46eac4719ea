import EtcdAPI
import Foundation
import SwiftProtobuf
import Testing

@testable import T4Server

/// Goal: JSON and messages say the same. Method: random messages through our coder and through the one of SwiftProtobuf.
struct GatewayJSONTests {
    private static func read(_ text: some Sequence<UInt8>, as name: String) throws -> [UInt8] {
        let type = try #require(GatewaySchema.etcd.messages[name])
        let bytes = Array(text)
        return try bytes.withUnsafeBufferPointer { try GatewayRequest.first(of: $0, type) }
    }

    private static func write(_ bytes: [UInt8], as name: String) throws -> String {
        let type = try #require(GatewaySchema.etcd.messages[name])
        var text: [UInt8] = []
        try bytes.withUnsafeBytes { try JSONWriter.append($0, type, to: &text) }
        return String(decoding: text, as: UTF8.self)
    }

    private func check<Message: SwiftProtobuf.Message & Equatable>(_ message: Message) throws {
        let name = Message.protoMessageName
        let bytes: [UInt8] = try message.serializedBytes()
        var options = JSONEncodingOptions()
        for preserves in [true, false] {
            options.preserveProtoFieldNames = preserves
            let theirs = try message.jsonUTF8Data(options: options)
            #expect(try Message(serializedBytes: Self.read(theirs, as: name)) == message)
        }
        let ours = try Self.write(bytes, as: name)
        #expect(try Message(jsonString: ours) == message, "\(ours)")
        #expect(try Message(serializedBytes: Self.read(ours.utf8, as: name)) == message)
    }

    @Test(arguments: 0..<50 as Range<UInt64>) func randomMessagesComeThrough(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        try check(random.rangeRequest())
        try check(random.putRequest())
        try check(random.deleteRangeRequest())
        try check(random.txnRequest())
        try check(random.watchRequest())
    }

    @Test func textsAreWrittenAsGoDoes() throws {
        let message = EtcdAuthUserListResponse.with { $0.users = ["<a>&\"\\\n\u{1}\u{2028}é😀", ""] }
        let text = try Self.write(message.serializedBytes(), as: "etcdserverpb.AuthUserListResponse")
        #expect(text == #"{"users":["\u003ca\u003e\u0026\"\\\n\u0001\u2028é😀",""]}"#)
    }

    @Test func fieldsMayComeInAnyOrder() throws {
        // count, then more, then header twice: the last one counts.
        let bytes: [UInt8] = [0x20, 7, 0x18, 1, 0x0a, 2, 0x18, 3, 0x0a, 2, 0x18, 4, 0x12, 2, 0x0a, 0]
        let text = try Self.write(bytes, as: "etcdserverpb.RangeResponse")
        #expect(text == #"{"header":{"revision":"4"},"kvs":[{}],"more":true,"count":"7"}"#)
    }

    @Test(arguments: [[0x0a], [0x0a, 5, 1], [0x08, 0x80], [0x0f], [0x22, 1, 1], [0x0d, 0, 0]] as [[UInt8]])
    func noMessageIsNoticed(_ bytes: [UInt8]) {
        #expect(throws: JSONFailure.self) { try Self.write(bytes, as: "etcdserverpb.RangeResponse") }
    }

    @Test(arguments: 0..<200 as Range<UInt64>) func damagedTextHurtsNobody(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var text = Array(try random.txnRequest().jsonUTF8Data())
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0..<text.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: text[place] = UInt8.random(in: 0...255, using: &random)
            case 1: text.remove(at: place)
            default: text.insert("{}[]\",:\\x0\u{0}".utf8.randomElement(using: &random) ?? 0, at: place)
            }
            if text.isEmpty { break }
        }
        do {
            _ = try Self.read(text, as: "etcdserverpb.TxnRequest")
        } catch let failure as JSONFailure {
            #expect(!failure.text.isEmpty)
        }
    }

    /// A message in a message and so on, and other things: neither may use up the stack.
    @Test func depthIsBounded() throws {
        let txn = String(repeating: #"{"success":[{"request_txn":"#, count: 9000)
        let text = txn + "{}" + String(repeating: "}]}", count: 9000)
        #expect(throws: JSONFailure.self) { try Self.read(text.utf8, as: "etcdserverpb.TxnRequest") }
        let open = String(repeating: "[", count: 9000)
        let unknown = #"{"x":"# + open + String(repeating: "]", count: 9000) + "}"
        #expect(try Self.read(unknown.utf8, as: "etcdserverpb.TxnRequest") == [])
        let deeper = String(repeating: "[", count: 100_000)
        do {
            _ = try Self.read(deeper.utf8, as: "etcdserverpb.TxnRequest")
            Issue.record("it is read")
        } catch let failure as JSONFailure {
            #expect(failure.text == "invalid character '[' exceeded max depth")
        }
        let nested = String(repeating: #"{"success":[{"request_txn":"#, count: 127)
        let whole = nested + "{}" + String(repeating: "}]}", count: 127)
        #expect(try !Self.read(whole.utf8, as: "etcdserverpb.TxnRequest").isEmpty)
    }

    @Test(arguments: 0..<30 as Range<UInt64>) func base64IsThatOfOthers(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let bytes = random.bytes(atMost: 100)
        var text: [UInt8] = []
        bytes.withUnsafeBytes { Base64.append($0, to: &text) }
        #expect(String(decoding: text, as: UTF8.self) == Data(bytes).base64EncodedString())
        #expect(try Base64.decode(text) == bytes)
    }

    @Test func queriesAreRead() {
        let query = QueryString("exclude=NOSPACE&exclude=&verbose&a%20b=c+d%2")
        #expect(query.values("exclude") == ["NOSPACE"])
        #expect(query.has("verbose") && !query.has("quiet"))
        #expect(query.values("a b") == ["c d%2"])
    }
}
