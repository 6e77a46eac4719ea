import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Testing

/// Goal: the lock, election and health services and the calls about members and downgrades answer as etcd's do. Method:
/// the same calls to both, and all that comes back is equal but for random ids.
struct LineServicesTests {
    private func expectEqual(
        at location: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable (CallTape) async throws -> Void,
    ) async throws {
        try await Slots.servers.use {
            let difference = try await CallTape.both(body).difference
            if let difference { Issue.record("\(difference)", sourceLocation: location) }
        }
    }

    @Test func locksAreHandedOnInOrder() async throws {
        try await expectEqual { tape in
            try await tape.grant(0x71, 0x72, 0x73)
            let keys = try tape.watch("l")
            let first = try #require(try await tape.lock("l", 0x71))
            try await tape.lock("l", 0x71)
            let second = try tape.begin("v3lockpb.Lock/Lock", lockRequest("l", 0x72), EtcdLockResponse.self)
            try await keys.until(events: 2)
            let third = try tape.begin("v3lockpb.Lock/Lock", lockRequest("l", 0x73), EtcdLockResponse.self)
            try await keys.until(events: 3)
            try await tape.unlock(first.key)
            let next = try #require(try await tape.take(from: second))
            // Who gives up leaves the line.
            third.cancel()
            try await keys.until(events: 5)
            try await tape.unlock(next.key)
            try await tape.range("l/")
            // In line, and the own key goes first.
            let held = try #require(try await tape.lock("l", 0x71))
            let lost = try tape.begin("v3lockpb.Lock/Lock", lockRequest("l", 0x72), EtcdLockResponse.self)
            try await keys.until(events: 8)
            try await tape.unlock(next.key)
            try await tape.unlock(held.key)
            try await tape.take(from: lost)
            try await tape.range("l/")
        }
    }

    @Test func locksThatCannotBeHadSayWhy() async throws {
        try await expectEqual { tape in
            try await tape.grant(0x71)
            try await tape.lock("l", 0x99)
            try await tape.lock("", 0x71)
            try await tape.lock("l", 0)
            try await tape.range("l/")
            try await tape.unlock(Data())
            try await tape.unlock(Data("none".utf8))
            // A key that begins like the name is not in the line.
            _ = try await tape.lock("la", 0x71)
            try await tape.lock("l2", 0x71)
        }
    }

    @Test func electionsHaveOneLeaderAndObservers() async throws {
        try await expectEqual { tape in
            try await tape.grant(0x71, 0x72, 0x73)
            let keys = try tape.watch("e")
            try await tape.leader("e")
            let observer = try tape.begin(
                "v3electionpb.Election/Observe", EtcdLeaderRequest.with { $0.name = Data("e".utf8) },
                EtcdLeaderResponse.self)
            let first = try #require(try await tape.take(from: try tape.campaign("e", 0x71, "one"))).leader
            try await tape.take(from: observer)
            try await tape.take(from: try tape.campaign("e", 0x71, "uno"))
            try await tape.take(from: observer)
            try await tape.take(from: try tape.campaign("e", 0x71, "uno"))
            try await tape.proclaim(first, "due")
            try await tape.take(from: observer)
            try await tape.leader("e")
            try await keys.until(events: 3)

            let waiting = try tape.campaign("e", 0x72, "two")
            try await keys.until(events: 4)
            let givesUp = try tape.campaign("e", 0x73, "three")
            try await keys.until(events: 5)
            try await tape.leader("e")
            givesUp.cancel()
            try await keys.until(events: 6)
            try await tape.resign(first)
            let second = try #require(try await tape.take(from: waiting)).leader
            try await tape.take(from: observer)
            try await tape.leader("e")

            try await tape.proclaim(first, "too late")
            try await tape.resign(first)
            try await tape.resign(second)
            try await tape.leader("e")
            try await tape.proclaim(second, "too late")
            // Nobody leads, then somebody else does.
            try await tape.take(from: try tape.campaign("e", 0x73, "three"))
            try await tape.take(from: observer)
            observer.cancel()
        }
    }

    @Test func electionsThatCannotBeHeldSayWhy() async throws {
        try await expectEqual { tape in
            try await tape.grant(0x71)
            try await tape.call(
                "v3electionpb.Election/Proclaim", EtcdProclaimRequest(), EtcdProclaimResponse.self)
            try await tape.call("v3electionpb.Election/Resign", EtcdResignRequest(), EtcdResignResponse.self)
            try await tape.proclaim(EtcdLeaderKey(), "x")
            try await tape.resign(EtcdLeaderKey())
            try await tape.take(from: try tape.campaign("e", 0x99, "x"))
            try await tape.take(from: try tape.campaign("", 0x71, "x"))
            let leader = try #require(try await tape.take(from: try tape.campaign("e", 0, "x"))).leader
            var other = leader
            other.lease = 0x99
            try await tape.proclaim(other, "y")
            other.lease = 0
            try await tape.proclaim(other, "y")
            other.rev += 1
            try await tape.proclaim(other, "z")
            try await tape.leader("e")
        }
    }

    @Test func healthIsTold() async throws {
        try await expectEqual { tape in
            for name in ["", "etcdserverpb.KV"] {
                let request = GRPCHealthCheckRequest.with { $0.service = name }
                try await tape.call("grpc.health.v1.Health/Check", request, GRPCHealthCheckResponse.self)
                let watch = try tape.begin("grpc.health.v1.Health/Watch", request, GRPCHealthCheckResponse.self)
                try await tape.take(from: watch)
                watch.cancel()
                try await tape.take(from: watch)
            }
        }
    }

    /// What a single member cannot be asked, and versions that nobody goes back to. With 3.4 etcd 3.5.1 would.
    @Test func membersAndVersionsStay() async throws {
        try await expectEqual { tape in
            let status: EtcdStatusResponse = try await tape.ask(
                "etcdserverpb.Maintenance/Status", EtcdStatusRequest())
            // No more of these: etcd never answers one that comes right behind another.
            let own = status.header.memberID
            try await tape.call(
                "etcdserverpb.Cluster/MemberRemove", EtcdMemberRemoveRequest.with { $0.id = own },
                EtcdMemberRemoveResponse.self)
            try await tape.call(
                "etcdserverpb.Cluster/MemberPromote", EtcdMemberPromoteRequest.with { $0.id = own },
                EtcdMemberPromoteResponse.self)
            let badURLs = [
                [], [""], ["http://127.0.0.1"], ["ftp://127.0.0.1:1"], ["127.0.0.1:1"], ["http://127.0.0.1:1/x"],
                ["http://::1:1"], ["http://a:x"],
            ]
            for urls in badURLs {
                try await tape.call(
                    "etcdserverpb.Cluster/MemberAdd", EtcdMemberAddRequest.with { $0.peerUrls = urls },
                    EtcdMemberAddResponse.self)
            }
            for version in ["", "x", "3", "3.x", "3.5.1.2", "3.3", "3.6.0", "9.9.9-rc.1+x", "3.3-rc"] {
                for action in [EtcdDowngradeRequest.DowngradeAction.validate, .enable] {
                    let request = EtcdDowngradeRequest.with {
                        $0.action = action
                        $0.version = version
                    }
                    try await tape.call(
                        "etcdserverpb.Maintenance/Downgrade", request, EtcdDowngradeResponse.self)
                }
            }
            for action in [EtcdDowngradeRequest.DowngradeAction.cancel, .UNRECOGNIZED(9)] {
                try await tape.call(
                    "etcdserverpb.Maintenance/Downgrade", EtcdDowngradeRequest.with { $0.action = action },
                    EtcdDowngradeResponse.self)
            }
        }
    }

    /// etcd says of a place that is gone that it leads.
    @Test(.enabled(if: TestEnvironment.subject != .etcd, "about t4 where it differs from etcd"))
    func aCampaignWhoseKeyIsGoneIsLost() async throws {
        try await Slots.servers.use {
            let lines = try await CallTape.lines(of: TestEnvironment.subject) { tape in
                try await tape.grant(0x71, 0x72)
                let keys = try tape.watch("e")
                let first = try #require(try await tape.take(from: try tape.campaign("e", 0x71, "one"))).leader
                let waiting = try tape.campaign("e", 0x72, "two")
                try await keys.until(events: 2)
                try await tape.unlock(Data("e/72".utf8))
                try await tape.resign(first)
                try await tape.take(from: waiting)
            }
            #expect(
                lines.last == "v3electionpb.Election/Campaign: rpc error: code = unknown desc = election: not leader")
        }
    }

    /// etcd could be the version before.
    @Test(.enabled(if: TestEnvironment.subject != .etcd, "about t4 where it differs from etcd"))
    func thereIsNoVersionToGoBackTo() async throws {
        try await Slots.servers.use {
            let lines = try await CallTape.lines(of: TestEnvironment.subject) { tape in
                for version in ["3.4", "3.5", "3.6"] {
                    try await tape.call(
                        "etcdserverpb.Maintenance/Downgrade", EtcdDowngradeRequest.with { $0.version = version },
                        EtcdDowngradeResponse.self)
                }
            }
            let refusal = "rpc error: code = invalidArgument desc = etcdserver: invalid downgrade target version"
            #expect(lines == Array(repeating: "etcdserverpb.Maintenance/Downgrade: \(refusal)", count: 3))
        }
    }
}

private func lockRequest(_ name: String, _ lease: Int64) -> EtcdLockRequest {
    EtcdLockRequest.with {
        $0.name = Data(name.utf8)
        $0.lease = lease
    }
}

extension CallTape {
    fileprivate func grant(_ leases: Int64...) async throws {
        for lease in leases {
            let request = EtcdLeaseGrantRequest.with {
                $0.id = lease
                $0.ttl = 600
            }
            let _: EtcdLeaseGrantResponse = try await ask("etcdserverpb.Lease/LeaseGrant", request)
        }
    }

    /// The changes of the keys of a line.
    fileprivate func watch(_ name: String) throws -> WatchLog {
        try EtcdClient.watch(on: rpc, key: Array("\(name)/".utf8), end: Array("\(name)0".utf8), from: 1).log
    }

    fileprivate func range(_ prefix: String) async throws {
        let request = EtcdRangeRequest.with {
            $0.key = Data(prefix.utf8)
            $0.rangeEnd = Data(prefix.dropLast().utf8 + [UInt8(ascii: "0")])
        }
        try await call("etcdserverpb.KV/Range", request, EtcdRangeResponse.self)
    }

    @discardableResult
    fileprivate func lock(_ name: String, _ lease: Int64) async throws -> EtcdLockResponse? {
        try await call("v3lockpb.Lock/Lock", lockRequest(name, lease), EtcdLockResponse.self)
    }

    fileprivate func unlock(_ key: Data) async throws {
        try await call("v3lockpb.Lock/Unlock", EtcdUnlockRequest.with { $0.key = key }, EtcdUnlockResponse.self)
    }

    fileprivate func campaign(
        _ name: String, _ lease: Int64, _ value: String
    ) throws -> OpenCall<EtcdCampaignResponse> {
        let request = EtcdCampaignRequest.with {
            $0.name = Data(name.utf8)
            $0.lease = lease
            $0.value = Data(value.utf8)
        }
        return try begin("v3electionpb.Election/Campaign", request, EtcdCampaignResponse.self)
    }

    fileprivate func proclaim(_ leader: EtcdLeaderKey, _ value: String) async throws {
        let request = EtcdProclaimRequest.with {
            $0.leader = leader
            $0.value = Data(value.utf8)
        }
        try await call("v3electionpb.Election/Proclaim", request, EtcdProclaimResponse.self)
    }

    fileprivate func resign(_ leader: EtcdLeaderKey) async throws {
        let request = EtcdResignRequest.with { $0.leader = leader }
        try await call("v3electionpb.Election/Resign", request, EtcdResignResponse.self)
    }

    fileprivate func leader(_ name: String) async throws {
        let request = EtcdLeaderRequest.with { $0.name = Data(name.utf8) }
        try await call("v3electionpb.Election/Leader", request, EtcdLeaderResponse.self)
    }
}

extension WatchLog {
    /// Waits for so many changes altogether.
    fileprivate func until(events count: Int) async throws {
        _ = try await content.wait(for: "\(count) changes") { $0.changes.count >= count ? true : nil }
    }
}
