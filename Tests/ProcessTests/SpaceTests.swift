import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Testing

/// Goal: history that goes by itself, and a database that reaches its quota, look to clients as with etcd. Method: both
/// are started with the same options and asked the same; sizes and moments are their own.
struct SpaceTests {
    @Test func historyIsCompactedByItself() async throws {
        try await Slots.servers.use {
            let pair = try await CallTape.both(
                options: ["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1s"]
            ) { tape in
                for number in 0..<3 as Range<UInt8> { try await tape.put("a", Data([number])) }
                let old = EtcdRangeRequest.with {
                    $0.key = Data("a".utf8)
                    $0.revision = 2
                }
                let limit = ContinuousClock.now + .seconds(300)
                while try await tape.isAnswered("etcdserverpb.KV/Range", old, EtcdRangeResponse.self) {
                    guard ContinuousClock.now < limit else { throw TimedOut(description: "nothing is compacted") }
                }
                try await tape.call("etcdserverpb.KV/Range", old, EtcdRangeResponse.self)
                try await tape.call(
                    "etcdserverpb.KV/Range", EtcdRangeRequest.with { $0.key = Data("a".utf8) }, EtcdRangeResponse.self)
            }
            #expect(pair.difference == nil)
        }
    }

    @Test func aFullDatabaseRaisesItsAlarmAndIsUsableAgain() async throws {
        try await Slots.servers.use {
            let pair = try await CallTape.both(options: ["--quota-backend-bytes", "\(16 << 20)"]) { tape in
                let status: EtcdStatusResponse = try await tape.ask(
                    "etcdserverpb.Maintenance/Status", EtcdStatusRequest())
                let own = EtcdAlarmMember.with {
                    $0.memberID = status.header.memberID
                    $0.alarm = .nospace
                }
                let value = Data(repeating: 7, count: 1 << 20)
                var count = 0
                while try await tape.isAnswered(
                    "etcdserverpb.KV/Put", put("k\(count % 4)", value), EtcdPutResponse.self)
                {
                    count += 1
                    guard count < 500 else { throw TimedOut(description: "the quota is never reached") }
                }
                try await tape.call("etcdserverpb.KV/Put", put("k", value), EtcdPutResponse.self)
                try await tape.call("etcdserverpb.KV/Put", put("k", Data()), EtcdPutResponse.self)
                try await tape.call(
                    "etcdserverpb.Lease/LeaseGrant", EtcdLeaseGrantRequest.with { $0.ttl = 60 },
                    EtcdLeaseGrantResponse.self)
                tape.note("the alarm is its own: \(try await tape.alarm(.get) == [own])")

                let delete = EtcdDeleteRangeRequest.with {
                    $0.key = Data("k".utf8)
                    $0.rangeEnd = Data("l".utf8)
                }
                let deleted: EtcdDeleteRangeResponse = try await tape.ask("etcdserverpb.KV/DeleteRange", delete)
                tape.note("\(deleted.deleted) keys are deleted")
                // All the history is still there, and what did not fit fits no better now.
                tape.note("disarmed: \(try await tape.alarm(.deactivate, own) == [own])")
                let more = value + value.prefix(1 << 18)
                try await tape.call("etcdserverpb.KV/Put", put("k", more), EtcdPutResponse.self)
                tape.note("raised again: \(try await tape.alarm(.get) == [own])")

                let compact = EtcdCompactionRequest.with {
                    $0.revision = deleted.header.revision
                    $0.physical = true
                }
                let _: EtcdCompactionResponse = try await tape.ask("etcdserverpb.KV/Compact", compact)
                let _: EtcdDefragmentResponse = try await tape.ask(
                    "etcdserverpb.Maintenance/Defragment", EtcdDefragmentRequest())
                tape.note("disarmed: \(try await tape.alarm(.deactivate, own) == [own])")
                let works = try await tape.isAnswered("etcdserverpb.KV/Put", put("k", value), EtcdPutResponse.self)
                tape.note("puts work: \(works)")
                tape.note("alarms: \(try await tape.alarm(.get).count)")
            }
            #expect(pair.difference == nil)
        }
    }
}

private func put(_ key: String, _ value: Data) -> EtcdPutRequest {
    EtcdPutRequest.with {
        $0.key = Data(key.utf8)
        $0.value = value
    }
}

extension CallTape {
    fileprivate func put(_ key: String, _ value: Data) async throws {
        let request = EtcdPutRequest.with {
            $0.key = Data(key.utf8)
            $0.value = value
        }
        let _: EtcdPutResponse = try await ask("etcdserverpb.KV/Put", request)
    }

    /// False when it is refused.
    fileprivate func isAnswered<Answer: Message>(
        _ method: String, _ request: some Message, _: Answer.Type
    ) async throws -> Bool {
        do {
            let _: Answer = try await ask(method, request)
            return true
        } catch is RPCStatus {
            return false
        }
    }

    fileprivate func alarm(
        _ action: EtcdAlarmRequest.AlarmAction, _ member: EtcdAlarmMember = EtcdAlarmMember()
    ) async throws -> [EtcdAlarmMember] {
        let request = EtcdAlarmRequest.with {
            $0.action = action
            $0.alarm = member.alarm
            $0.memberID = member.memberID
        }
        let answer: EtcdAlarmResponse = try await ask("etcdserverpb.Maintenance/Alarm", request)
        return answer.alarms
    }
}
