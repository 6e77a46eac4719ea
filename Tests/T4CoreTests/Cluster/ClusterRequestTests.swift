import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: every node of a cluster takes every request, whoever leads, and shows what was acknowledged. Method: whole nodes in one
/// process, asked in turn.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ClusterRequestTests {
    private func withNodes(
        _ count: Int, electionTimeout: Duration = .milliseconds(600),
        _ body: (ClusterNodes, [Node]) async throws -> Void
    ) async throws {
        let nodes = try await ClusterNodes(engine: "memory", electionTimeout: electionTimeout)
        do {
            var started: [Node] = []
            for number in 1...count { started.append(try await nodes.start(number)) }
            try await body(nodes, started)
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    private func put(_ key: String, _ value: String, lease: Int64 = 0) -> PutRequest {
        PutRequest(key: [UInt8](key), value: [UInt8](value), lease: lease, previous: true)
    }

    private func value(_ key: String, on node: Node) throws -> String? {
        try node.range(RangeRequest(key: [UInt8](key))).kvs.first.map { String(decoding: $0.value, as: UTF8.self) }
    }

    private func members(_ node: Node) async -> [ClusterMember] {
        let reply: Result<LeaderReply, DatabaseError> = await withCheckedContinuation { continuation in
            node.ask(.members) { continuation.resume(returning: $0) }
        }
        guard case .success(.members(let members)) = reply else { return [] }
        return members
    }

    /// A follower may have applied what is committed, and show it, before its leader has: then the leader's reads wait.
    @Test func aLeaderShowsWhatItsFollowersHaveShown() async throws {
        try await withNodes(3) { _, nodes in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<6 {
                    group.addTask {
                        while !Task.isCancelled {
                            _ = try await nodes[writer % 3].put(put("key-\(writer)", "value"))
                        }
                    }
                }
                var last = Revision.none
                for round in 0..<6000 {
                    let node = nodes[round % 3]
                    try await node.catchUp()
                    let seen = node.revision
                    #expect(seen >= last, "round \(round)")
                    last = seen
                }
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    /// A leader that hands over first commits what it has taken, and says so to whoever waits: nobody is left in doubt.
    @Test func handingOverLeavesNobodyInDoubt() async throws {
        try await withNodes(3) { nodes, all in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<6 {
                    group.addTask {
                        while !Task.isCancelled {
                            _ = try await all[writer % 3].put(put("key-\(writer)", "value"))
                        }
                    }
                }
                var count = 0
                while count < 12 {
                    guard let leader = all.firstIndex(where: \.isServing) else {
                        await Task.yield()
                        continue
                    }
                    let heir = nodes.receivers.withLock { all in
                        all.first { $0.value.address == "node-\((leader + 1) % 3 + 1)" }?.key
                    }
                    let instance = try #require(heir)
                    let isLeading = await withCheckedContinuation { done in
                        all[leader].handOver(to: instance) { done.resume(returning: $0) }
                    }
                    if isLeading { count += 1 }
                }
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    /// A node that starts takes what is in the store, which its leader may not have committed yet: until that has, the node's
    /// reads wait, for the leader's would not see what they show.
    @Test func aNodeThatStartsShowsNoMoreThanItsLeader() async throws {
        try await withNodes(2, electionTimeout: .seconds(60)) { nodes, two in
            let (leader, member) = (two[0], two[1])
            var second: ClusterMember?
            while second == nil {
                second = await members(leader).first { $0.name == "n2" && $0.isInSync }
                await Task.yield()
            }
            let instance = try #require(second).instance
            let written = try await leader.put(put("before", "it"))
            while member.revision < written.revision { await Task.yield() }
            // The leader waits for the member, and the store has it meanwhile.
            nodes.mute.withLock { _ = $0.insert(instance) }
            let waiting = Task { try await leader.put(self.put("key", "value")) }
            var reader = try await nodes.start(3)
            while try value("key", on: reader) == nil {
                try await nodes.stop(3)
                reader = try await nodes.start(3)
            }
            #expect(leader.revision == written.revision)
            try await read(on: reader, behind: leader, nodes)
            _ = try await waiting.value
        }
    }

    /// Reads on a node; when its leader has answered some times, or the read is over, nobody is mute any more.
    private func read(on reader: Node, behind leader: Node, _ nodes: ClusterNodes) async throws {
        let hasRead = Monitor(false)
        let answers = nodes.answerCount.withLock { $0 }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await reader.catchUp()
                #expect(leader.revision >= reader.revision)
                hasRead.withLock { $0 = true }
            }
            group.addTask {
                while !hasRead.withLock({ $0 }), nodes.answerCount.withLock({ $0 }) < answers + 3 {
                    await Task.yield()
                }
                nodes.mute.withLock { $0 = [] }
            }
            try await group.waitForAll()
        }
    }

    @Test func everyNodeTakesEverything() async throws {
        try await withNodes(3) { _, nodes in
            var last: Revision?
            for round in 0..<30 {
                let writer = nodes[round % 3]
                let answer = try await writer.put(put("key", "\(round)"))
                #expect(
                    answer.previous.map { String(decoding: $0.value, as: UTF8.self) }
                        == (round > 0 ? "\(round - 1)" : nil))
                if let last { #expect(answer.revision == last.next) }
                last = answer.revision
                // Whoever acknowledges shows it; the others once they were asked to catch up.
                #expect(try value("key", on: writer) == "\(round)")
                let reader = nodes[(round + 1) % 3]
                try await reader.catchUp()
                #expect(try value("key", on: reader) == "\(round)")
            }
            for node in nodes {
                let lease = try await node.grantLease(ttl: 1000)
                try await node.put(put("leased", "1", lease: lease.id))
                #expect(try await node.renewLease(lease.id) == 1000)
                #expect(try await node.renewLease(lease.id + 1) == nil)
                guard case .timeToLive(let time?) = try await ask(node, .timeToLive(lease.id)) else {
                    Issue.record("no time of a lease")
                    continue
                }
                #expect(time.granted == 1000 && (990...1000).contains(time.remaining))
                let txn = TxnRequest(
                    compares: [Compare(key: [UInt8]("leased"), result: .equal, target: .lease(lease.id))],
                    success: [.range(RangeRequest(key: [UInt8]("leased"))), .put(put("other", "\(lease.id)"))])
                let done = try await node.txn(txn)
                #expect(done.succeeded && done.responses.count == 2)
                try await node.revokeLease(lease.id)
                #expect(try value("leased", on: node) == nil)
                let deleted = try await node.deleteRange(DeleteRangeRequest(key: [UInt8]("other"), previous: true))
                #expect(deleted.deleted == 1 && deleted.previous.count == 1)
                let revision = node.revision
                try await node.compact(CompactionRequest(revision: revision.rawValue, physical: true))
                #expect(node.compactedRevision == revision)
                // Errors come back as they are.
                await #expect {
                    try await node.compact(CompactionRequest(revision: revision.rawValue))
                } throws: {
                    ($0 as? DatabaseError)?.code == .compacted
                }
                await #expect {
                    try await node.revokeLease(77)
                } throws: {
                    ($0 as? DatabaseError)?.code == .leaseNotFound
                }
                try await node.raise(Alarm(.noSpace, member: 5))
                await #expect {
                    try await node.put(put("a", "b"))
                } throws: {
                    ($0 as? DatabaseError)?.code == .noSpace
                }
                #expect(try await node.disarm(Alarm(.noSpace, member: 5)))
            }
        }
    }

    /// The one that serves, once there is one.
    private func leader(of nodes: ClusterNodes) async -> Int {
        while true {
            if let number = nodes.nodes.withLock({ $0.first { $0.value.isServing }?.key }) { return number }
            await Task.yield()
        }
    }

    private func ask(_ node: Node, _ query: LeaderQuery) async throws -> LeaderReply {
        try await withCheckedThrowingContinuation { continuation in
            node.ask(query) { continuation.resume(with: $0) }
        }
    }

    /// Nobody has to ask twice because another node leads: a write is done, or nobody knows.
    @Test func requestsOutliveTheirLeader() async throws {
        try await withNodes(3) { nodes, started in
            try await started[0].put(put("key", "begin"))
            for round in 0..<4 {
                let leader = await leader(of: nodes)
                let other = try #require(nodes.nodes.withLock { $0.first { $0.key != leader }?.value })
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await nodes.stop(leader) }
                    for count in 0..<20 {
                        group.addTask {
                            do throws(DatabaseError) {
                                try await other.put(put("\(round)-\(count)", "1"))
                            } catch {
                                guard error.code == .outcomeUnknown else { throw error }
                                return
                            }
                            let row = try other.range(RangeRequest(key: [UInt8]("\(round)-\(count)"))).kvs.first
                            #expect(row?.version == 1)
                        }
                        group.addTask {
                            try await other.catchUp()
                            #expect(try value("key", on: other) == "begin")
                        }
                    }
                    try await group.waitForAll()
                }
                try await nodes.start(leader)
            }
        }
    }

    /// Where the leader's answer is lost, nobody knows; nothing is done twice, and reads ask again.
    @Test func answersAreLost() async throws {
        try await withNodes(3) { nodes, started in
            try await started[0].put(put("key", "begin"))
            let leader = await leader(of: nodes)
            let other = try #require(nodes.nodes.withLock { $0.first { $0.key != leader }?.value })
            try await other.catchUp()
            let before = other.revision
            nodes.answersLost.withLock { $0 = 3 }
            var unknown = 0
            for count in 0..<40 {
                do throws(DatabaseError) {
                    try await other.put(put("\(count)", "1"))
                } catch {
                    guard error.code == .outcomeUnknown else { throw error }
                    unknown += 1
                }
                try await other.catchUp()
            }
            nodes.answersLost.withLock { $0 = 0 }
            #expect((1...39).contains(unknown))
            try await other.catchUp()
            #expect(other.revision.rawValue == before.rawValue + 40)
            for count in 0..<40 {
                #expect(try other.range(RangeRequest(key: [UInt8]("\(count)"))).kvs.first?.version == 1)
            }
        }
    }

    /// A node that reaches nobody says so, and that nothing was written.
    @Test func nobodyLeads() async throws {
        let nodes = try await ClusterNodes(engine: "memory")
        do {
            let first = try await nodes.start(1)
            try await first.put(put("key", "1"))
            let second = try await nodes.start(2, requestWait: .zero)
            try await second.catchUp()
            nodes.isCut.withLock { $0 = true }
            let requests: [@Sendable () async throws -> Void] = [
                { try await second.put(put("key", "2")) }, { try await second.catchUp() },
                { _ = try await second.renewLease(1) },
            ]
            for request in requests {
                await #expect {
                    try await request()
                } throws: {
                    ($0 as? DatabaseError)?.code == .noLeader
                }
            }
            // What it has may be read all the same.
            #expect(try value("key", on: second) == "1")
            try await first.put(put("key", "3"))
            nodes.isCut.withLock { $0 = false }
            try await eventuallyCurrent(second)
            #expect(try value("key", on: second) == "3")
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    private func eventuallyCurrent(_ node: Node) async throws {
        while true {
            do throws(DatabaseError) {
                return try await node.catchUp()
            } catch {
                guard error.code == .noLeader else { throw error }
            }
        }
    }
}
