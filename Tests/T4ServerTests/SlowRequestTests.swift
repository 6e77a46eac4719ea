import EtcdAPI
import Foundation
import Logging
import SwiftProtobuf
import T4Protocols
import Testing

@testable import RPC
@testable import T4Core
@testable import T4Server

/// Goal: requests that take long are told of, with their sizes and without what they say. Method: a server for which every
/// request takes long, and made-up calls.
@Suite struct SlowRequestTests {
    /// Keeps what is logged.
    private struct Lines: LogHandler {
        struct Line: Sendable {
            var message: String
            var metadata: [String: String]
        }

        let all = Monitor<[Line]>([])
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let line = Line(
                message: "\(event.level) \(event.message)",
                metadata: (event.metadata ?? [:]).mapValues { "\($0)" })
            all.withLock { $0.append(line) }
        }
    }

    private static func call(_ path: String, _ remark: (Int, Int) = (0, 0)) -> SlowCall {
        SlowCall(
            path: path, time: .microseconds(1_234_567), code: .ok, requestSize: 10, responseSize: 20, remark: remark,
            client: "1.2.3.4:5")
    }

    @Test func sizesAreToldAndNothingElse() async throws {
        let lines = Lines()
        let slow = SlowRequests(logger: Logger(label: "test") { _ in lines })
        try await AuthServer.with(enforced: false) { settings in
            settings.slowRequests = slow
        } _: { server in
            slow.set(.nanoseconds(1))
            let put = EtcdPutRequest.with { ($0.key, $0.value) = (Data("secret-key".utf8), Data("secret-value".utf8)) }
            try await server.call("KV/Put", put)
            try await server.call(
                "KV/Range", EtcdRangeRequest.with { ($0.key, $0.rangeEnd) = (Data("secret".utf8), Data("t".utf8)) })
            try await server.call("KV/Txn", EtcdTxnRequest.with { $0.success = [.with { $0.requestPut = put }] })
        }
        let told = lines.all.withLock { $0 }.filter { $0.metadata["rpc"]?.contains(".KV/") ?? false }
        #expect(told.map(\.message) == Array(repeating: "warning a request took too long", count: 3))
        #expect(told.map { $0.metadata["rpc"] } == ["Put", "Range", "Txn"].map { "etcdserverpb.KV/" + $0 })
        try #require(told.count == 3)
        #expect(told[0].metadata["key.bytes"] == "10" && told[0].metadata["range_end.bytes"] == nil)
        #expect(told[1].metadata["key.bytes"] == "6" && told[1].metadata["range_end.bytes"] == "1")
        #expect(told[2].metadata["operations"] == "1")
        for line in told {
            #expect(line.metadata["code"] == "OK")
            #expect(line.metadata["client"]?.hasPrefix("127.0.0.1:") ?? false)
            #expect(Double(line.metadata["duration_ms"] ?? "") != nil)
            #expect(Int(line.metadata["request.bytes"] ?? "") ?? 0 > 0)
            #expect(Int(line.metadata["response.bytes"] ?? "") ?? 0 > 0)
        }
        for line in lines.all.withLock({ $0 }) {
            #expect(!"\(line)".contains("secret"), "\(line)")
        }
    }

    @Test func aFloodIsToldOfInPart() throws {
        let lines = Lines()
        let slow = SlowRequests(logger: Logger(label: "test") { _ in lines })
        for _ in 0..<1000 { slow.calls.tell(Self.call("/etcdserverpb.KV/Put")) }
        #expect(slow.count == 1000)
        // Ten of each second in which this ran.
        let told = lines.all.withLock { $0 }
        #expect(told.count >= 10 && told.count < 1000)
        #expect(told.prefix(10).allSatisfy { $0.metadata["untold"] == nil })
        // The first of a later second says how many there were.
        var count = told.count
        while count == lines.all.withLock({ $0.count }) { slow.calls.tell(Self.call("/etcdserverpb.KV/Put")) }
        let all = lines.all.withLock { $0 }
        count = all.count
        let untold = all.reduce(0) { $0 + (Int($1.metadata["untold"] ?? "0") ?? 0) }
        #expect(count + untold == slow.count)
    }

    @Test func timesAreInMilliseconds() {
        let metadata = SlowRequests.metadata(of: Self.call("/etcdserverpb.Lease/LeaseGrant"), untold: 3)
        #expect(
            metadata.mapValues { "\($0)" } == [
                "rpc": "etcdserverpb.Lease/LeaseGrant", "duration_ms": "1234.567", "code": "OK", "request.bytes": "10",
                "response.bytes": "20", "client": "1.2.3.4:5", "untold": "3",
            ])
    }

    // MARK: The text form of metrics

    @Test func labelsCannotBreakTheText() {
        var text = PrometheusText()
        text.add("a_total", .counter, "A.", [(.init([("x", "1\"\\\n2"), ("y", "")]), 3)])
        text.add("b", "B.", is: true)
        let histogram = Histogram(seconds: [0.5, 2])
        histogram.observe(.seconds(1))
        text.add("c_seconds", "C.", [(.init("op", "put"), histogram.reading)])
        text.add("d", "D.", histogram.reading)
        #expect(
            text.text == #"""
                # HELP a_total A.
                # TYPE a_total counter
                a_total{x="1\"\\\n2",y=""} 3
                # HELP b B.
                # TYPE b gauge
                b 1
                # HELP c_seconds C.
                # TYPE c_seconds histogram
                c_seconds_bucket{op="put",le="0.5"} 0
                c_seconds_bucket{op="put",le="2.0"} 1
                c_seconds_bucket{op="put",le="+Inf"} 1
                c_seconds_sum{op="put"} 1.0
                c_seconds_count{op="put"} 1
                # HELP d D.
                # TYPE d histogram
                d_bucket{le="0.5"} 0
                d_bucket{le="2.0"} 1
                d_bucket{le="+Inf"} 1
                d_sum 1.0
                d_count 1

                """#)
    }

    @Test func followersOfOneNameAreToldApart() {
        func member(_ name: String, _ instance: String) -> ClusterMember {
            ClusterMember(instance: instance, name: name, address: "", clientURLs: [], match: 1, isInSync: true)
        }
        let named = Metrics.named([member("a", "1"), member("b", "2"), member("a", "3"), member("", "4")])
        #expect(named.map(\.name) == ["1", "b", "3", "4"])
    }
}
